"""`watchline.detect` from end to end, with clips, photos, arrays, a source of one's own, and a tiny real model."""

import itertools
import re
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from clips import Image, write_clip, write_photo
from models_onnx import save, tiny_detector
from pipelines import Numbers, Script

import watchline
from watchline.engines.errors import ModelNotFound, RuntimeUnavailable
from watchline.pipeline.detect import DetectorSettings
from watchline.pipeline.errors import ConfigError, StageError
from watchline.streams.errors import SourceLost, SourceNotFound, SourceRefused
from watchline.streams.file import FileSource
from watchline.streams.synthetic import SyntheticSource

SIZE = (128, 64)


def red_square(index: int) -> Image:
    """Grey with a red square, which the tiny detector takes for a person, that goes right by 8 pixels a frame."""
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:32, 8 * index : 8 * index + 16] = (0, 0, 255)
    return image


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(save(tiny_detector(), tmp_path))


@pytest.fixture
def tiny(model: str) -> watchline.Detector:
    return watchline.Detector(model=model, imgsz=SIZE, workers=2)


def clip(folder: Path, name: str = "walk.mp4", frames: int = 8) -> Path:
    return write_clip(folder / name, frames=frames, size=SIZE, draw=red_square)


def photos(folder: Path) -> Path:
    (folder / "photos").mkdir()
    for index in range(3):
        write_photo(folder / "photos" / f"{index}.png", red_square(index))
    return folder / "photos"


def two_clips(folder: Path) -> Path:
    (folder / "clips").mkdir()
    clip(folder / "clips", "a.mp4", 2)
    clip(folder / "clips", "b.mp4", 3)
    return folder / "clips"


SOURCES = {
    "file": (clip, [("walk", i) for i in range(8)]),
    "file by its name": (lambda folder: str(clip(folder)), [("walk", i) for i in range(8)]),
    "folder of photos": (photos, [("photos", i) for i in range(3)]),
    "folder of videos": (two_clips, [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)]),
    "glob": (lambda folder: f"{two_clips(folder)}/b*", [("b", 0), ("b", 1), ("b", 2)]),
    "list of arrays": (lambda _: [red_square(i) for i in range(5)], [("frames", i) for i in range(5)]),
    "tuple of arrays": (lambda _: tuple(red_square(i) for i in range(5)), [("frames", i) for i in range(5)]),
    "one array": (lambda _: red_square(0), [("frames", 0)]),
    "one array of pictures": (lambda _: np.stack([red_square(i) for i in range(4)]), [("frames", i) for i in range(4)]),
    "list of paths": (
        lambda folder: [two_clips(folder) / "b.mp4", str(folder / "clips" / "a.mp4")],
        [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1)],
    ),
    "list of Sources": (
        lambda folder: [FileSource(two_clips(folder) / "b.mp4"), FileSource(folder / "clips" / "a.mp4")],
        [("b", 0), ("b", 1), ("b", 2), ("a", 0), ("a", 1)],
    ),
    "generator": (lambda _: (red_square(i) for i in range(5)), [("frames", i) for i in range(5)]),
}


@pytest.mark.parametrize("case", SOURCES)
def test_every_frame_of_any_source_comes_with_what_is_in_it(case, tmp_path, tiny):
    make, expected = SOURCES[case]
    seen = list(watchline.detect(make(tmp_path), tiny))
    assert [(frame.stream, frame.index) for frame, _ in seen] == expected
    for frame, detections in seen:
        assert "person" in detections.names
        x1, y1, x2, y2 = detections.xyxy[0]
        centre = 8 * frame.index + 8
        assert abs((x1 + x2) / 2 - centre) < 10, "the best box is not where the red square is"
        assert abs((y1 + y2) / 2 - 24) < 10


def test_a_source_of_ones_own_is_read_as_it_is(tiny):
    source = SyntheticSource(width=128, height=64, frames=6, boxes=1, stream="mine")
    seen = list(watchline.detect(source, tiny))
    assert [(frame.stream, frame.index) for frame, _ in seen] == [("mine", i) for i in range(6)]
    for frame, detections in seen:  # the first box of the pattern is red
        left, top, right, bottom = source.boxes_at(frame.index)[0]
        x, y = (detections.xyxy[0, :2] + detections.xyxy[0, 2:]) / 2
        assert "person" in detections.names
        assert left - 4 < x < right + 4
        assert top - 4 < y < bottom + 4


def test_pairs_give_the_frames_their_times(tiny):
    pairs = ((red_square(i), 0.5 + i**2) for i in range(4))
    assert [frame.seconds for frame, _ in watchline.detect(pairs, tiny)] == [0.5, 1.5, 4.5, 9.5]


def test_frames_that_were_not_looked_at_are_left_out(model, tmp_path):
    detector = watchline.Detector(model=model, imgsz=SIZE, every=3)
    assert [frame.index for frame, _ in watchline.detect(clip(tmp_path), detector)] == [0, 3, 6]


def test_the_same_clip_gives_the_same_however_often_and_with_however_many_workers(bikes, model):
    def look(workers: int) -> list[tuple[int, float, bytes, bytes, bytes]]:
        # The tiny model knows no street: so low a threshold lets it find something in every frame.
        detector = watchline.Detector(model=model, imgsz=96, conf=1e-6, workers=workers)
        return [
            (frame.index, frame.seconds, found.xyxy.tobytes(), found.confidence.tobytes(), found.class_id.tobytes())
            for frame, found in itertools.islice(watchline.detect(bikes, detector), 100)
        ]

    first = look(3)
    assert [row[0] for row in first] == list(range(100))
    assert all(row[2] for row in first)
    assert len({row[2] for row in first}) > 90, "the frames differ, what is found in them should"
    assert look(3) == first
    assert look(1) == first


@pytest.mark.parametrize("word", ["gone.mp4", "no*.mkv", "empty"])
def test_a_path_that_leads_nowhere_is_named_at_once(word, tmp_path, tiny):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFound, match=rf"{re.escape(str(tmp_path / word))}: .*no "):
        watchline.detect(tmp_path / word, tiny)


@pytest.mark.parametrize(
    "source", [None, 4.5, object(), [], [None], {"a": 1}], ids="none number object empty nones dict".split()
)
def test_what_is_no_source_is_refused_at_once(source):
    with pytest.raises(TypeError, match=r"^source is .*: expected a path") as caught:
        watchline.detect(source)
    assert isinstance(caught.value, watchline.WatchlineError)


def test_settings_are_given_by_name(model, tmp_path):
    by_name = watchline.detect(clip(tmp_path), model=model, imgsz=SIZE, every=3, conf=0.3, classes=["person"])
    detector = watchline.Detector(model=model, imgsz=SIZE, every=3, conf=0.3, classes=("person",))
    seen = [(frame.index, found.xyxy.tolist()) for frame, found in by_name]
    assert [index for index, _ in seen] == [0, 3, 6]
    expected = watchline.detect(tmp_path / "walk.mp4", detector=detector)
    assert seen == [(frame.index, found.xyxy.tolist()) for frame, found in expected]
    [(_, found)] = watchline.detect(red_square(1), model=Path(model))
    assert "person" in found.names


def test_every_setting_of_the_detector_has_a_keyword():
    assert set(DetectorSettings.__annotations__) == set(watchline.Detector.__pydantic_fields__) - {"streams"}


WRONG = [
    ({"confs": 0.3}, ValueError, r"Detector: unknown setting 'confs': did you mean 'conf'\?"),
    ({"conf": 2}, ValueError, "Detector: conf is 2: expected less than or equal to 1"),
    (
        {"conf": "high", "every": 0},
        ValueError,
        "Detector: conf is 'high': expected a valid number, .*; every is 0: ",
    ),
    ({"imgsz": "large"}, ValueError, "Detector: imgsz is 'large': expected a valid integer, .* or a valid tuple"),
    ({"classes": "person"}, ValueError, "Detector: classes is 'person': expected a valid tuple"),
    ({"detector": "yolov2-slim"}, TypeError, "detector is of type str: expected a Detector, or settings by name"),
    ({"detector": watchline.Detector(), "conf": 0.3, "iou": 0.5}, TypeError, "detector and conf, iou: expected either"),
    ({"latency_budget": 0}, ValueError, "latency_budget is 0: expected more than 0 seconds"),
]


@pytest.mark.parametrize(("given", "builtin", "message"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_settings_that_cannot_be_are_told_at_once_in_a_line(given, builtin, message):
    with pytest.raises(builtin, match=f"^{message}") as caught:
        watchline.detect([red_square(0)], **given)
    assert isinstance(caught.value, watchline.WatchlineError)
    assert "\n" not in str(caught.value)


def test_a_gpu_has_two_workers_unless_told(monkeypatch):
    monkeypatch.setattr("watchline.pipeline.stages.modelled.cores", lambda: 16)
    assert watchline.Detector().workers == 16
    assert watchline.Detector(runtime="openvino").workers == 16
    assert watchline.Detector(runtime="cuda").workers == watchline.Detector(runtime="tensorrt").workers == 2
    assert watchline.Detector(runtime="cuda", workers=1).workers == 1


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"model": "gone.onnx"}, ModelNotFound, "no model 'gone.onnx'"),
        ({"runtime": "tensorrt"}, RuntimeUnavailable, "TensorRT"),
        ({"classes": ("persn",)}, ConfigError, "person"),
    ],
)
def test_a_detector_that_cannot_be_is_told_before_the_first_frame(settings, error, text, model):
    detector = watchline.Detector(**{"model": model, **settings})
    with pytest.raises(error, match=text):
        next(watchline.detect([red_square(0)], detector))
    assert_no_threads()


def test_a_stream_that_breaks_off_gives_its_frames_and_then_says_why(model):
    seen = []
    with pytest.raises(StageError, match=r"^road: decoder: the cable was cut$"):
        for frame, _ in watchline.detect(Numbers("road", 10, breaks_after=6), watchline.Detector(model=model)):
            seen.append(frame.index)
    assert seen == list(range(6))
    assert_no_threads()


def test_an_engine_that_fails_on_a_frame_names_it_after_the_frames_before(tmp_path):
    model = save(tiny_detector(nan="scores"), tmp_path)
    detector = watchline.Detector(model=str(model), imgsz=SIZE)
    pictures = [red_square(0)] * 5 + [np.full((64, 128, 3), 255, np.uint8)] + [red_square(0)] * 5
    seen = []
    with pytest.raises(StageError, match=r"^frames: detector: frame 5: .*NaN"):
        for frame, _ in watchline.detect(pictures, detector):
            seen.append(frame.index)
    assert seen == list(range(5))
    assert_no_threads()


def test_an_array_that_is_no_picture_is_named(tiny):
    pictures = [red_square(0), red_square(0)[:, :, 0]]
    with pytest.raises(TypeError, match=r"^array 1 is uint8 \(64, 128\): expected uint8 \(height, width, 3\), BGR"):
        watchline.detect(pictures, tiny)
    with pytest.raises(StageError, match=r"frame 1: .*\(64, 128\)"):
        list(watchline.detect(iter(pictures), tiny))
    with pytest.raises(StageError, match=r"frame 0 is of type PosixPath: expected an array"):
        list(watchline.detect(iter([Path("a.mp4")]), tiny))


def test_leaving_the_loop_early_ends_all_threads(tiny):
    drawn = []

    def endless():
        for index in itertools.count():
            drawn.append(index)
            yield red_square(index % 8)

    for frame, _ in watchline.detect(endless(), tiny):
        assert any(thread.name.startswith("detector") for thread in threading.enumerate())
        if frame.index == 3:
            break
    assert_no_threads()
    assert len(drawn) < 50, "the source was read far ahead of who looks"


def test_closing_the_iterator_ends_all_threads(tiny):
    frames = watchline.detect(itertools.repeat(red_square(0)), tiny)
    next(frames)
    frames.close()
    assert_no_threads()


def test_a_camera_gives_its_frames_in_order_and_is_connected_again(tiny, caplog):
    camera = Script(
        "gate", [[3, SourceLost("gate: the camera broke off")], [SourceRefused("gate: nobody is there")], [4]]
    )
    seen = []
    with closing(watchline.detect(camera, tiny, latency_budget=60)) as frames:
        for frame, _ in frames:
            seen.append((frame.epoch, frame.index))
            if frame.epoch == 2:
                break
    assert_no_threads()
    assert seen == sorted(seen)
    assert {epoch for epoch, _ in seen} == {0, 2}
    said = [record.getMessage() for record in caplog.records if record.name == "watchline.pipeline.looking"]
    assert [line.partition(";")[0] for line in said] == ["gate: the camera broke off", "gate: nobody is there"]
    assert re.search(r"; it is tried again in \d+ s$", said[0])


def test_a_camera_that_is_busier_than_the_loop_gives_its_newest_frames(tiny):
    camera = Script("gate", [[1, *[0.01, 1] * 500]])
    seen = []
    with closing(watchline.detect(camera, tiny)) as frames:
        for frame, _ in frames:
            seen.append(frame.index)
            time.sleep(0.2)
            if frame.index > 50:
                break
    assert seen == sorted(set(seen))
    assert len(seen) < 40, "no frame was left out, and the loop saw old ones"


def test_a_camera_that_was_never_there_is_an_error(tiny):
    camera = Script("gate", [[SourceRefused("gate: the camera at rtsp://host is not there")]] * 20)
    with pytest.raises(StageError, match=r"^gate: the camera at rtsp://host is not there$"):
        list(watchline.detect(camera, tiny))
    assert_no_threads()


def test_one_dead_camera_does_not_end_the_others(tiny, caplog):
    dead, good = Script("dead", [[SourceRefused("dead: nobody is there")]] * 20), Script("good", [[0.3, 5]])
    with closing(watchline.detect([dead, good], tiny, latency_budget=60)) as frames:
        frame, _ = next(frames)
    assert frame.stream == "good"
    assert "dead: nobody is there; it is tried again in" in caplog.text


def test_a_file_beside_a_camera_loses_nothing(tiny, tmp_path):
    camera = Script("gate", [[0.2, 3]], ends=True)
    seen = [(frame.stream, frame.index) for frame, _ in watchline.detect([camera, FileSource(clip(tmp_path))], tiny)]
    assert [index for stream, index in seen if stream == "walk"] == list(range(8))


def assert_no_threads() -> None:
    """No thread of a chain is alive."""
    alive = [thread.name for thread in threading.enumerate() if thread.name.startswith(("decoder", "detector"))]
    assert not alive
