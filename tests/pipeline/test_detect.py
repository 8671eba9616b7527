"""`watchline.detect` from end to end, with clips, photos, arrays, a source of one's own, and a tiny real model."""

import itertools
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from clips import Image, write_clip, write_photo
from models_onnx import save, tiny_detector
from pipelines import Numbers

import watchline
from watchline.engines.errors import ModelNotFound, RuntimeUnavailable
from watchline.pipeline.errors import ConfigError, StageError
from watchline.streams.errors import SourceNotFound
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
    "one array": (lambda _: np.stack([red_square(i) for i in range(4)]), [("frames", i) for i in range(4)]),
    "generator": (lambda _: (red_square(i) for i in range(5)), [("frames", i) for i in range(5)]),
}


@pytest.mark.parametrize("case", SOURCES)
def test_every_frame_of_any_source_comes_with_what_is_in_it(case, tmp_path, tiny):
    make, expected = SOURCES[case]
    seen = list(watchline.detect(make(tmp_path), tiny))
    assert [(frame.stream, frame.index) for frame, _ in seen] == expected
    for frame, detections in seen:
        assert "person" in detections.names
        x1, y1, x2, y2 = detections.boxes[0]
        centre = 8 * frame.index + 8
        assert abs((x1 + x2) / 2 - centre) < 10, "the best box is not where the red square is"
        assert abs((y1 + y2) / 2 - 24) < 10


def test_a_source_of_ones_own_is_read_as_it_is(tiny):
    source = SyntheticSource(width=128, height=64, frames=6, boxes=1, stream="mine")
    seen = list(watchline.detect(source, tiny))
    assert [(frame.stream, frame.index) for frame, _ in seen] == [("mine", i) for i in range(6)]
    for frame, detections in seen:  # the first box of the pattern is red
        left, top, right, bottom = source.boxes_at(frame.index)[0]
        x, y = (detections.boxes[0, :2] + detections.boxes[0, 2:]) / 2
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
            (frame.index, frame.seconds, found.boxes.tobytes(), found.scores.tobytes(), found.classes.tobytes())
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


@pytest.mark.parametrize("source", [None, 42, object()], ids=["None", "number", "object"])
def test_what_is_no_source_is_refused_at_once(source):
    with pytest.raises(TypeError, match=f"source is of type {type(source).__name__}: expected a path"):
        watchline.detect(source)


def test_a_gpu_has_two_workers_unless_told(monkeypatch):
    monkeypatch.setattr("watchline.pipeline.stages.detector._cores", lambda: 16)
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
    with pytest.raises(StageError, match=r"frame 1: .*\(64, 128\)"):
        list(watchline.detect([red_square(0), red_square(0)[:, :, 0]], tiny))


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


def assert_no_threads() -> None:
    """No thread of a chain is alive."""
    alive = [thread.name for thread in threading.enumerate() if thread.name.startswith(("decoder", "detector"))]
    assert not alive
