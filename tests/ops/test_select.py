"""From candidates to detections, against slow loops."""

import numpy as np
import pytest
import reference

from watchline.ops.boxes import has_area
from watchline.ops.letterbox import Fit, fit
from watchline.ops.select import Selected, select


def candidates(seed: int, count: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes in and around an input of 96 x 64, some turned inside out, and scores with ties."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-30, 100, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(-2, 40, (count, 2))], axis=1).astype(np.float32)
    return boxes, (rng.integers(0, 20, (count, columns)) / 20).astype(np.float32)


def slowly(
    boxes: np.ndarray,
    scores: np.ndarray,
    conf: float,
    threshold: float,
    class_of: list[int],
    wanted: list[bool],
    placement: Fit | None,
) -> list[tuple[list[float], float, int]]:
    likely = [i for i, row in enumerate(scores.tolist()) if max(row) >= np.float32(conf)]
    best = [scores[i].tolist().index(scores[i].max()) for i in likely]
    classes = [class_of[column] for column in best]
    values = [float(scores[i].max()) for i in likely]
    rows = []
    for kept in reference.nms([boxes[i].tolist() for i in likely], values, classes, threshold):
        box = boxes[likely[kept] : likely[kept] + 1]
        if placement is not None:
            box = placement.to_source(box)
        x1, y1, x2, y2 = box[0].tolist()
        if wanted[classes[kept]] and (placement is None or (x2 > x1 and y2 > y1)):
            rows.append(([x1, y1, x2, y2], values[kept], classes[kept]))
    return rows


def as_rows(found: Selected) -> list[tuple[list[float], float, int]]:
    assert (found.boxes.dtype, found.scores.dtype, found.classes.dtype) == (np.float32, np.float32, np.int64)
    return list(zip(found.boxes.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True))


@pytest.mark.parametrize("count", [0, 1, 60])
@pytest.mark.parametrize("conf", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("rule", [None, "letterbox", "letterbox-center", "stretch", "letterbox-darknet"])
def test_equals_the_loops(count, conf, rule):
    placement = None if rule is None else fit((640, 272), (96, 64), rule)
    for seed in range(5):
        boxes, scores = candidates(seed, count, columns=3)
        found = select(boxes, scores, conf=conf, iou=0.3, placement=placement)
        np.testing.assert_array_equal(scores[found.rows].max(1, initial=0), found.scores)
        here = boxes[found.rows] if placement is None else placement.to_source(boxes[found.rows])
        np.testing.assert_array_equal(here, found.boxes)
        assert as_rows(found) == slowly(boxes, scores, conf, 0.3, [0, 1, 2], [True] * 3, placement)


def test_columns_of_one_class_suppress_one_another_and_what_nobody_wants_goes_last():
    class_of, wanted = np.array([1, 0, 1, 2]), np.array([True, True, False])
    for seed in range(20):
        boxes, scores = candidates(seed, 40, columns=4)
        found = select(boxes, scores, conf=0.3, iou=0.2, class_of=class_of, wanted=wanted)
        assert as_rows(found) == slowly(boxes, scores, 0.3, 0.2, class_of.tolist(), wanted.tolist(), None)
        assert 2 not in found.classes


def test_the_arguments_stay_as_they_were():
    boxes, scores = candidates(0, 30, columns=2)
    before = boxes.copy(), scores.copy()
    select(boxes, scores, conf=0.1, iou=0.5, placement=fit((9, 9), (96, 64)))
    assert np.array_equal(boxes, before[0])
    assert np.array_equal(scores, before[1])


def test_a_box_without_a_side_has_no_area():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 1, 0], [2, 0, 1, 1], [2, 2, 1, 1]], np.float32)
    assert has_area(boxes).tolist() == [True, False, False, False, False]
    assert has_area(np.empty((0, 4), np.float32)).shape == (0,)


def test_a_box_is_shown_for_each_class_that_scores_enough():
    for seed in range(10):
        boxes, scores = candidates(seed, 30, columns=3)
        found = select(boxes, scores, conf=0.4, iou=0.3, several=True)
        rows = [(i, c) for i in range(30) for c in range(3) if scores[i, c] >= np.float32(0.4)]
        kept = reference.nms(
            [boxes[i].tolist() for i, _ in rows], [float(scores[r]) for r in rows], [c for _, c in rows], 0.3
        )
        assert as_rows(found) == [(boxes[rows[k][0]].tolist(), float(scores[rows[k]]), rows[k][1]) for k in kept]
    both = select(
        np.array([[0, 0, 9, 9]], np.float32), np.array([[0.9, 0.8]], np.float32), conf=0.5, iou=0.5, several=True
    )
    assert both.classes.tolist() == [0, 1]


@pytest.mark.parametrize("several", [True, False])
def test_boxes_of_different_classes_suppress_each_other_if_asked(several):
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10]], np.float32)
    scores = np.array([[0.3, 0.9], [0.8, 0.1], [0.1, 0.5]], np.float32)
    asked = {"conf": 0.25, "iou": 0.5, "several": several}
    assert as_rows(select(boxes, scores, agnostic=True, **asked)) == [
        ([0, 0, 10, 10], pytest.approx(0.9), 1),
        ([20, 0, 30, 10], pytest.approx(0.5), 1),
    ]
    assert len(select(boxes, scores, **asked).boxes) == 3


def test_boxes_of_a_class_are_merged_where_the_model_asks_for_it() -> None:
    boxes = np.array([[0, 0, 40, 40], [4, 0, 44, 40], [2, 0, 42, 40], [0, 0, 8, 8]], np.float32)
    scores = np.array([[0.9, 0], [0.5, 0], [0, 0.8], [0.1, 0]], np.float32)
    place = fit((200, 100), (100, 50))
    found = select(boxes, scores, conf=0.25, iou=0.5, merge=True, placement=place)
    assert found.boxes.tolist() == [[4, 0, 84, 80], [4, 0, 84, 80]]
    assert found.scores.tolist() == pytest.approx([0.8, 0.7])
    assert found.classes.tolist() == [1, 0]
    assert found.rows.tolist() == [2, 0]
    alone = select(boxes, scores, conf=0.25, iou=0.5, merge=True, agnostic=True, placement=place)
    assert alone.classes.tolist() == [1]  # merged first, then the better class of the place stays
    assert len(select(boxes[:0], scores[:0], conf=0.25, iou=0.5, merge=True).boxes) == 0
