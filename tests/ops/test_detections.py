"""The one result type: checked when made, filtered by rows."""

import dataclasses

import numpy as np
import pytest

from watchline.ops.detections import Detections

LABELS = ("person", "bicycle", "car")


def three() -> Detections:
    return Detections(
        boxes=np.array([[0, 0, 10, 20], [5, 5, 30, 40], [1, 2, 3, 4]], np.float32),
        scores=np.array([0.9, 0.6, 0.3], np.float32),
        classes=np.array([0, 2, 0], np.int64),
        labels=LABELS,
    )


def test_names_and_length():
    found = three()
    assert len(found) == 3
    assert found.names == ["person", "car", "person"]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        (np.array([True, False, True]), [0, 2]),
        (np.array([False, False, False]), []),
        (np.array([2, 0]), [2, 0]),
        (np.array([], np.int64), []),
        (slice(1, None), [1, 2]),
        (slice(0, 0), []),
    ],
    ids=["mask", "empty mask", "indices", "no indices", "slice", "empty slice"],
)
def test_rows_stay_together(rows, kept):
    found, picked = three(), three()[rows]
    assert len(picked) == len(kept)
    np.testing.assert_array_equal(picked.boxes, found.boxes[kept])
    np.testing.assert_array_equal(picked.scores, found.scores[kept])
    np.testing.assert_array_equal(picked.classes, found.classes[kept])
    assert picked.labels == LABELS
    assert (picked.boxes.dtype, picked.scores.dtype, picked.classes.dtype) == (np.float32, np.float32, np.int64)


def test_none_is_empty_and_of_the_right_types():
    nothing = Detections.none(LABELS)
    assert len(nothing) == 0
    assert nothing.names == []
    assert nothing.boxes.shape == (0, 4)
    assert (nothing.boxes.dtype, nothing.scores.dtype, nothing.classes.dtype) == (np.float32, np.float32, np.int64)
    assert len(Detections.none(())) == 0


@pytest.mark.parametrize(
    ("boxes", "scores", "classes"),
    [
        ((2, 4), (3,), (3,)),
        ((3, 5), (3,), (3,)),
        ((3, 4), (3, 1), (3,)),
        ((3, 4), (3,), (2,)),
        ((12,), (3,), (3,)),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(boxes, scores, classes):
    with pytest.raises(ValueError, match=r"do not fit together.*expected \(N, 4\), \(N,\), \(N,\)"):
        Detections(np.zeros(boxes, np.float32), np.zeros(scores, np.float32), np.zeros(classes, np.int64), LABELS)


@pytest.mark.parametrize(("wrong", "labels"), [(3, LABELS), (-1, LABELS), (0, ())])
def test_a_class_without_a_label_is_refused(wrong, labels):
    with pytest.raises(ValueError, match="a class is outside"):
        Detections(np.zeros((1, 4), np.float32), np.zeros(1, np.float32), np.array([wrong]), labels)


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        three().labels = ()
