"""What a family of detectors is: the form of its outputs, and how boxes and scores come out of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchline.export.class_names import REMEDY, labels_for, own_names
from watchline.export.detectors.network import ThirdPartyNetwork
from watchline.export.detectors.preparation import Preparation
from watchline.export.errors import ExportRefused
from watchline.export.surgery import Graph, Value
from watchline.ops.letterbox import GREY

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)


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
        network: the third-party one.
        graph: ours.
        images: (B, height, width, 3) uint8 BGR, the input of ours.
        preparation: what the network wants of the picture.
        asked: the labels that the user gave, if any.
    """

    network: ThirdPartyNetwork
    graph: Graph
    images: Value
    preparation: Preparation
    asked: tuple[str, ...] | None

    def run(self) -> list[Value]:
        """The outputs for (pixel - mean) / std, float32 if they were FP16, in the file's order.

        A network that takes bytes has its own pre-processing inside and gets the pixels as they are.
        """
        unit = 255 / self.preparation.top  # of the range, in steps of a pixel
        mean, std = (np.array(colour) * unit for colour in (self.preparation.mean, self.preparation.std))
        picture = self.network.picture
        x = self.images
        raw = picture.dtype == np.uint8
        if not raw:
            x = x.cast(np.float32)
        if picture.layout != "NHWC":
            x = x.transpose(0, 3, 1, 2)
        axis, spread = (3, (3,)) if picture.layout == "NHWC" else (1, (3, 1, 1))
        if self.preparation.rgb:
            x = x.take([2, 1, 0], axis)
        if mean.any() and not raw:
            x = x - mean.astype(np.float32).reshape(spread)
        if (std != 1).any() and not raw:
            x = x * (1 / std.astype(np.float32)).reshape(spread)
        if picture.layout == "CHW":
            x = x.reshape(*picture.shape(1, self.network.size))
        feeds = {picture.name: x.cast(picture.dtype)}
        feeds |= {name: self._companion(name).cast(dtype) for name, dtype in self.network.companions.items()}
        outputs = self.graph.call(self.network.model, feeds)
        half = np.dtype(np.float16)
        return [
            value.cast(np.float32) if value.dtype == half else value
            for value in (outputs[name] for name in self.network.tried)
        ]

    def _companion(self, name: str) -> Value:
        """What the network gets beside the picture: (B, height, width) ones for the mask, else (B, 2)."""
        if name == "pixel_mask":
            return self.graph.ones(self.images.shape(0, 3))
        row = self.graph.concat([self.images.shape(0, 1), self.graph.constant(np.array([1]))], axis=0)
        ones = self.graph.ones(row)  # (B, 1)
        match name:
            case "orig_target_sizes":
                return ones * self.images.shape(1, 3).take([1, 0], 0)
            case "im_shape":
                return ones * self.images.shape(1, 3)
        return ones * np.array([1, 1])  # scale_factor

    def labels(self, classes: int) -> tuple[str, ...]:
        """A name for each class. Raises ExportRefused, see `labels_for`."""
        return labels_for(classes, self.asked, self.network.properties, self.network.where)

    def names(self) -> tuple[str, ...]:
        """The class names of a network whose outputs do not tell how many classes it has. Raises ExportRefused."""
        names = self.asked or own_names(self.network.properties, self.network.where)
        if names is None:
            raise ExportRefused(
                f"{self.network.where}: it has no names for its classes, and its outputs do not tell how many there "
                f"are; {REMEDY}"
            )
        return self.labels(len(names))

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
    fits: whether a network has such outputs, so that they can be decoded.
    tells: whether the file says by names, metadata or numbers that it is of this family, and not of one like it.
    prepare: what a network of it wants of a picture.
    decode: puts pre-processing, network and decoding into the graph.
    pad: BGR of a letterbox's padding.
    stride: sides of the input are multiples of it, where they are free.
    """

    expects: str
    fits: Callable[[ThirdPartyNetwork], bool]
    tells: Callable[[ThirdPartyNetwork], bool]
    prepare: Callable[[ThirdPartyNetwork], Preparation]
    decode: Callable[[Build], FamilyOutputs]
    pad: tuple[int, int, int] = GREY
    stride: int = 32


def corners(graph: Graph, centre: Value, size: Value) -> Value:
    """Boxes (…, 4) xyxy from centres (…, 2) and sizes (…, 2)."""
    half = size * 0.5
    return graph.concat([centre - half, centre + half], axis=-1)


def always(preparation: Preparation) -> Callable[[ThirdPartyNetwork], Preparation]:
    """The same preparation for every network of a family."""
    return lambda network: preparation


def one_hot(scores: Value, classes: Value, numbers: NDArray[np.int64]) -> Value:
    """Scores (B, N, C), nought but in the column of each row's class.

    Args:
        scores, classes: (B, N, 1) float32.
        numbers: (C,) of the classes.
    """
    return classes.equals(numbers) * scores
