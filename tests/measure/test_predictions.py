"""Predictions that were saved give back what was found; files that cannot be are refused in a line."""

import json

import numpy as np
import pytest

from watchline.measure import predictions
from watchline.measure.errors import DataNotFound, DataRefused, ReportNotWritten
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks

LABELS = ("person", "car", "kite")


def found(n, masks=None):
    rng = np.random.default_rng(n)
    boxes = rng.uniform(0, 50, (n, 4)).astype(np.float32)
    scores = np.sort(rng.random(n).astype(np.float32))[::-1]
    return Detections(boxes, scores, rng.integers(0, 3, n), LABELS, masks=masks)


def saved(folder, **pictures):
    file = folder / "saved.jsonl"
    predictions.write(
        file, "street", {"model": {"name": "tiny", "labels": list(LABELS)}, "config": {}}, pictures.items()
    )
    return file


def test_numbers_come_back_to_the_bit(tmp_path):
    pictures = {"a": found(7), "b": found(0)}
    read = predictions.read(saved(tmp_path, **pictures))
    assert list(read) == ["a", "b"]
    for name, one in pictures.items():
        assert read[name].labels == LABELS
        assert read[name].masks is None
        for column in ("xyxy", "confidence", "class_id"):
            np.testing.assert_array_equal(getattr(read[name], column), getattr(one, column))


def test_masks_come_back_and_a_picture_with_nothing_has_none_of_them(tmp_path):
    planes = np.zeros((2, 20, 30), np.bool_)
    planes[0, 2:9, 3:7], planes[1, 0:20, 29] = True, True
    read = predictions.read(saved(tmp_path, a=found(2, Masks.of(planes)), b=found(0)))
    np.testing.assert_array_equal(read["a"].masks.dense(), planes)
    assert len(read["b"].masks) == 0


def line(file=None, frame=0, detections=()):
    return {"schema": 1, "frame": frame, "detections": list(detections)} | ({"file": file} if file else {})


def thing(**more):
    return {"label": "dog", "class": 0, "score": 0.5, "box": [0, 0, 9, 9], **more}


def write(tmp_path, *lines):
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return file


def test_photos_go_by_their_file_and_frames_by_their_number(tmp_path):
    events = [line("day/a.b.JPG", 0, [thing()]), line(None, 12), {"event": "caption", "text": "x"}, {"footer": {}}]
    read = predictions.read(write(tmp_path, *events))
    assert list(read) == ["day/a.b", "12"]
    assert read["12"].labels == ("dog",)  # no header says more


def test_photos_that_differ_in_their_suffix_alone_keep_it(tmp_path):
    read = predictions.read(write(tmp_path, line("a.jpg"), line("a.png"), line("b.png")))
    assert list(read) == ["a.jpg", "a.png", "b"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["{"], "line 1 is no JSON"),
        (["[]"], "line 1 is no event"),
        ([{"header": {}}], "has no detections: expected events"),
        ([line("a.jpg"), line("a.jpg")], r"line 2 is the second of a\.jpg"),
        ([line(detections=[thing(score=2)])], "expected a label, a score in 0..1 and a box"),
        ([line(detections=[thing(box=[0, 0, 1])])], "expected a label, a score in 0..1 and a box"),
        ([line(detections=[thing(box=[0, 0, 1, 1e9])])], "expected a label, a score in 0..1 and a box"),
        ([line(detections=[thing(label=7)])], "expected a label, a score in 0..1 and a box"),
        ([{"frame": 0, "detections": 5}], "expected a label, a score in 0..1 and a box"),
        ([line(detections=[thing(segmentation={"size": [9, 9], "counts": [1]})])], "the detections of 0 cannot be"),
        ([line(detections=[thing(segmentation=3)])], "the detections of 0 cannot be"),
        (['{"frame": 0, "detections": [{"label": "a", "score": NaN, "box": [0, 0, 1, 1]}]}'], "a score in 0..1"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path, lines, says):
    with pytest.raises(DataRefused, match=says):
        predictions.read(write(tmp_path, *lines))


def test_a_file_that_is_not_there_and_one_that_cannot_be_written(tmp_path):
    with pytest.raises(DataNotFound, match="there is no such file"):
        predictions.read(tmp_path / "nothing.jsonl")
    with pytest.raises(ReportNotWritten, match="it cannot be written"):
        predictions.write(tmp_path / "no" / "f.jsonl", "x", {}, [])
