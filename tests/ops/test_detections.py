"""The one result type: checked when made, filtered by rows, iterated over, handed on."""

import dataclasses
import json
import sys

import numpy as np
import pytest

from watchline.errors import WatchlineError
from watchline.ops.detections import Detection, Detections
from watchline.ops.masks import Masks

LABELS = ("person", "bicycle", "car")
BOXES = [[0, 0, 10, 20], [5, 5, 30, 40], [1, 2, 3, 4]]


def three(**more) -> Detections:
    return Detections(
        xyxy=np.array(BOXES, np.float32),
        confidence=np.array([0.9, 0.6, 0.3], np.float32),
        class_id=np.array([0, 2, 0], np.int64),
        labels=LABELS,
        **more,
    )


def full() -> Detections:
    return three(
        tracker_id=np.array([7, 8, 9]),
        masks=Masks.of(np.arange(3 * 4 * 5).reshape(3, 4, 5) % 7 == 0),
        predicted=np.array([True, False, True]),
        data={"speed": np.array([1.5, 2.5, 3.5]), "colour": np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])},
    )


def test_names_and_length():
    found = three()
    assert len(found) == 3
    assert found.names.tolist() == ["person", "car", "person"]
    assert (found.names == "person").tolist() == [True, False, True]
    assert "car" in found.names
    assert "bicycle" not in found.names


ROWS = [
    (np.array([True, False, True]), [0, 2], "mask"),
    (np.array([False, False, False]), [], "empty mask"),
    ([True, False, False], [0], "list of booleans"),
    (np.array([2, 0]), [2, 0], "indices"),
    ([2, 0], [2, 0], "list of indices"),
    (np.array([], np.int64), [], "no indices"),
    ([], [], "empty list"),
    (slice(1, None), [1, 2], "slice"),
    (slice(0, 0), [], "empty slice"),
    (1, [1], "index"),
    (-1, [2], "from the end"),
    (np.int64(2), [2], "NumPy index"),
    (np.argmax([0.1, 0.7, 0.2]), [1], "result of argmax"),
]


@pytest.mark.parametrize(("rows", "kept"), [r[:2] for r in ROWS], ids=[r[2] for r in ROWS])
def test_rows_stay_together(rows, kept):
    found, picked = full(), full()[rows]
    assert len(picked) == len(kept)
    for name in ("xyxy", "confidence", "class_id", "tracker_id", "mask", "predicted"):
        np.testing.assert_array_equal(getattr(picked, name), getattr(found, name)[kept])
        assert getattr(picked, name).dtype == getattr(found, name).dtype
    assert picked.labels == LABELS
    assert list(picked.data) == ["speed", "colour"]
    for name, column in picked.data.items():
        np.testing.assert_array_equal(column, found.data[name][kept])


def test_filters_read_as_they_are_said():
    found = three()
    assert found[(found.names == "person") & (found.confidence > 0.5)].xyxy.tolist() == [[0, 0, 10, 20]]
    assert found[np.isin(found.names, ("car", "bicycle"))].names.tolist() == ["car"]


@pytest.mark.parametrize("rows", [3, -4, [0, 3], "person", np.array([True, False])])
def test_rows_that_are_not_there(rows):
    with pytest.raises(IndexError):
        three()[rows]


def test_iterating_gives_plain_values():
    assert list(three()[:2]) == [
        Detection((0.0, 0.0, 10.0, 20.0), pytest.approx(0.9), 0, "person"),
        Detection((5.0, 5.0, 30.0, 40.0), pytest.approx(0.6), 2, "car"),
    ]
    assert [one.tracker_id for one in full()] == [7, 8, 9]
    assert [one.predicted for one in full()] == [True, False, True]
    [one] = full()[1]
    kinds = {type(value) for value in (*one.xyxy, one.confidence, one.class_id, one.name, one.tracker_id)}
    assert kinds == {float, int, str}
    assert list(Detections.none(LABELS)) == []


def test_none_is_empty_and_of_the_right_types():
    nothing = Detections.none(LABELS)
    assert len(nothing) == 0
    assert nothing.names.tolist() == []
    assert (nothing.names == "person").tolist() == []
    assert nothing.xyxy.shape == (0, 4)
    assert (nothing.xyxy.dtype, nothing.confidence.dtype, nothing.class_id.dtype) == (np.float32, np.float32, np.int64)
    assert (nothing.tracker_id, nothing.masks, nothing.mask, nothing.data) == (None, None, None, {})
    assert nothing.predicted is None
    assert len(Detections.none(())) == 0
    assert Detections.none(()).names.tolist() == []


def test_numbers_of_another_size_are_converted():
    found = Detections(BOXES, [0.9, 0.6, 0.3], np.array([0, 2, 0], np.uint8), list(LABELS), np.int32([1, 2, 3]))
    assert (found.xyxy.dtype, found.confidence.dtype) == (np.float32, np.float32)
    assert (found.class_id.dtype, found.tracker_id.dtype) == (np.int64, np.int64)
    assert found.labels == LABELS
    assert len(Detections(np.zeros((0, 4)), [], [], ())) == 0


def test_right_arrays_are_taken_as_they_are():
    boxes = np.array(BOXES, np.float32)
    assert three().xyxy is not boxes
    assert Detections(boxes, np.ones(3, np.float32), np.zeros(3, np.int64), LABELS).xyxy is boxes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"xyxy": np.zeros((2, 4))}, r"xyxy is float64 \(2, 4\): expected float32 \(3, 4\)"),
        ({"xyxy": np.zeros((3, 5))}, r"xyxy is float64 \(3, 5\): expected float32 \(3, 4\)"),
        ({"xyxy": np.zeros(12)}, r"xyxy is float64 \(12,\): expected float32 \(3, 4\)"),
        ({"xyxy": [[1, 2], [1, 2, 3]]}, "xyxy is no array: .*inhomogeneous"),
        ({"xyxy": None}, r"xyxy is object \(\): expected float32 \(3, 4\)"),
        ({"confidence": np.zeros((3, 1))}, r"confidence is float64 \(3, 1\): expected float32 \(N,\)"),
        ({"confidence": 0.5}, r"confidence is float64 \(\): expected float32 \(N,\)"),
        ({"confidence": np.zeros(2)}, r"xyxy is float32 \(3, 4\): expected float32 \(2, 4\)"),
        ({"class_id": np.zeros(2, int)}, r"class_id is int64 \(2,\): expected int64 \(3,\)"),
        ({"class_id": np.zeros(3)}, r"class_id is float64 \(3,\): expected int64 \(3,\)"),
        ({"predicted": np.zeros(2, bool)}, r"predicted is bool \(2,\): expected bool \(3,\)"),
        ({"predicted": [0, 1, 0]}, r"predicted is int64 \(3,\): expected bool \(3,\)"),
        ({"class_id": ["person", "car", "car"]}, r"class_id is <U6 \(3,\): expected int64 \(3,\)"),
        ({"class_id": [0, 3, 0]}, "class_id has 3: expected 0 <= class_id < 3, as many as labels"),
        ({"class_id": [0, 0, -1]}, "class_id has -1: expected 0 <= class_id < 3, as many as labels"),
        ({"labels": ()}, "class_id has 0: expected 0 <= class_id < 0, as many as labels"),
        ({"labels": "person"}, "labels is 'person': expected a tuple of names"),
        ({"tracker_id": np.zeros(3)}, r"tracker_id is float64 \(3,\): expected int64 \(3,\)"),
        ({"tracker_id": [1]}, r"tracker_id is int64 \(1,\): expected int64 \(3,\)"),
        ({"masks": Masks.none((4, 5))}, "masks has 0 objects: expected 3, as many as confidence"),
        (
            {"data": {"speed": np.zeros(2)}},
            r"data\['speed'\] is float64 \(2,\): expected 3 rows, as many as confidence",
        ),
        ({"data": {"speed": 5}}, r"data\['speed'\] is int64 \(\): expected 3 rows, as many as confidence"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        dataclasses.replace(three(), **changes)
    assert isinstance(caught.value, WatchlineError)
    assert "\n" not in str(caught.value)


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        three().labels = ()


def test_comparing_two_is_not_an_array():
    one = three()
    assert one == one
    assert one != three()
    assert len({one, three()}) == 2


def test_to_dicts_is_what_events_say():
    found = Detections([[-0.001, 1.234, 3.456, 4]], [0.123456], [1], LABELS)
    expected = {"label": "bicycle", "class": 1, "score": 0.1235, "box": [0.0, 1.23, 3.46, 4.0]}
    assert json.dumps(found.to_dicts()) == json.dumps([expected])
    tracked = dataclasses.replace(found, tracker_id=[12])
    assert json.dumps(tracked.to_dicts()) == json.dumps([expected | {"track": 12}])
    masked = dataclasses.replace(found, masks=Masks.of(np.eye(3, dtype=bool)[None]))
    assert masked.to_dicts() == [expected | {"segmentation": {"size": [3, 3], "counts": "013000"}}]
    assert Detections.none(LABELS).to_dicts() == []


@pytest.mark.parametrize("make", [three, full, lambda: Detections.none(LABELS)], ids=["plain", "full", "none"])
def test_to_supervision(make):
    found = make()
    theirs = found.to_supervision()
    assert len(theirs) == len(found)
    for name in ("xyxy", "confidence", "class_id", "tracker_id"):
        assert getattr(theirs, name) is getattr(found, name)
    np.testing.assert_array_equal(theirs.mask, found.mask)
    assert theirs.data["class_name"].tolist() == found.names.tolist()
    more = {"class_name"} if found.predicted is None else {"class_name", "predicted"}
    assert set(theirs.data) == {*found.data, *more}
    some = np.arange(len(found)) > 0
    assert theirs[some].data["class_name"].tolist() == found[some].names.tolist()


def test_without_supervision_there_is_a_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(
        ImportError, match=r"^supervision cannot be imported .*pip install 'supervision>=0\.31'$"
    ) as caught:
        three().to_supervision()
    assert isinstance(caught.value, WatchlineError)
