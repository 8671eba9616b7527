"""Which of a model's labels stand for the classes of a data set, and detections and truths numbered alike."""

from collections.abc import Mapping, Sequence

import numpy as np

from watchline.measure.layouts.labelled import Labelled
from watchline.ops.average_precision import Predictions, Truth
from watchline.ops.coco import RENAMED
from watchline.ops.detections import Detections
from watchline.ops.masks import Masks
from watchline.ops.nms import nms

Answers = Mapping[str, tuple[str, ...]]
"""The labels that stand for each class of a data set that is measured, in the order of the classes' numbers."""


def answers_of(names: Sequence[str], labels: Sequence[str], given: Answers | None = None) -> dict[str, tuple[str, ...]]:
    """Which labels stand for each of a data set's names; names without one are left out.

    Args:
        given: labels for some of the names, instead of those of `label_of_each`.
    """
    given = given or {}
    found: dict[str, tuple[str, ...]] = {
        name: (label,) for name, label in label_of_each([n for n in names if n not in given], labels).items()
    }
    found |= {name: tuple(label for label in given[name] if label in labels) for name in names if name in given}
    return {name: found[name] for name in names if found.get(name)}


def label_of_each(names: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Which of a model's labels answers to each of a data set's names; names without one are left out.

    A label answers to its own name; else VOC's word and COCO's for a thing are the same (`ops.coco.RENAMED`). Each
    label answers to one name only, its own first: VOC does not label lorries, so COCO's truck is no car there.
    """
    free = [label for label in labels if label not in names]
    answers = {}
    for name in names:
        if name in labels:
            answers[name] = name
        elif same := [label for label in free if RENAMED.get(label) == name or RENAMED.get(name) == label]:
            answers[name] = same[0]
            free.remove(same[0])
    return answers


def numbered(found: Detections, answers: Answers, suppression: float) -> Predictions:
    """Detections with the numbers of the classes for which their labels stand.

    The number of a label that stands for no class is beyond those of the classes: in ILSVRC's measure it is a guess as
    well.

    Args:
        suppression: of two detections of a class that overlap more, the better one stays. It holds where several labels
            stand for a class: what has one label was suppressed by whoever detected it.
    """
    numbers = {label: number for number, labels in enumerate(answers.values()) for label in labels}
    others = range(len(answers), len(answers) + len(found.labels))
    of_label = [numbers.get(label, other) for label, other in zip(found.labels, others, strict=True)]
    number = np.array(of_label, np.int64)[found.class_id]
    kept = np.ones(len(found), np.bool_)
    for one, labels in enumerate(answers.values()):
        if len(labels) > 1:
            rows = np.flatnonzero(number == one)
            kept[rows] = False
            kept[rows[nms(found.xyxy[rows], found.confidence[rows], suppression)]] = True
    masks = None if found.masks is None else found.masks[kept]
    return Predictions(found.xyxy[kept], found.confidence[kept], number[kept], masks)


def numbered_truth(picture: Labelled, answers: Answers, masks: Masks | None = None) -> Truth:
    """The objects of a picture that are measured. Args: masks, of all its objects, where these are judged."""
    numbers = {name: number for number, name in enumerate(answers)}
    number = np.array([numbers.get(name, -1) for name in picture.names], np.int64)
    kept = number >= 0
    return Truth(
        picture.boxes[kept],
        number[kept],
        picture.difficult[kept],
        None if picture.areas is None else picture.areas[kept],
        None if masks is None else masks[kept],
    )


def listed(names: Sequence[str], most: int = 8) -> str:
    """Names with commas between, at most so many."""
    return ", ".join([*names[:most], "…"] if len(names) > most else names) or "no objects"
