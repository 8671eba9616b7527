"""What a family of detectors is: the form of its outputs, and how boxes and scores come out of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.export.class_names import labels_for
from watchline.export.detectors.network import MASK, ThirdPartyNetwork
from watchline.export.surgery import Graph, Value
from watchline.ops.letterbox import GREY

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # RGB, of pixels 0..255
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class FamilyOutputs:
    """What a family makes of a network.

    Attributes:
        boxes: (B, N, 4) float32 xyxy in pixels of the input.
        scores: (B, N, C) float32 in 0..1.
        labels: C names.
    """

    boxes: Value
    scores: Value
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Build:
    """A network inside the graph that is being built around it.

    Attributes:
        network: the stranger's.
        graph: ours.
        images: (B, height, width, 3) uint8 BGR, the input of ours.
        asked: the labels that the user gave, if any.
    """

    network: ThirdPartyNetwork
    graph: Graph
    images: Value
    asked: tuple[str, ...] | None

    def run(
        self,
        rgb: bool,
        mean: tuple[float, float, float] = (0, 0, 0),
        std: tuple[float, float, float] = (1, 1, 1),
    ) -> list[Value]:
        """The outputs for (pixel - mean) / std of pixels 0..255, float32 if they were FP16, in the file's order.

        A network that takes bytes has its own pre-processing inside and gets the pixels as they are.

        Args:
            rgb: the network wants red first.
            mean, std: of the channels, in the network's order.
        """
        picture = self.network.picture
        x = self.images
        raw = picture.dtype == np.uint8
        if not raw:
            x = x.cast(np.float32)
        if picture.layout != "NHWC":
            x = x.transpose(0, 3, 1, 2)
        axis, spread = (3, (3,)) if picture.layout == "NHWC" else (1, (3, 1, 1))
        if rgb:
            x = x.take([2, 1, 0], axis)
        if any(mean) and not raw:
            x = x - np.array(mean, np.float32).reshape(spread)
        if any(s != 1 for s in std) and not raw:
            x = x * (1 / np.array(std, np.float32)).reshape(spread)
        if picture.layout == "CHW":
            x = x.reshape(*picture.shape(1, self.network.size))
        feeds = {picture.name: x.cast(picture.dtype)}
        if self.network.masked:
            feeds[MASK] = self.graph.ones(self.images.shape(0, 3))
        outputs = self.graph.call(self.network.model, feeds)
        half = np.dtype(np.float16)
        return [
            value.cast(np.float32) if value.dtype == half else value
            for value in (outputs[name] for name in self.network.tried)
        ]

    def labels(self, classes: int) -> tuple[str, ...]:
        """A name for each class. Raises ExportRefused, see `labels_for`."""
        return labels_for(classes, self.asked, self.network.properties, self.network.where)

    def sides(self) -> Value:
        """(width, height, width, height) of the input in pixels, float32: what boxes in 0..1 are multiplied with."""
        picture = self.network.picture
        if picture.width is not None and picture.height is not None:
            return self.graph.constant(np.array(self.network.size * 2, np.float32))
        return self.images.shape(1, 3).take([1, 0, 1, 0], 0).cast(np.float32)


@dataclass(frozen=True)
class Family:
    """Attributes:
    expects: what its outputs are, for messages.
    fits: whether a network has such outputs.
    decode: puts pre-processing, network and decoding into the graph.
    resize: the rule by which pictures come to its networks.
    pad: BGR of a letterbox's padding.
    stride: sides of the input are multiples of it, where they are free.
    """

    expects: str
    fits: Callable[[ThirdPartyNetwork], bool]
    decode: Callable[[Build], FamilyOutputs]
    resize: str
    pad: tuple[int, int, int] = GREY
    stride: int = 32


def corners(graph: Graph, centre: Value, size: Value) -> Value:
    """Boxes (…, 4) xyxy from centres (…, 2) and sizes (…, 2)."""
    half = size * 0.5
    return graph.concat([centre - half, centre + half], axis=-1)


def one_hot(scores: Value, classes: Value, numbers: NDArray[np.int64]) -> Value:
    """Scores (B, N, C), nought but in the column of each row's class.

    Args:
        scores, classes: (B, N, 1) float32.
        numbers: (C,) of the classes.
    """
    return classes.equals(numbers) * scores
