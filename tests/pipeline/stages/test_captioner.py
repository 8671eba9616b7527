"""The captioner stage: when it looks, which frames a caption belongs to, and that no live frame waits for one."""

import json
import threading
import time
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import onnx
import pytest
from clips import write_clip, write_photo
from ledger_of import ledger_of
from models_onnx import tiny_captioner, tiny_detector

from watchline import Annotate, Annotator, Captioner, Detector, Files, FileSource, Job, PacedSource, Stage, Watch
from watchline.errors import SettingsError
from watchline.ops.detections import Detections
from watchline.pipeline.errors import ConfigError, StageError
from watchline.pipeline.kinds.caption import CAPTION
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.stages.modelled import Engines
from watchline.settings import settings
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.inputs import find_sources

RATE, SIZE = 10, (128, 72)
SCENES = (2, 1, 0)  # the channel that is strongest in each: red, green, blue
TEXTS = ["a red picture", "a green picture", "a blue picture"]
EACH = 25  # frames
SLOW = 0.6  # seconds of a caption
BUDGET = 0.4  # seconds of latency


def scene(channel, seed=None):
    """Coarse noise in one colour, different for each channel and seed."""
    noise = np.random.default_rng((channel, seed or 0)).integers(0, 120, (9, 16))
    picture = np.kron(noise, np.ones((8, 8))).astype(np.uint8)
    return np.dstack([picture + 100 * (channel == each) for each in range(3)]).astype(np.uint8)


@pytest.fixture
def model(tmp_path):
    onnx.save(tiny_captioner(), tmp_path / "words.onnx")
    return str(tmp_path / "words.onnx")


@pytest.fixture
def clip(tmp_path):
    """Three scenes of 2.5 seconds."""
    return write_clip(
        tmp_path / "street.mp4", EACH * 3, SIZE, rate=RATE, draw=lambda index: scene(SCENES[index // EACH])
    )


def lines_of(tmp_path, stages, sources, out="out"):
    work = Annotate(Job(sources, stages, [Files(tmp_path / out, None)]))
    list(work.run())
    assert [outcome.error for outcome in work.outcomes] == [None] * len(sources)
    [file] = (tmp_path / out).glob("*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def captions_take(seconds, monkeypatch):
    """Each caption takes longer, and nothing else does."""
    run = Engines.run

    def slowly(self, batch):
        if self.task == "caption":
            time.sleep(seconds)
        return run(self, batch)

    monkeypatch.setattr(Engines, "run", slowly)


def frame(index, pixels, live=False, stream="a", file=None, at=None):
    return Frame(
        stream,
        index,
        index,
        Fraction(1, RATE),
        ArrayPicture(pixels.copy()),
        epoch=0 if live else None,
        time=(index / RATE if at is None else at) if live else None,
        file=file,
    )


def test_each_scene_of_a_file_has_its_caption(tmp_path, model, clip):
    header, *lines, _ = lines_of(tmp_path, [Captioner(model=model)], [FileSource(clip)])
    assert header["header"]["stages"]["captioner"]["model"]["name"] == "tiny"
    frames = [line for line in lines if "frame" in line and "event" not in line]
    said = {line["caption"]["frame"]: line["caption"]["text"] for line in frames}
    assert list(said.values()) == TEXTS
    assert len(frames) == EACH * 3
    for line in frames:  # it stands from the frame that it was made from
        assert line["caption"]["frame"] == max(f for f in said if f <= line["frame"])
    first, second, third = said
    assert first == 0
    assert EACH < second <= EACH + 1.5 * RATE
    events = [line for line in lines if line.get("event") == "caption"]
    assert [event["text"] for event in events] == TEXTS
    assert [event["frames"] for event in events] == [[0, second - 1], [second, third - 1], [third, 3 * EACH - 1]]
    assert [event["seconds"] for event in events] == [
        [0, second / RATE],
        [second / RATE, third / RATE],
        [third / RATE, 7.5],
    ]
    assert all(event["score"] == -0.5 for event in events)


def test_two_runs_give_the_same_bytes(tmp_path, model, clip):
    for out in ("one", "two"):
        lines_of(tmp_path, [Captioner(model=model, interval=0.7)], [FileSource(clip)], out)
    assert (tmp_path / "one/street.jsonl").read_bytes() == (tmp_path / "two/street.jsonl").read_bytes()


def test_an_interval_looks_again(tmp_path, model, clip):
    _, *lines, _ = lines_of(tmp_path, [Captioner(model=model, on_change=False, interval=0.5)], [FileSource(clip)])
    made = sorted({line["caption"]["frame"] for line in lines if "caption" in line})
    assert made == list(range(0, 3 * EACH, 5))
    texts = [line["text"] for line in lines if line.get("event") == "caption"]
    assert texts == TEXTS  # the same sentence again stands on


def test_each_photo_has_its_caption(tmp_path, model):
    (tmp_path / "album").mkdir()
    for name, channel in zip("abc", SCENES, strict=True):
        write_photo(tmp_path / "album" / f"{name}.png", scene(channel))
    _, *lines, _ = lines_of(tmp_path, [Captioner(model=model)], find_sources([str(tmp_path / "album")]).sources)
    assert [line["caption"]["text"] for line in lines if "caption" in line] == TEXTS


def test_a_new_object_is_described_by_its_part_of_the_picture(model):
    """A green thing on red stands still; from its first half second on it is no news. Then a blue one comes."""

    def item(index):
        pixels = scene(2)
        pixels[10:40, 10:50] = (0, 200, 0)
        boxes = [[10, 10, 50, 40]]
        if index >= 30:
            pixels[20:60, 80:120] = (200, 0, 0)
            boxes.append([80, 20, 120, 60])
        count = len(boxes)
        found = Detections(np.array(boxes, np.float32), np.full(count, 0.9), np.zeros(count, int), ("car", "dog"))
        return Item(frame(index, pixels)).with_result(DETECTIONS, found)

    with Captioner(model=model, on_change=False, objects=("car",)).open() as work:
        done = [work([item(index)])[0].result(CAPTION) for index in range(45)]
    assert [caption for caption in done[:5] if caption] == []
    assert {(caption.text, caption.frame, caption.box) for caption in done[5:]} == {
        ("a green picture", 5, (10, 10, 50, 40)),
        ("a blue picture", 35, (80, 20, 120, 60)),
    }


def test_live_frames_have_the_newest_caption_and_its_age(model, monkeypatch):
    begin, go = threading.Event(), threading.Event()
    run = Engines.run

    def slowly(self, batch):
        begin.set()
        assert go.wait(10)
        return run(self, batch)

    with Captioner(model=model, interval=1).open() as work:
        monkeypatch.setattr(Engines, "run", slowly)
        [first] = work([Item(frame(0, scene(2), live=True))])
        assert begin.wait(10)
        [second] = work([Item(frame(1, scene(2), live=True))])
        assert (first.result(CAPTION), second.result(CAPTION)) == (None, None)
        go.set()
        deadline = time.monotonic() + 10
        index = 2
        while (caption := work([Item(frame(index, scene(2), live=True))])[0].result(CAPTION)) is None:
            assert time.monotonic() < deadline
            index += 1
            time.sleep(0.01)
        assert (caption.text, caption.frame) == ("a red picture", 0)
        assert caption.age == pytest.approx(index / RATE)
        go.clear()
        [over] = work.end("a")
    assert over.data["frames"] == [index, index]


def test_what_is_said_of_an_epoch_that_is_over_is_not_shown(model, monkeypatch):
    go = threading.Event()
    run = Engines.run
    with Captioner(model=model).open() as work:
        monkeypatch.setattr(Engines, "run", lambda self, batch: go.wait(10) and run(self, batch))
        work([Item(frame(0, scene(2), live=True))])
        assert work.end("a") == []
        work([Item(frame(1, scene(1), live=True))])
        go.set()
        deadline = time.monotonic() + 10
        while (caption := work([Item(frame(2, scene(1), live=True))])[0].result(CAPTION)) is None:
            assert time.monotonic() < deadline
    assert caption.text == "a green picture"


def test_a_slow_caption_costs_no_live_frame(tmp_path, model, monkeypatch):
    """A caption takes 0.6 seconds, twice a second: if frames waited for it, at most one in five would be left."""
    captions_take(SLOW, monkeypatch)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    moving = write_clip(tmp_path / "gate.mp4", 40, SIZE, rate=RATE, draw=lambda index: scene(2, index // 5))
    detector = Detector(model=str(tmp_path / "tiny.onnx"), imgsz=(64, 48), workers=1)
    stages = [detector, Captioner(model=model, interval=0.5), Annotator()]
    watch = Watch(Job([PacedSource(FileSource(moving))], stages, [Files(tmp_path / "out")], latency_budget=BUDGET))
    list(watch.run())
    [file] = (tmp_path / "out").glob("*.jsonl")
    [account] = ledger_of([file]).values()
    assert account.frames >= 32
    captions = [line["caption"] for line in map(json.loads, file.read_text().splitlines()) if "caption" in line]
    assert len({caption["frame"] for caption in captions}) >= 3
    late = BUDGET  # at most, a frame is looked at after its time
    assert min(caption["age"] for caption in captions) >= SLOW - late - 1e-6


def test_a_camera_does_not_wait_for_the_captions_of_files(tmp_path, model, monkeypatch):
    """Twelve photos of 0.3 s each beside a camera of which each frame is in time."""
    captions_take(0.3, monkeypatch)
    (tmp_path / "album").mkdir()
    for name in range(12):
        write_photo(tmp_path / "album" / f"{name}.png", scene(2))
    gate = write_clip(tmp_path / "gate.mp4", 30, SIZE, rate=10, draw=lambda index: scene(1))
    sources = [PacedSource(FileSource(gate)), *find_sources([str(tmp_path / "album")]).sources]
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    detector = Detector(model=str(tmp_path / "tiny.onnx"), imgsz=(64, 48), workers=1)
    stages = [detector, Captioner(model=model, interval=60)]
    watch = Watch(Job(sources, stages, [Files(tmp_path / "out", None)], latency_budget=0.25))
    list(watch.run())
    [file] = (tmp_path / "out").glob("gate*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sum("detections" in line for line in lines) >= 20  # of 30; with the files' captions in its way, 10
    assert (tmp_path / "out/album.jsonl").read_text().count('"a red picture"') >= 12


def test_the_end_of_a_caption_is_told_though_its_frame_is_dropped(tmp_path, model):
    """The frame on which a caption begins tells that the one before is over."""

    @settings
    class Loses(Stage):
        name = "loses"

        @contextmanager
        def open(self):
            def process(items):
                for item in items:
                    if any(event.name == "caption" for event in item.events):
                        raise ValueError("lost")
                return list(items)

            yield process

    gate = write_clip(tmp_path / "gate.mp4", EACH * 3, SIZE, rate=RATE, draw=lambda index: scene(SCENES[index // EACH]))
    watch = Watch(
        Job([PacedSource(FileSource(gate))], [Captioner(model=model), Loses()], [Files(tmp_path / "o", None)])
    )
    list(watch.run())
    [file] = (tmp_path / "o").glob("gate*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["text"] for line in lines if line.get("event") == "caption"] == TEXTS
    lost = [line["frames"] for line in lines if line.get("cause") == "failed"]  # a slow machine may drop others
    assert sum(lost) == 2


def test_a_failure_beside_the_chain_costs_no_frame(model, monkeypatch, caplog):
    def fails(self, batch):
        raise RuntimeError("out of words")

    with Captioner(model=model).open() as work:
        monkeypatch.setattr(Engines, "run", fails)
        work([Item(frame(0, scene(2), live=True))])
        deadline = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < deadline:
            work([Item(frame(1, scene(2), live=True))])
    assert caplog.messages == ["a: a caption failed: out of words"]


def test_settings_that_cannot_be(model, tmp_path):
    with pytest.raises(ConfigError, match="on_change is off: expected an interval or objects"):
        Captioner(model=model, on_change=False).check()
    for_one = Captioner(model=model, on_change=False, streams={"gate": {"on_change": True}})
    for_one.check()
    with for_one.open() as work:
        done = [work([Item(frame(0, scene(2), stream=name))])[0].result(CAPTION) for name in ("gate", "yard")]
    assert [caption and caption.text for caption in done] == ["a red picture", None]
    with pytest.raises(SettingsError, match="gate: interval is 'soon': expected a time"):
        Captioner(model=model, streams={"gate": {"interval": "soon"}})
    found = Detections.none(("person", "car"))
    with (
        Captioner(model=model, objects=("persn",)).open() as work,
        pytest.raises(StageError, match="objects: unknown class 'persn': did you mean 'person'"),
    ):
        work([Item(frame(n, scene(2))).with_result(DETECTIONS, found) for n in range(2)])
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    with pytest.raises(ConfigError, match="its task is 'detect': the captioner needs 'caption'"):
        Captioner(model=str(tmp_path / "tiny.onnx")).check()
