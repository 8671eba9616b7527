"""The tasks of models, one entry each: inputs and outputs by name, and which numbers are valid.

A new task is an entry in TASKS. Model files are checked against it before they run, and their outputs afterwards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GIVEN = frozenset("BHWC")
"""Letters of shapes whose numbers the model does not choose; see Tensor."""

SLACK = 1e-3  # how far a score may lie outside 0..1 by rounding

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or an output.

    Attributes:
        name: in the model file.
        dtype: NumPy's.
        shape: numbers or letters. B is the number of pictures, H and W are the pixels of the input, C is the number of
            labels. Any other letter is a number that the model chooses, the same for all outputs.
        about: meaning of the numbers, in words that follow shape and type.
    """

    name: str
    dtype: type[np.generic]
    shape: tuple[int | str, ...]
    about: str = ""

    def __str__(self) -> str:
        """As messages describe it, e.g. "`images` (B, H, W, 3) uint8 BGR"."""
        return f"`{self.name}` {shown(self.shape)} {np.dtype(self.dtype)} {self.about}".rstrip()

    def with_sizes(self, sizes: Mapping[str, int]) -> tuple[int | str, ...]:
        """The shape, with numbers in place of known letters."""
        return tuple(sizes.get(dim, dim) if isinstance(dim, str) else dim for dim in self.shape)


def shown(shape: tuple[int | str, ...]) -> str:
    """As messages write a shape, e.g. "(B, 416, 416, 3)"."""
    return f"({', '.join(map(str, shape))})"


IMAGES = Tensor("images", np.uint8, ("B", "H", "W", 3), "BGR")
PROPOSALS = Tensor("proposals", np.float32, ("B", "K", 4), "xyxy in pixels of the input, by Selective Search")


def _no_check(outputs: Outputs, labels: int) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Task:
    """What all models of a task have in common.

    Attributes:
        outputs: a model may have more outputs, which nobody reads.
        inputs: the pictures first. The shape of the others is fixed, except for the number of pictures.
        wrong: a function of the outputs and the number of labels. It returns what is wrong with the numbers, "" if
            nothing is. It is called until a run gives any numbers, because later runs need not pay for the check.
        labels: what the labels in the metadata are names of; "" if the task has no labels.
        most_labels: as many as its outputs can tell apart; None for any number.
        does: what such a model does with its labels, in a message: "detects" 20 classes.
    """

    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...] = (IMAGES,)
    wrong: Callable[[Outputs, int], str] = _no_check
    labels: str = "classes"
    most_labels: int | None = None
    does: str = "detects"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(output.name for output in self.outputs)

    @property
    def finds_boxes(self) -> bool:
        """Whether the models output boxes and scores, as detectors do."""
        return {"boxes", "scores"}.issubset(self.names)


def _wrong_scores(outputs: Outputs, labels: int) -> str:
    low, high = float(outputs["scores"].min()), float(outputs["scores"].max())
    if -SLACK <= low and high <= 1 + SLACK:
        return ""
    return f"`scores` lie in {low:.3g}..{high:.3g}; expected 0..1, the sigmoid or softmax belongs inside the graph"


def _wrong_classes(outputs: Outputs, labels: int) -> str:
    most = int(outputs["classes"].max())
    return f"`classes` goes up to {most}, but there are {labels} labels" if most >= labels else ""


def _wrong_masks(outputs: Outputs, labels: int) -> str:
    low, high = float(outputs["masks"].min()), float(outputs["masks"].max())
    if low < -SLACK or high > 1 + SLACK:
        return f"`masks` lie in {low:.3g}..{high:.3g}; expected 0..1, the sigmoid belongs inside the graph"
    return _wrong_scores(outputs, labels)


def _wrong_words(outputs: Outputs, labels: int) -> str:
    least, most = int(outputs["words"].min()), int(outputs["words"].max())
    return "" if 0 <= least and most < labels else f"`words` go from {least} to {most}, but there are {labels} labels"


BOXES = Tensor("boxes", np.float32, ("B", "N", 4), "xyxy in pixels of the input, decoded inside the graph")
SCORES = Tensor("scores", np.float32, ("B", "N", "C"), "in 0..1, one for each label")

LONGEST_QUESTION = 32  # numbers of a question, with its end
QUESTION = Tensor("question", np.int32, ("B", LONGEST_QUESTION), "with numbers of words, 0 from the end on")

TASKS = {
    "detect": Task(outputs=(BOXES, SCORES), wrong=_wrong_scores),
    "regions": Task(outputs=(BOXES, SCORES), inputs=(IMAGES, PROPOSALS), wrong=_wrong_scores),
    "instances": Task(
        outputs=(BOXES, SCORES, Tensor("masks", np.float32, ("B", "N", "M", "M"), "in 0..1, stretched over the boxes")),
        wrong=_wrong_masks,
        does="masks objects of",
    ),
    "segment": Task(
        outputs=(Tensor("classes", np.uint8, ("B", "H", "W"), "with a label's number for each pixel"),),
        wrong=_wrong_classes,
        most_labels=255,  # a byte, and one number for pixels without a class
        does="segments",
    ),
    "caption": Task(
        outputs=(
            Tensor("words", np.int32, ("B", "K", "T"), "with numbers of labels, 0 from the end on, the best row first"),
            Tensor("scores", np.float32, ("B", "K"), "with the logarithm of each row's probability"),
        ),
        wrong=_wrong_words,
        labels="words",
        does="captions in",
    ),
    "answer": Task(
        inputs=(IMAGES, QUESTION),
        outputs=(Tensor("scores", np.float32, ("B", "C"), "in 0..1, one for each label"),),
        wrong=_wrong_scores,
        labels="answers",
        does="answers with",
    ),
}
