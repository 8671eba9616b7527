"""How far apart two runs are: candidates as a set, and boxes that are matched, lost or new."""

import numpy as np
import pytest

from watchline.measure.differences import Difference, of_candidates, of_detections, of_outputs, shown_boxes
from watchline.ops.detections import Detections

LABELS = ("cat", "dog")
SIZE = (100, 100)
A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
NEAR = (0, 0, 10, 9.5)  # IoU with A is 0.95
HALF = (0, 0, 10, 5)


def outputs(*rows: tuple[tuple[float, ...], float, float]) -> dict[str, np.ndarray]:
    """Rows of a box, the score of cat and the score of dog."""
    boxes, cats, dogs = zip(*rows, strict=True)
    return {
        "boxes": np.array([boxes], np.float32),
        "scores": np.array([list(zip(cats, dogs, strict=True))], np.float32),
    }


def found(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    boxes, scores, classes = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64), LABELS
    )


@pytest.mark.parametrize(
    ("one", "other", "boxes", "scores", "reason"),
    [
        (outputs((A, 0.9, 0)), outputs((A, 0.9, 0)), 0, 0, "the same"),
        (outputs((A, 0.9, 0)), outputs(((0, 0, 10, 12), 0.9, 0)), 2, 0, "a coordinate"),
        (outputs((A, 0.9, 0)), outputs((A, 0.8, 0.3)), 0, 0.3, "the score of any class"),
        (outputs((A, 0.9, 0), (B, 0, 0.8)), outputs((B, 0, 0.8), (A, 0.9, 0)), 0, 0, "another order"),
        (outputs((A, 0.9, 0), (B, 0, 0.001)), outputs((A, 0.9, 0), (C, 0, 0.002)), 0, 0, "nobody sees these"),
        (outputs((A, 0.9, 0), (B, 0, 0)), outputs((A, 0.9, 0), (B, 0, 0.5)), 0, 0.5, "one that only the other has"),
        (outputs((A, 0.9, 0), (B, 0, 0.5)), outputs((A, 0.9, 0), (A, 0.9, 0)), 0, 0.9, "one that the other has not"),
        (outputs((A, 0.9, 0)), outputs((A, 0.9, 0), (A, 0.9, 0)), 0, 0, "another number of rows"),
        (outputs(((0, 0, 1e9, 9), 0.9, 0)), outputs(((0, -1e9, 2e9, 9), 0.9, 0)), 0, 0, "beyond the edges"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_candidates_are_a_set(one, other, boxes: float, scores: float, reason: str) -> None:
    for difference in (of_candidates(one, other, SIZE), of_candidates(other, one, SIZE)):
        if reason == "one that the other has not":  # nearest is A, 20 px and 0.9 away: some of both
            assert difference.boxes == 20
            continue
        assert difference.boxes == pytest.approx(boxes), reason
        assert difference.scores == pytest.approx(scores, abs=1e-6), reason


def test_where_nothing_is_likely_nothing_is_compared() -> None:
    assert of_candidates(outputs((A, 0, 0)), outputs((B, 0, 0)), SIZE) == Difference()


def test_a_run_that_gives_no_rows_has_lost_all() -> None:
    none = {"boxes": np.zeros((1, 0, 4), np.float32), "scores": np.zeros((1, 0, 2), np.float32)}
    for one, other in ((outputs((A, 0.9, 0)), none), (none, outputs((A, 0.9, 0)))):
        difference = of_outputs(one, other, SIZE, LABELS, 0.25, 0.45)
        assert (difference.boxes, difference.scores) == (None, None)
        assert (difference.matched, difference.lost + difference.extra) == (0, 1)


def test_many_candidates_are_compared_in_parts() -> None:
    rng = np.random.default_rng(0)
    one = {"boxes": rng.uniform(0, 99, (1, 100, 4)), "scores": rng.uniform(0.1, 1, (1, 100, 2))}
    order = rng.permutation(100)
    other = {name: values[:, order].copy() for name, values in one.items()}
    other["boxes"][0, 50, 2] += 0.25
    assert of_candidates(one, other, SIZE).boxes == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("one", "other", "counts", "reason"),
    [
        (found((A, 0.9, 0)), found((A, 0.7, 0)), (1, 0, 0), "the score does not matter"),
        (found((A, 0.9, 0)), found((NEAR, 0.9, 0)), (1, 0, 0), "IoU 0.95"),
        (found((A, 0.9, 0)), found((HALF, 0.9, 0)), (0, 1, 1), "IoU 0.5"),
        (found((A, 0.9, 0)), found((A, 0.9, 1)), (0, 1, 1), "another class"),
        (found((A, 0.9, 0), (A, 0.8, 0)), found((A, 0.9, 0)), (1, 1, 0), "each is matched once"),
        (found((A, 0.9, 0), (B, 0.8, 1)), found((B, 0.8, 1), (A, 0.5, 0)), (2, 0, 0), "another order"),
        (found(), found((A, 0.9, 0)), (0, 0, 1), "none before"),
        (found((A, 0.9, 0)), found(), (0, 1, 0), "none after"),
        (found(), found(), (0, 0, 0), "none at all"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_boxes_are_matched_lost_or_new(one: Detections, other: Detections, counts, reason: str) -> None:
    difference = of_detections(one, other)
    assert (difference.matched, difference.lost, difference.extra) == counts, reason


def test_matched_boxes_tell_how_far_apart_they_are() -> None:
    difference = of_detections(found((A, 0.9, 0), (B, 0.5, 0)), found((NEAR, 0.7, 0), (C, 0.1, 0)))
    assert difference.boxes == 0.5
    assert difference.scores == pytest.approx(0.2)
    assert of_detections(found((A, 0.9, 0)), found()).boxes is None


def test_labels_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="cat"):
        of_detections(found(), Detections.none(("cat",)))


def test_what_is_shown_is_suppressed_inside_each_class() -> None:
    shown = shown_boxes(outputs((NEAR, 0.8, 0), (A, 0.9, 0), (A, 0, 0.7), (B, 0.2, 0.1)), LABELS, 0.25, 0.45)
    assert shown.confidence.tolist() == pytest.approx([0.9, 0.7])
    assert shown.class_id.tolist() == [0, 1]


def test_of_a_segmentation_pixels_are_counted() -> None:
    one = {"classes": np.zeros((1, 4, 5), np.uint8)}
    other = {"classes": one["classes"].copy()}
    other["classes"][0, 0, :3] = 7
    assert of_outputs(one, other, SIZE, LABELS, 0.25, 0.45) == Difference(classes=0.15)


def test_of_what_is_shown_the_edges_count_as_well() -> None:
    """Uncut, the two overlap by half; what lies outside is seen by nobody."""
    one, other = outputs(((0, 0, 99, 10), 0.9, 0)), outputs(((-99, 0, 99, 10), 0.9, 0))
    assert of_outputs(one, other, SIZE, LABELS, 0.25, 0.45) == Difference(0.0, 0.0, None, 1, 0, 0)


def test_what_lies_outside_is_neither_lost_nor_new() -> None:
    one = outputs((A, 0.9, 0), ((-20, 0, -10, 10), 0.9, 0))
    assert of_outputs(one, one, SIZE, LABELS, 0.25, 0.45) == Difference(0.0, 0.0, None, 1, 0, 0)


def test_differences_add_up() -> None:
    total = Difference(1.0, 0.1, None, 2, 1, 0) + Difference(None, 0.2, 0.5, 3, 0, 2) + Difference()
    assert total == Difference(1.0, 0.2, 0.5, 5, 1, 2)
    assert total.lost_share == pytest.approx(2 / 7)
    assert Difference().lost_share == 0
    assert max([Difference(9.0), Difference(lost=1), Difference(1.0)]).lost == 1


def test_what_other_tasks_give_is_compared_place_by_place() -> None:
    words = {"words": np.array([[1, 2, 3, 4]])}
    assert of_outputs(words, {"words": np.array([[1, 2, 4, 4]])}, SIZE, LABELS, 0.5, 0.5) == Difference(classes=0.25)
    sure = {"sure": np.array([0.5, 0.25], np.float32)}
    apart = of_outputs(words | sure, words | {"sure": np.array([0.5, 0.5], np.float32)}, SIZE, LABELS, 0.5, 0.5)
    assert apart == Difference(classes=0.0, scores=0.25)


def test_masks_are_compared_where_boxes_are_the_same() -> None:
    one, other = outputs((A, 0.9, 0), (B, 0, 0.8)), outputs((B, 0, 0.8), (A, 0.9, 0))
    one["masks"] = np.stack([np.tri(4), np.ones((4, 4))])[None]
    other["masks"] = one["masks"][:, ::-1].copy()
    assert of_outputs(one, other, SIZE, LABELS, 0.25, 0.5).classes == 0
    other["masks"][0, 0, 0, :2] = 0.4  # of B: two of its sixteen pixels, of 32 in all
    assert of_outputs(one, other, SIZE, LABELS, 0.25, 0.5).classes == pytest.approx(2 / 32)
    assert of_outputs(one, outputs((C, 0.9, 0)), SIZE, LABELS, 0.25, 0.5).classes is None
