"""Average precision against a hand-made example, every rule of VOC's kit, and a slow loop."""

import math

import numpy as np
import pytest
import reference

from watchline.ops.average_precision import Predictions, Truth, average_precision, judge, mean_average_precision


def found(*rows) -> Predictions:
    """Rows of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Predictions(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def truth(*rows) -> Truth:
    """Rows of (x1, y1, x2, y2, class, difficult)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Truth(table[:, :4], table[:, 4].astype(np.int64), table[:, 5] == 1)


A, B, C = (0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)
NOWHERE = (80, 80, 90, 90)
HALF = (0, 0, 10, 5)  # IoU with A is exactly 0.5


def test_by_hand():
    """Three truths in two pictures; detections best first: hit, miss, hit, miss (a second on A).

    Precision 1, 1/2, 2/3, 2/4 at recall 1/3, 1/3, 2/3, 2/3. Area: 1/3 * 1 + 1/3 * 2/3 = 5/9.
    Eleven points: recalls 0, .1, .2, .3 have 1; .4, .5, .6 have 2/3; the rest 0: (4 + 2) / 11.
    """
    seen = [found((*A, 0.9, 0), (*A, 0.4, 0)), found((*NOWHERE, 0.8, 0), (*B, 0.6, 0))]
    real = [truth((*A, 0, 0)), truth((*B, 0, 0), (*C, 0, 0))]
    judged = judge(seen, real, 0, 0.5)
    assert judged.right.tolist() == [[True, False, True, False]]
    assert judged.wrong.tolist() == [[False, True, False, True]]
    assert judged.truths.tolist() == [1, 2]
    assert (judged.pictures.tolist(), judged.ranks.tolist()) == ([0, 1, 1, 0], [0, 0, 1, 1])
    assert average_precision(seen, real, 1) == pytest.approx([5 / 9])
    assert average_precision(seen, real, 1, rule="voc2007") == pytest.approx([6 / 11])


@pytest.mark.parametrize(
    ("seen", "real", "area", "reason"),
    [
        ([(*A, 0.9, 0)], [(*A, 0, 0)], 1.0, "found"),
        ([], [(*A, 0, 0)], 0.0, "a truth and no detection"),
        ([(*NOWHERE, 0.9, 0)], [(*A, 0, 0)], 0.0, "no overlap"),
        ([(*HALF, 0.9, 0)], [(*A, 0, 0)], 1.0, "IoU 0.5 itself is enough"),
        ([(0, 0, 10, 4.9, 0.9, 0)], [(*A, 0, 0)], 0.0, "IoU 0.49 is not"),
        ([(*A, 0.9, 1)], [(*A, 0, 0)], 0.0, "right box, wrong class"),
        ([(*A, 0.9, 0), (*A, 0.8, 0)], [(*A, 0, 0), (*B, 0, 0)], 0.5, "the second on a truth is false, one is missed"),
        ([(*A, 0.9, 0), (*A, 0.8, 0), (*B, 0.7, 0)], [(*A, 0, 0), (*B, 0, 0)], (1 + 2 / 3) / 2, "so it costs the next"),
        (
            [(*A, 0.9, 0), (*A, 0.8, 0), (*A, 0.7, 0), (*B, 0.6, 0)],
            [(*A, 0, 1), (*B, 0, 0)],
            1.0,
            "difficult takes all",
        ),
        ([(*NOWHERE, 0.9, 0), (*B, 0.6, 0)], [(*A, 0, 1), (*B, 0, 0)], 0.5, "beside a difficult truth is still false"),
        ([(*B, 0.9, 0)], [(*A, 0, 1), (*B, 0, 0)], 1.0, "a difficult truth need not be found"),
        ([(*A, 0.9, 0)], [(*A, 0, 1)], math.nan, "only difficult truths: nothing to measure"),
        ([(*A, 0.9, 0)], [], math.nan, "no truth at all"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_rules_of_the_kit(seen, real, area, reason):
    result = average_precision([found(*seen)], [truth(*real)], 1)
    assert result[0] == pytest.approx(area, nan_ok=True), reason


def test_only_the_truth_with_the_best_overlap_counts():
    """Both detections overlap the first truth best; the second would be right on the other truth, and is false."""
    truths = [truth((0, 0, 10, 10, 0, 0), (0, 3, 10, 13, 0, 0))]
    seen = [found((0, 0, 10, 10, 0.9, 0), (0, 1, 10, 11, 0.8, 0))]
    assert reference.iou((0, 1, 10, 11), (0, 3, 10, 13)) > 0.5
    assert average_precision(seen, truths, 1) == pytest.approx([0.5])


def test_of_two_equal_truths_the_first_is_meant():
    """A detection in the middle of two truths: the first is difficult in one order and not in the other."""
    left, right, middle = (0, 0, 10, 10), (4, 0, 14, 10), (2, 0, 12, 10)
    seen = [found((*middle, 0.9, 0))]
    assert average_precision(seen, [truth((*left, 0, 0), (*right, 0, 1))], 1)[0] == 1.0
    assert average_precision(seen, [truth((*left, 0, 1), (*right, 0, 0))], 1)[0] == 0.0


def test_equal_scores_keep_the_order_of_the_pictures():
    pictures = [(found((*NOWHERE, 0.5, 0)), truth()), (found((*A, 0.5, 0)), truth((*A, 0, 0)))]
    assert average_precision(*zip(*pictures, strict=True), 1)[0] == 0.5
    assert average_precision(*zip(*pictures[::-1], strict=True), 1)[0] == 1.0


def test_equal_scores_in_one_picture_keep_the_order_of_the_rows():
    """A miss and a hit of one score: whichever stands first is judged first."""
    real = [truth((*A, 0, 0))]
    assert average_precision([found((*NOWHERE, 0.5, 0), (*A, 0.5, 0))], real, 1)[0] == 0.5
    assert average_precision([found((*A, 0.5, 0), (*NOWHERE, 0.5, 0))], real, 1)[0] == 1.0


def test_of_two_on_one_truth_the_first_in_the_list_is_right_though_the_second_fits_better():
    """The kit goes by score, not by overlap, and by the order of the list where scores are equal."""
    seen = [found((*HALF, 0.5, 0), (*A, 0.5, 0))]
    judged = judge(seen, [truth((*A, 0, 0))], 0, 0.5)
    assert (judged.right.tolist(), judged.wrong.tolist()) == ([[True, False]], [[False, True]])


def test_two_on_a_difficult_truth_are_not_counted_and_the_free_truth_beside_it_stays_free():
    """Both overlap the difficult truth best; the other truth, which would do as well, is not found by them."""
    seen = [found((0, 0, 10, 10, 0.9, 0), (0, 1, 10, 11, 0.8, 0))]
    real = [truth((0, 0, 10, 10, 0, 1), (0, 3, 10, 13, 0, 0))]
    judged = judge(seen, real, 0, 0.5)
    assert not judged.right.any()
    assert not judged.wrong.any()
    assert judged.truths.sum() == 1
    assert average_precision(seen, real, 1)[0] == 0


def kit_overlap(a, b) -> float:
    """`VOCevaldet.m`: boxes count pixels from 1 and include the last one."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    union = (a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - width * height
    return width * height / union


def test_half_open_boxes_have_the_overlap_of_the_kit():
    """Also on the very edge of the threshold, where a detection is right or wrong by one rounding."""
    rng = np.random.default_rng(3)
    edges = 0
    for _ in range(4000):
        corners = rng.integers(1, 9, (2, 2))
        a, b = (
            np.array([x, y, x + w, y + h]) for (x, y), (w, h) in zip(corners, rng.integers(0, 9, (2, 2)), strict=True)
        )
        seen, real = (np.array([x1 - 1, y1 - 1, x2, y2]) for x1, y1, x2, y2 in (a, b))
        judged = judge([found((*seen, 0.9, 0))], [truth((*real, 0, 0))], 0, 0.5)
        assert judged.right[0, 0] == (kit_overlap(a, b) >= 0.5)
        edges += kit_overlap(a, b) == 0.5
    assert edges > 10  # of those that decide


def test_the_eleven_points_do_not_lose_a_recall_to_rounding():
    """7 of 10 truths found without a mistake: recalls 0 to 0.7 have precision 1, although 0.7 > 7 * 0.1 in floats."""
    rows = [(20 * i, 0, 20 * i + 10, 10) for i in range(10)]
    seen = [found(*[(*r, 0.9, 0) for r in rows[:7]])]
    real = [truth(*[(*r, 0, 0) for r in rows])]
    assert average_precision(seen, real, 1, rule="voc2007")[0] == pytest.approx(8 / 11)


def random_case(seed: int):
    """Some pictures with truths, and detections jittered around them; scores of few values, so that there are ties."""
    rng = np.random.default_rng(seed)
    seen, real = [], []
    for _ in range(6):
        n = int(rng.integers(0, 6))
        start = rng.uniform(0, 60, (n, 2))
        boxes = np.concatenate([start, start + rng.uniform(10, 40, (n, 2))], axis=1)
        real.append(
            truth(*[(*b, c, d) for b, c, d in zip(boxes, rng.integers(0, 3, n), rng.random(n) < 0.3, strict=True)])
        )
        rows = []
        for box in boxes[rng.integers(0, n, int(rng.integers(0, 9)))] if n else rng.uniform(0, 50, (2, 4)):
            jittered = box + rng.normal(0, 3, 4)
            rows.append((*jittered, rng.integers(1, 8) / 8, rng.integers(0, 3)))
        seen.append(found(*rows))
    return seen, real


@pytest.mark.parametrize("rule", ["voc2010", "voc2007"])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75, 1.0])
def test_equals_the_loop(threshold, rule):
    for seed in range(12):
        seen, real = random_case(seed)
        expected = [
            reference.average_precision(
                [
                    (i, float(f.scores[k]), f.boxes[k].tolist())
                    for i, f in enumerate(seen)
                    for k in np.flatnonzero(f.classes == c)
                ],
                [
                    (i, t.boxes[k].tolist(), bool(t.difficult[k]))
                    for i, t in enumerate(real)
                    for k in np.flatnonzero(t.classes == c)
                ],
                threshold,
                rule,
            )
            for c in range(3)
        ]
        np.testing.assert_allclose(average_precision(seen, real, 3, threshold, rule), expected, atol=1e-12)


def test_no_pictures_have_no_average_precision():
    assert np.isnan(average_precision([], [], 2)).all()


@pytest.mark.parametrize(
    ("values", "mean"), [([0.5, 1.0], 0.75), ([0.5, math.nan, 0.0], 0.25), ([math.nan], math.nan), ([], math.nan)]
)
def test_the_mean_is_over_the_classes_with_truths(values, mean):
    assert mean_average_precision(np.array(values, np.float64)) == pytest.approx(mean, nan_ok=True)


@pytest.mark.parametrize(
    ("pictures", "options", "says"),
    [
        (([found()], []), {}, "1 pictures with detections, 0 with truths"),
        (([], []), {"threshold": 0}, "IoU threshold 0"),
        (([], []), {"threshold": 50}, "at most 1"),
        (([], []), {"rule": "12-point"}, "expected one of voc2010, voc2007, coco"),
    ],
)
def test_what_cannot_be_is_refused(pictures, options, says):
    with pytest.raises(ValueError, match=says):
        average_precision(*pictures, 1, **options)
