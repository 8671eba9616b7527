import os
import pickle
import re
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from clips import write_clip
from leftovers import everything
from odd_stages import Clumsy, Echo
from pipelines import Numbers, numbered
from placing import PROCESS, pid_of, serving, somewhere

from watchline.engines import zoo
from watchline.pipeline.errors import ConfigError, StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote.placed import Place, Placed, place_of, placed
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource


def frames(path, count=4):
    with FileSource(path).open() as reader:
        return [Item(frame) for i, frame in zip(range(count), reader, strict=False)]


FAMILIES = {
    "yuv420p": {},
    "yuvj420p": {"codec": "mjpeg"},
    "yuv420p10le": {},
    "bgra": {"codec": "ffv1"},
    "turned": {"rotation": 90},
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory, bikes):
    """A few frames of the real clip in each family of pixel formats."""
    folder = tmp_path_factory.mktemp("clips")
    with FileSource(bikes).open() as reader:
        pictures = [f.picture.bgr() for f, _ in zip(reader, range(200), strict=False)][120::30]
    made = {}
    for name, options in FAMILIES.items():
        form = "yuv420p" if name == "turned" else name
        suffix = {"ffv1": "mkv", "mjpeg": "avi"}.get(options.get("codec"), "mp4")
        path = folder / f"{name}.{suffix}"
        made[name] = write_clip(path, len(pictures), (640, 272), pix_fmt=form, draw=pictures.__getitem__, **options)
    return made


def same(a, b):
    """Whether two items are equal, to the last byte and type."""
    assert [*a.results] == [*b.results]
    for kind in a.results:
        (value, arrays), (other, others) = kind.packed(a.results[kind]), kind.packed(b.results[kind])
        assert value == other
        for one, two in zip(arrays, others, strict=True):
            assert (one.dtype, one.shape, one.tobytes()) == (two.dtype, two.shape, two.tobytes())
    assert (a.frame, a.events, a.deadline) == (b.frame, b.events, b.deadline)


@pytest.mark.parametrize("kind", ["process", "tcp"])
def test_results_are_the_same_in_every_place(clips, kind):
    detector, annotator = Detector(workers=1, conf=0.1), Annotator()
    found = 0
    with (
        somewhere(kind, detector) as there,
        somewhere(kind, annotator, [detector]) as drawn_there,
        detector.open() as detect,
        annotator.open() as annotate,
        there.open() as detect_there,
        drawn_there.open() as annotate_there,
    ):
        for path in clips.values():
            items = frames(path)
            for here, elsewhere in zip(detect(items), detect_there(items), strict=True):
                same(here, elsewhere)
                assert elsewhere.frame is here.frame
                found += len(here.detections)
                [a], [b] = annotate([here]), annotate_there([here])
                same(a, b)
    assert found > 20


def test_a_whole_run_is_the_same_in_a_process(bikes):
    def run(stage):
        messages = Runner([stage]).run([Numbers("a", 30), Numbers("b", 20)])
        return [(m.stream, m.frame.index, m.detections.xyxy.tolist()) for m in messages if isinstance(m, Item)]

    stage = Clumsy(workers=2)
    assert run(stage) == run(placed(stage, PROCESS))


def test_jpeg_is_nearly_the_same(clips):
    items = frames(clips["yuv420p"], 1)
    with serving(Echo(draw=True)) as place, placed(Echo(draw=True), replace(place, quality=90)).open() as process:
        [item] = process(items)
    assert 0 < abs(item.drawn - items[0].frame.picture.bgr().astype(int)).mean() < 4


def test_a_process_gets_only_what_it_needs_of_the_environment(monkeypatch):
    monkeypatch.setenv("GATE_PASSWORD", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("WATCHLINE_CACHE", "/cache")
    stage = placed(Clumsy(), PROCESS)
    with stage.open() as process:
        [item] = process(numbered(1))
        environment = Path(f"/proc/{pid_of([item])}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"WATCHLINE_CACHE=/cache", b"ORT_DISABLE_TELEMETRY=1"} <= {*environment}
    assert b"PATH=" + os.environb[b"PATH"] in environment
    assert not any(line.startswith(b"GATE_PASSWORD") for line in environment)


def test_a_model_whose_name_is_no_utf_8_can_be_placed(tmp_path):
    model = tmp_path / os.fsdecode(b"\xff.onnx")
    shutil.copy(zoo.find("yolov2-slim"), model)
    with placed(Detector(model=str(model), workers=1), PROCESS).open() as process:
        assert process(numbered(1))[0].detections is not None


def test_workers_call_at_once_over_one_connection():
    stage = placed(Clumsy(workers=3, slow=0.2), PROCESS)
    assert stage.workers == 4
    pids, spans = set(), []

    def work(process, items):
        process(items[:1])
        spans.append(time.monotonic() - started)
        pids.add(pid_of(process(items[1:])))

    with stage.open() as process:
        threads = [threading.Thread(target=work, args=(process, numbered(6)[i::3])) for i in range(3)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(pids) == 1
    assert max(spans) < 0.5  # and not 0.6, one after another


def test_settings_say_how_many_workers_a_placed_stage_has():
    assert placed(Detector(workers=3, batch=2), PROCESS).workers == 4
    assert placed(Detector(workers=3, batch=2), PROCESS).batch == 2
    assert placed(Annotator(workers=3), PROCESS).workers == 1  # it needs its frames in order
    assert placed(Annotator(), PROCESS).name == "annotator"
    assert placed(Annotator(), Place()) == Annotator()
    copy = pickle.loads(pickle.dumps(placed(Echo(), PROCESS)))
    assert copy == placed(Echo(), PROCESS)


@pytest.mark.parametrize("kind", ["process", "tcp"])
def test_what_fails_says_the_same_as_in_a_thread(kind):
    stage = Clumsy(fails_at=(1,))
    items = numbered(3)
    with somewhere(kind, stage) as there, there.open() as process:
        with pytest.raises(StageError) as caught:
            process(items[1:2])
        assert str(caught.value) == "cannot do 1"
        assert len(process(items[2:])) == 1


def test_a_stage_that_cannot_open_says_why_and_leaves_nothing():
    before = everything()
    for stage, why in ((Clumsy(broken="no model"), "^no model$"), (Detector(model="nosuch"), "^no model 'nosuch'")):
        with pytest.raises(StageError, match=why), placed(stage, PROCESS).open():
            pass
    assert everything() == before


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("thread", Place()),
        ("process", Place("process")),
        ("tcp://127.0.0.1:5555", Place("tcp", "tcp://127.0.0.1:5555")),
        ("tcp://localhost:5555?pixels=raw", Place("tcp", "tcp://localhost:5555")),
        ("tcp://[::1]:5555?pixels=jpeg", Place("tcp", "tcp://[::1]:5555", 90)),
        ("tcp://127.0.0.1:5555?pixels=jpeg:75", Place("tcp", "tcp://127.0.0.1:5555", 75)),
    ],
)
def test_places(word, place):
    assert place_of(word) == place


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("gpu", "expected thread, process or tcp://HOST:PORT"),
        ("tcp://", "expected thread, process or"),
        ("tcp://*:5555", "expected thread, process or"),
        ("tcp://127.0.0.1", "expected thread, process or"),
        ("process?pixels=jpeg", "expected thread, process or"),
        ("tcp://127.0.0.1:5555?pixels=jpg", "pixels=raw, pixels=jpeg or"),
        ("tcp://127.0.0.1:5555?pixels=jpeg:0", "pixels=raw, pixels=jpeg or"),
        ("tcp://127.0.0.1:5555?quality=3", "pixels=raw, pixels=jpeg or"),
        ("tcp://gpu:5555", "another host: expected a key"),
        ("tcp://192.168.0.4:5555", "another host: expected a key"),
    ],
)
def test_places_that_cannot_be(word, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        place_of(word)
    with pytest.raises(ConfigError, match="or neither"):
        place_of(word, key=Path("x.key"))


def test_a_stage_of_the_program_itself_cannot_be_placed():
    class Mine(Echo):
        pass

    with pytest.raises(ConfigError, match="expected a class with @settings in a module"):
        placed(Mine(), PROCESS)
    why = "^the detector needs the results of the echo, but the stage echo cannot be placed elsewhere: expected a class"
    with pytest.raises(ConfigError, match=why):
        placed(Detector(), PROCESS, [Annotator(), Mine()])
    assert isinstance(placed(Echo(), PROCESS), Placed)


def test_only_stages_that_give_results_have_to_be_found_elsewhere():
    class Silent(Echo):
        gives = ()

    before = [Detector(), placed(Echo(), PROCESS), Silent()]
    assert placed(Annotator(), PROCESS, before).chain == ("detector", "odd_stages:Echo")
