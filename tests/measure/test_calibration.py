"""Calibration's pictures: spread over sources and their length, fitted as the detector stage fits them."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import models_onnx
import numpy as np
import pytest
from clips import write_clip

from watchline.engines import metadata
from watchline.engines.onnx_runtime import OnnxRuntimeEngine
from watchline.measure.calibration import pictures
from watchline.measure.errors import DataRefused
from watchline.pipeline.message import Item
from watchline.pipeline.stages.detector import Detector
from watchline.streams.errors import StreamError
from watchline.streams.file import FileSource

ABOUT = models_onnx.about()
SIZE = (64, 64)


def numbered(index: int) -> np.ndarray:
    return np.full((48, 64, 3), index, np.uint8)


def photos(folder: Path, count: int) -> Path:
    """A folder with pictures as bright as their numbers."""
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.png"), numbered(number))
    return folder


def seen(batches: list[np.ndarray]) -> list[int]:
    return [int(batch[0, 4, 4, 0]) for batch in batches]


def test_photos_are_taken_evenly(tmp_path: Path) -> None:
    batches = pictures([str(photos(tmp_path / "photos", 100))], 25, ABOUT, SIZE)
    assert {(batch.shape, batch.dtype) for batch in batches} == {((1, 64, 64, 3), np.dtype(np.uint8))}
    assert seen(batches) == list(range(0, 100, 4))


def test_a_video_is_taken_from_over_its_whole_length(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 100, draw=lambda i: numbered(2 * i))
    brightness = np.array(seen(pictures([str(clip)], 20, ABOUT, SIZE)))
    assert np.abs(brightness - 10 * np.arange(20)).max() < 6  # every fifth frame, 10 apart; H.264 makes them 4 darker


def test_what_a_short_source_lacks_falls_to_the_others(tmp_path: Path) -> None:
    few, many = photos(tmp_path / "few", 4), photos(tmp_path / "many", 100)
    numbers = seen(pictures([str(many), str(few)], 40, ABOUT, SIZE))
    assert len(numbers) == 40
    assert numbers[:4] == [0, 1, 2, 3]
    assert numbers[4:] == list(range(0, 72, 2))


@pytest.mark.parametrize("resize", ["letterbox", "letterbox-center", "stretch", "letterbox-darknet"])
def test_a_picture_is_what_the_detector_stage_gives_its_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resize: str
) -> None:
    about = replace(ABOUT, resize=resize, pad=(7, 8, 9))
    model = models_onnx.tiny_detector()
    metadata.write(model, about)
    path = models_onnx.save(model, tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", 20, (96, 40))
    given: list[np.ndarray] = []
    infer = OnnxRuntimeEngine.infer

    def watched(engine: OnnxRuntimeEngine, batch: np.ndarray) -> dict[str, np.ndarray]:
        given.append(batch.copy())
        return infer(engine, batch)

    monkeypatch.setattr(OnnxRuntimeEngine, "infer", watched)
    with FileSource(clip).open() as reader, Detector(model=str(path)).open() as detect:
        given.clear()  # the detector tries the engine when it opens it
        for frame in islice(reader, 20):
            detect([Item(frame)])
    mine = pictures([str(clip)], 20, about, SIZE)
    assert len(given) == 20
    assert np.array_equal(np.concatenate(given), np.concatenate(mine))


def test_too_few_are_refused_with_their_number(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos", 19)
    with pytest.raises(DataRefused, match=r"photos: only 19 pictures to calibrate on; expected at least 20"):
        pictures([str(folder)], 200, ABOUT, SIZE)


def test_a_word_that_leads_nowhere_is_told_as_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"nothing\.mp4"):
        pictures([str(tmp_path / "nothing.mp4")], 200, ABOUT, SIZE)
