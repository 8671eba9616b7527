"""Mean IoU of what comes out of the segmenter stage, on pictures in CamVid's layout."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from class_map_set import coloured
from models_onnx import save, tiny_detector, tiny_segmenter
from reference import mean_iou

from watchline.engines import metadata
from watchline.measure.class_maps import annotation, class_maps, find_split, in_layout
from watchline.measure.errors import DataNotFound, DataRefused
from watchline.pipeline.stages.segmenter import Segmenter


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return coloured(tmp_path / "streets")


def segmenter(folder: Path) -> Segmenter:
    return Segmenter(model=str(save(tiny_segmenter(), folder)), imgsz=(64, 32), workers=1)


def test_it_is_the_slow_loops_figure(data: Path, tmp_path: Path) -> None:
    measured = class_maps(segmenter(tmp_path), data)
    pictures = [cv2.imread(str(data / "val" / f"{name}.png")) for name in "ab"]
    truth = np.stack([cv2.imread(str(data / "valannot" / f"{name}.png"), cv2.IMREAD_UNCHANGED) for name in "ab"])
    found = np.stack([picture.argmax(2) for picture in pictures])
    assert measured.pictures == 2
    assert 0.5 < measured.mean < 1
    assert measured.mean == pytest.approx(mean_iou(found.ravel().tolist(), truth.ravel().tolist(), 3))
    assert measured.counts.sum() == 2 * 28 * 64  # without the void


def test_weights_of_its_table_are_repetitions(data: Path, tmp_path: Path) -> None:
    """A class that is in no picture of a sample has no figure there, and counts in the mean with that of all."""
    measured = class_maps(segmenter(tmp_path), data)
    once, twice, none = measured.table(np.array([[1, 1], [0, 2], [0, 0]]))["mean"]["IoU"]
    assert once == pytest.approx(measured.mean)
    assert twice == pytest.approx(replace(measured, each=measured.each[1:]).mean)
    assert none == pytest.approx(measured.mean)
    assert np.isnan(measured.table(np.array([[0, 0]]))["red"]["IoU"]).all()


def test_the_letterbox_is_undone(data: Path, tmp_path: Path) -> None:
    """A higher input has padding below the picture, which counts nowhere."""
    expected = class_maps(segmenter(tmp_path), data)
    model = tiny_segmenter()
    metadata.write(model, replace(metadata.of(model, "tiny"), resize="letterbox"))
    measured = class_maps(Segmenter(model=str(save(model, tmp_path)), imgsz=(64, 64), workers=1), data)
    assert np.array_equal(measured.counts, expected.counts)


def test_what_cannot_be_is_refused(data: Path, tmp_path: Path) -> None:
    assert in_layout(data)
    assert not in_layout(tmp_path)
    with pytest.raises(DataNotFound, match="no split 'test': expected one of val"):
        find_split(data, "test")
    with pytest.raises(DataNotFound, match="expected CamVid's layout"):
        find_split(tmp_path)
    file = data / "valannot" / "a.png"
    with pytest.raises(DataRefused, match="it has the class 3, and the model has 2 labels"):
        annotation(file, (32, 64), 2)
    with pytest.raises(DataRefused, match=r"expected \(32, 65\) uint8"):
        annotation(file, (32, 65), 3)
    with pytest.raises(DataNotFound, match="a class map for each picture"):
        annotation(data / "valannot" / "c.png", (32, 64), 3)
    masks = Segmenter(model=str(save(tiny_detector(), tmp_path)), workers=1)
    with pytest.raises(ValueError, match="its task is 'detect'"):
        class_maps(masks, data)
