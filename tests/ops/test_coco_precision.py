"""COCO's twelve figures are those of COCO's own code, also where pictures are hard."""

import math
import warnings
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.coco_precision import FIGURES, figures, judge_by_size
from watchline.ops.masks import Masks
from watchline.ops.precision_recall import summary

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def theirs(found, truth, classes, by="bbox"):
    """The twelve figures, and AP of each class, by pycocotools; ids have gaps. -1 becomes NaN."""
    image_ids, class_ids = [7 * p + 3 for p in range(len(truth))], [4 * c + 2 for c in range(classes)]
    objects, results = [], []
    for real, image in zip(truth, image_ids, strict=True):
        own = real.boxes[:, 2:] - real.boxes[:, :2] if real.masks is None else real.masks.area[:, None]
        areas = (own.prod(axis=1) if real.areas is None else real.areas).tolist()
        outlines = [None] * len(real.classes) if real.masks is None else real.masks.to_rle()
        rows = zip(real.boxes.tolist(), real.classes, real.difficult, areas, outlines, strict=True)
        for box, c, crowd, area, outline in rows:
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            one = {"id": 5 * len(objects) + 9, "image_id": image, "category_id": class_ids[c], "iscrowd": int(crowd)}
            objects.append(one | {"bbox": [x, y, w, h], "area": area, "segmentation": outline})
    for seen, image in zip(found, image_ids, strict=True):
        outlines = [None] * len(seen.classes) if seen.masks is None else seen.masks.to_rle()
        for box, c, score, outline in zip(
            seen.boxes.tolist(), seen.classes, seen.scores.tolist(), outlines, strict=True
        ):
            place = {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]} if by == "bbox" else {}
            place |= {"segmentation": outline} if by == "segm" else {}
            results.append({"image_id": image, "category_id": class_ids[c], "score": score, **place})
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image, "width": 400, "height": 400} for image in image_ids],
            "annotations": objects,
            "categories": [{"id": number, "name": str(number)} for number in class_ids],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), by)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    each = [float(one[one > -1].mean()) if (one > -1).any() else math.nan for one in np.moveaxis(precision, 2, 0)]
    return [math.nan if value < 0 else float(value) for value in evaluation.stats], each


def random_case(seed):
    """Pictures with truths of all sizes and crowds, of coordinates with few values, and many ties of scores."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(12):
        n = int(rng.integers(0, 8)) * int(rng.random() < 0.8)
        start = rng.integers(0, 40, (n, 2)) * 4
        sides = rng.choice([8, 16, 32, 40, 96, 100, 200], (n, 2))
        boxes = np.concatenate([start, start + sides], axis=1).astype(np.float32)
        areas = sides.prod(axis=1) * rng.choice([0.5, 1.0], n)  # of a mask, as COCO has them
        crowd = rng.random(n) < 0.2
        truth.append(Truth(boxes, rng.integers(0, 4, n), crowd, areas if rng.random() < 0.5 else None))
        many = int(rng.choice([0, 3, 12, 130]))
        near = boxes[rng.integers(0, n, many)] if n else np.tile(np.float32([0, 0, 40, 40]), (many, 1))
        moved = near + rng.integers(-2, 3, (many, 4)) * rng.choice([0, 4], (many, 1))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 4)
        scores = rng.integers(1, 6, many) / np.float32(8)
        found.append(Predictions(moved.astype(np.float32), scores.astype(np.float32), rng.integers(0, 5, many)))
    return found, truth


@pytest.mark.parametrize("seed", range(15))
def test_equal_to_cocos_code_on_hard_pictures(seed):
    found, truth = random_case(seed)
    judged = [judge_by_size(found, truth, c) for c in range(5)]
    ours = figures(judged)
    stats, per_class = theirs(found, truth, 5)
    assert list(ours) == list(FIGURES)
    np.testing.assert_allclose([ours[name] for name in FIGURES], stats, atol=1e-9)
    np.testing.assert_allclose([summary(one["all"], "coco").mean() for one in judged], per_class, atol=1e-9)


def one_picture(boxes, truths, crowd=(), scores=None):
    n = len(boxes)
    scores = np.linspace(0.9, 0.5, n) if scores is None else np.array(scores)
    seen = Predictions(np.array(boxes, np.float32).reshape(-1, 4), scores.astype(np.float32), np.zeros(n, np.int64))
    crowd = np.isin(np.arange(len(truths)), crowd)
    return [seen], [Truth(np.array(truths, np.float32).reshape(-1, 4), np.zeros(len(truths), np.int64), crowd)]


BOX, BESIDE = (0, 0, 40, 40), (100, 0, 140, 40)


@pytest.mark.parametrize(
    ("case", "ap", "reason"),
    [
        (one_picture([BOX], [BOX]), 1.0, "found"),
        (one_picture([], [BOX]), 0.0, "nothing found"),
        (one_picture([BOX], []), math.nan, "nothing to find"),
        (one_picture([BESIDE, BOX], [BOX]), 0.5, "a better one is wrong"),
        (one_picture([(0, 0, 40, 26)], [BOX]), 0.4, "IoU 0.65: four of ten thresholds"),
        (one_picture([BESIDE, BESIDE, BOX], [BOX, BESIDE], crowd=[1]), 1.0, "a crowd takes any number"),
        (one_picture([(110, 10, 114, 14), BOX], [BOX, BESIDE], crowd=[1]), 1.0, "a part of a crowd lies in it"),
        (one_picture([BOX], [BESIDE], crowd=[0]), math.nan, "crowds alone"),
        (one_picture([BESIDE] * 100 + [BOX], [BOX]), 0.0, "the hundred and first does not count"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_by_hand(case, ap, reason):
    assert figures([judge_by_size(*case, 0)])["AP"] == pytest.approx(ap, nan_ok=True), reason


def test_by_size_by_hand():
    """A small truth that is missed and a large one that is found."""
    found, truth = one_picture([(100, 100, 200, 200)], [(0, 0, 10, 10), (100, 100, 200, 200)])
    measured = figures([judge_by_size(found, truth, 0)])
    assert (measured["APs"], measured["APl"], measured["ARl"]) == (0.0, pytest.approx(1.0), 1.0)
    assert np.isnan(measured["APm"])
    assert measured["AR100"] == 0.5


def ellipses(boxes):
    """A mask in each box, which fills some of it."""
    planes = np.zeros((len(boxes), 400, 400), np.uint8)
    for plane, (x1, y1, x2, y2) in zip(planes, boxes.astype(int).tolist(), strict=True):
        cv2.ellipse(plane, (((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), 0), 1, -1)
    return Masks.of(planes > 0) if len(boxes) else Masks.none((400, 400))


def test_masks_are_judged_as_cocos_code_does():
    found, truth = random_case(3)
    found = [replace(one, masks=ellipses(one.boxes)) for one in found]
    truth = [replace(one, masks=ellipses(one.boxes), areas=None) for one in truth]
    ours = figures([judge_by_size(found, truth, c, by_masks=True) for c in range(5)])
    stats, _ = theirs(found, truth, 5, by="segm")
    np.testing.assert_allclose([ours[name] for name in FIGURES], stats, atol=1e-9)
    assert 0 < ours["AP"] < 1


def test_no_classes_have_no_figures():
    assert np.isnan(list(figures([]).values())).all()


def test_other_pictures_are_refused():
    with pytest.raises(ValueError, match="expected the same pictures"):
        judge_by_size(*one_picture([BOX], [BOX])[:1], [], 0)
