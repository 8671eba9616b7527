"""Which layer reads which, and how large everything is: a Darknet network at one size of its input.

Sizes are Darknet's own arithmetic, so what Darknet refuses to run is refused here, before any weight is read. The plan
also knows whether other sizes work: where every layer of stride s divides its picture by exactly s, all multiples of
the network's stride do, and the graph leaves height and width free.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from watchline.engines.contract import MAX_SIDE
from watchline.export.darknet.cfg import (
    Avgpool,
    Convolutional,
    DarknetNetwork,
    DetectionHead,
    Dropout,
    Ending,
    Layer,
    Maxpool,
    Reorg,
    Route,
    Shortcut,
    Upsample,
)
from watchline.export.errors import CheckpointRefused, ExportRefused


@dataclass(frozen=True)
class MapShape:
    """Of a feature map in cells. `pixels`: of the input on a cell's side, where layers divide sizes exactly."""

    channels: int
    height: int
    width: int
    pixels: Fraction


@dataclass(frozen=True)
class LayerStep:
    """A layer in its place. `reads`: layers whose output it takes, by number; -1 is the picture.

    `shape`: of what it gives, None for a head or an ending, which no layer can read.
    """

    layer: Layer
    reads: tuple[int, ...]
    inputs: tuple[MapShape, ...]
    shape: MapShape | None


@dataclass(frozen=True)
class Layout:
    """A network at one size.

    Attributes:
        name: of the .cfg, for errors.
        size: (width, height) of the input in pixels.
        steps: one a layer, in the order of the file.
        stride: sides of the input are multiples of it; 1 where no other size is possible.
        free: whether the graph may leave height and width open.
        classes: that every head tells apart.
    """

    name: str
    size: tuple[int, int]
    steps: tuple[LayerStep, ...]
    stride: int
    free: bool
    classes: int


def plan(network: DarknetNetwork, size: tuple[int, int] | None = None) -> Layout:
    """Lay the network out.

    Args:
        size: (width, height) of the input in pixels; None for the .cfg's.

    Raises:
        CheckpointRefused: layers do not fit together; naming line and section.
        ExportRefused: the size that is asked for cannot be.
    """
    width, height = size or (network.width, network.height)
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        error = ExportRefused if size else CheckpointRefused
        raise error(f"{network.name}: the input is {width} x {height}; expected sides of 1..{MAX_SIDE} pixels")
    picture = MapShape(3, height, width, Fraction(1))
    _check_first(network.layers[0])
    steps: list[LayerStep] = []
    for index, layer in enumerate(network.layers):
        reads = _reads(layer, index)
        inputs = tuple(picture if i < 0 else _readable(steps[i], i, layer) for i in reads)
        shape = _shape(layer, inputs)
        if shape and max(shape.height, shape.width) > MAX_SIDE:
            raise CheckpointRefused(
                f"{layer.where}: it gives {shape.width} x {shape.height} cells; expected at most {MAX_SIDE} a side"
            )
        steps.append(LayerStep(layer, reads, inputs, shape))
    stride = math.lcm(*(step.shape.pixels.numerator for step in steps if step.shape))
    exact = all(_divides(step.layer) for step in steps)
    fits = width % stride == 0 and height % stride == 0
    if size and exact and not fits:
        raise ExportRefused(f"{network.name}: asked for {width} x {height}; expected multiples of {stride} pixels")
    return Layout(
        name=network.name,
        size=(width, height),
        steps=tuple(steps),
        stride=stride if exact and fits else 1,
        free=exact and fits and width == height,  # the metadata knows a square size only, so another one is fixed
        classes=_classes(network),
    )


def _check_first(layer: Layer) -> None:
    """No other layer can read the picture, and the first convolution takes in its colours' order and scale."""
    if not isinstance(layer, Convolutional) or layer.groups > 1:
        raise CheckpointRefused(f"{layer.where}: it is the first layer; expected a [convolutional] without groups")


def _reads(layer: Layer, index: int) -> tuple[int, ...]:
    if isinstance(layer, Route):
        numbers = layer.layers
    elif isinstance(layer, Shortcut):
        numbers = (-1, layer.source)
    else:
        return (index - 1,)
    reads = tuple(index + number if number < 0 else number for number in numbers)
    for number, read in zip(numbers, reads, strict=True):
        if not 0 <= read < index:
            raise CheckpointRefused(
                f"{layer.where}: it reads layer {number} and is itself layer {index}; "
                f"expected -{index}..-1 or 0..{index - 1}"
            )
    return reads


def _readable(step: LayerStep, index: int, reader: Layer) -> MapShape:
    if step.shape is None:
        raise CheckpointRefused(
            f"{reader.where}: it reads layer {index}, which gives no feature map ({step.layer.where}); "
            "put a [route] to an earlier layer between them"
        )
    return step.shape


def _shape(layer: Layer, inputs: tuple[MapShape, ...]) -> MapShape | None:
    first = inputs[0]
    match layer:
        case Convolutional():
            if first.channels % layer.groups or layer.filters % layer.groups:
                raise CheckpointRefused(
                    f"{layer.where}: {first.channels} channels in and filters={layer.filters} cannot be split into "
                    f"groups={layer.groups}; expected a number that divides both"
                )
            return _windows(layer, first, layer.filters, layer.size - 2 * layer.padding)
        case Maxpool():
            return _windows(layer, first, first.channels, layer.size - layer.padding)
        case Avgpool():
            return MapShape(first.channels, 1, 1, Fraction(1))
        case Route():
            return _joined(layer, inputs)
        case Reorg():
            return _reorganised(layer, first)
        case Shortcut():
            _same_size(layer, inputs)
            return first
        case Upsample():
            height, width = first.height * layer.stride, first.width * layer.stride
            return MapShape(first.channels, height, width, first.pixels / layer.stride)
        case Dropout():
            return first
        case DetectionHead():
            _check_head(layer, first)
            return None
        case Ending():
            return None
    raise AssertionError(f"no shape for {type(layer).__name__}")


def _windows(layer: Convolutional | Maxpool, before: MapShape, channels: int, reach: int) -> MapShape:
    """Where a window of `reach` cells (the kernel less the padding) fits, `stride` cells apart."""
    height, width = ((side - reach) // layer.stride + 1 for side in (before.height, before.width))
    if min(height, width) < 1:
        raise CheckpointRefused(
            f"{layer.where}: its window of {layer.size} does not fit into {before.width} x {before.height} cells; "
            "expected a larger input or a smaller `size`"
        )
    return MapShape(channels, height, width, before.pixels * layer.stride)


def _divides(layer: Layer) -> bool:
    """Whether a side of n * stride cells becomes n, for any n."""
    match layer:
        case Convolutional():
            return 0 < layer.size - 2 * layer.padding <= layer.stride
        case Maxpool():
            return 0 < layer.size - layer.padding <= layer.stride
        case Avgpool():
            return False
    return True


def _joined(layer: Route, inputs: tuple[MapShape, ...]) -> MapShape:
    _same_size(layer, inputs)
    for shape in inputs:
        if shape.channels % layer.groups:
            raise CheckpointRefused(
                f"{layer.where}: {shape.channels} channels cannot be split into groups={layer.groups}; "
                "expected a number that divides them"
            )
    first = inputs[0]
    channels = sum(shape.channels // layer.groups for shape in inputs)
    return MapShape(channels, first.height, first.width, first.pixels)


def _same_size(layer: Layer, inputs: tuple[MapShape, ...]) -> None:
    sizes = [f"{shape.width} x {shape.height}" for shape in inputs]
    if len(set(sizes)) > 1:
        raise CheckpointRefused(
            f"{layer.where}: the layers it reads have {' and '.join(sizes)} cells; expected the same"
        )


def _reorganised(layer: Reorg, before: MapShape) -> MapShape:
    side = layer.stride
    if before.channels % side**2 or before.height % side or before.width % side:
        raise CheckpointRefused(
            f"{layer.where}: it reads {before.channels} channels of {before.width} x {before.height} cells; expected "
            f"channels that {side**2} divides and sides that stride={side} divides"
        )
    return MapShape(before.channels * side**2, before.height // side, before.width // side, before.pixels * side)


def _check_head(layer: DetectionHead, before: MapShape) -> None:
    count, numbers = len(layer.anchors), 5 + layer.classes
    if before.channels != count * numbers:
        raise CheckpointRefused(
            f"{layer.where}: it reads {before.channels} channels; expected {count * numbers}, for each of {count} "
            f"anchors four of the box, one of the object and classes={layer.classes}"
        )


def _classes(network: DarknetNetwork) -> int:
    heads = [layer for layer in network.layers if isinstance(layer, DetectionHead)]
    counts = {head.classes for head in heads}
    if len(counts) > 1:
        raise CheckpointRefused(
            f"{heads[-1].where}: its heads have {' and '.join(map(str, sorted(counts)))} classes; expected the same"
        )
    return heads[0].classes
