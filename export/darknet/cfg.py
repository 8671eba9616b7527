"""A Darknet .cfg as typed layers: what each section asks for.

Sizes are worked out in darknet_layout, numbers are read in darknet_weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from watchline.export.darknet.text import MAX_NUMBER, Section, sections
from watchline.export.errors import CheckpointRefused

MOST_LAYERS = 4096  # the deepest network that people have is some 400; more is a slip, and takes for ever to compare
ACTIVATIONS = tuple("linear leaky relu relu6 swish mish logistic tanh elu selu relie ramp loggy hardtan".split())


@dataclass(frozen=True, kw_only=True)
class Layer:
    """`where`: file, line and section, as errors name it."""

    where: str


@dataclass(frozen=True, kw_only=True)
class Convolutional(Layer):
    """`padding`: zeros on each side, in cells."""

    filters: int
    size: int
    stride: int
    padding: int
    groups: int
    activation: str
    batch_normalize: bool


@dataclass(frozen=True, kw_only=True)
class Maxpool(Layer):
    """`padding`: cells on both sides together, the smaller half of them on the left and at the top."""

    size: int
    stride: int
    padding: int


@dataclass(frozen=True, kw_only=True)
class Avgpool(Layer):
    """The mean of each channel over the whole picture."""


@dataclass(frozen=True, kw_only=True)
class Route(Layer):
    """Channels of other layers side by side, of each the part `group` out of `groups`; layers < 0 count from here."""

    layers: tuple[int, ...]
    groups: int
    group: int


@dataclass(frozen=True, kw_only=True)
class Reorg(Layer):
    """Cells of stride x stride become channels, in Darknet's own order."""

    stride: int


@dataclass(frozen=True, kw_only=True)
class Shortcut(Layer):
    """The layer before plus the layer `source`, which counts from here if < 0."""

    source: int
    activation: str


@dataclass(frozen=True, kw_only=True)
class Upsample(Layer):
    """Each cell becomes stride x stride equal ones."""

    stride: int


@dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
    """Nothing, once training is over."""


@dataclass(frozen=True, kw_only=True)
class Ending(Layer):
    """[softmax] or [cost]: the end of a classifier's branch. Darknet lets no layer of a detector read it."""


@dataclass(frozen=True, kw_only=True)
class DetectionHead(Layer):
    """`anchors`: (width, height) of each box that a cell guesses."""

    anchors: tuple[tuple[float, float], ...]
    classes: int


@dataclass(frozen=True, kw_only=True)
class Region(DetectionHead):
    """YOLOv2's: anchors in cells; class scores by softmax, or each by a sigmoid."""

    softmax: bool


@dataclass(frozen=True, kw_only=True)
class Yolo(DetectionHead):
    """YOLOv3's: anchors in pixels of the input; `scale_xy` stretches a cell's reach (YOLOv4).

    `new_coords`: sides are squares, and the convolution before has the sigmoids (Scaled-YOLOv4, YOLOv7).
    """

    scale_xy: float
    new_coords: bool


@dataclass(frozen=True)
class DarknetNetwork:
    """A whole .cfg. `width` and `height`: of the input in pixels. `name`: of the file, for errors."""

    name: str
    width: int
    height: int
    layers: tuple[Layer, ...]


def read(path: Path) -> DarknetNetwork:
    """Parse a .cfg.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is no .cfg of a detector, or asks for something that cannot be exported; naming line and
            section.
    """
    found = sections(path)
    if not found or found[0].kind not in ("net", "network"):
        first = f"[{found[0].kind}]" if found else "nothing"
        raise CheckpointRefused(
            f"{path}: it begins with {first}; expected a Darknet .cfg, whose first section is [net]"
        )
    if len(found) > MOST_LAYERS:
        raise CheckpointRefused(f"{path}: it has {len(found)} sections; expected up to {MOST_LAYERS}")
    if gaussian := next((section for section in found if section.kind.lower() == "gaussian_yolo"), None):
        raise CheckpointRefused(
            f"{gaussian.where}: a head that tells how uncertain each side of a box is cannot be exported; "
            "expected [yolo] or [region]"
        )
    if not {section.kind for section in found} & {"region", "yolo"}:
        raise CheckpointRefused(
            f"{path}: it has no [region] and no [yolo], so it is a classifier or older than YOLOv2; "
            "expected the .cfg of a detector"
        )
    width, height = _net(found[0])
    return DarknetNetwork(str(path), width, height, tuple(_layer(section) for section in found[1:]))


def _net(section: Section) -> tuple[int, int]:
    """Width and height. All the other keys of [net] are about training, so whatever they are, they are passed over."""
    section.neutral(channels=3, time_steps=1)
    return section.integer("width", None, 1), section.integer("height", None, 1)


def _layer(section: Section) -> Layer:
    if section.kind not in READERS:
        known = ", ".join(kind for kind in READERS)
        raise CheckpointRefused(f"{section.where}: such a layer cannot be exported; expected one of {known}")
    section.ignore("learning_rate", "onlyforward", "stopbackward", "dontsave", "smooth", "train_only_bn")
    section.neutral(dontload=0, dontloadscales=0)
    layer = READERS[section.kind](section)
    section.finish()
    return layer


def _convolutional(section: Section) -> Layer:
    section.neutral(binary=0, xnor=0, flipped=0, dilation=1, antialiasing=0)
    size = section.integer("size", 1, 1)
    padding = section.integer("padding", 0)
    return Convolutional(
        where=section.where,
        filters=section.integer("filters", 1, 1),
        size=size,
        stride=section.integer("stride", 1, 1),
        padding=size // 2 if section.integer("pad", 0) else padding,
        groups=section.integer("groups", 1, 1),
        activation=section.word("activation", "logistic", ACTIVATIONS),
        batch_normalize=bool(section.integer("batch_normalize", 0)),
    )


def _maxpool(section: Section) -> Layer:
    stride = section.integer("stride", 1, 1)
    size = section.integer("size", stride, 1)
    padding = section.integer("padding", size - 1, 0, size - 1)
    return Maxpool(where=section.where, size=size, stride=stride, padding=padding)


def _avgpool(section: Section) -> Layer:
    return Avgpool(where=section.where)


def _route(section: Section) -> Layer:
    layers = section.integers("layers")
    if layers is None:
        raise CheckpointRefused(f"{section.where}: it has no `layers`; expected the numbers of the layers it joins")
    groups = section.integer("groups", 1, 1)
    group = section.integer("group_id", 0, 0, groups - 1)
    return Route(where=section.where, layers=layers, groups=groups, group=group)


def _reorg(section: Section) -> Layer:
    section.neutral(reverse=0, flatten=0, extra=0)
    return Reorg(where=section.where, stride=section.integer("stride", 1, 1))


def _shortcut(section: Section) -> Layer:
    section.neutral(alpha=1, beta=1)
    return Shortcut(
        where=section.where,
        source=section.integer("from", None, -MAX_NUMBER),
        activation=section.word("activation", "linear", ACTIVATIONS),
    )


def _upsample(section: Section) -> Layer:
    section.neutral(scale=1)
    return Upsample(where=section.where, stride=section.integer("stride", 2, 1))


def _dropout(section: Section) -> Layer:
    section.ignore("probability")
    return Dropout(where=section.where)


def _ending(section: Section) -> Layer:
    section.ignore("groups", "temperature", "tree", "spatial", "noloss", "type", "scale", "ratio", "noobj", "thresh")
    return Ending(where=section.where)


def _region(section: Section) -> Layer:
    section.neutral(coords=4, background=0)
    section.ignore(*"bias_match jitter rescore absolute thresh random max log sqrt focal_loss".split())
    section.ignore("object_scale", "noobject_scale", "class_scale", "coord_scale", "mask_scale")
    return Region(
        where=section.where,
        anchors=_anchors(section),
        classes=section.integer("classes", 20, 1),
        softmax=bool(section.integer("softmax", 0)),
    )


def _yolo(section: Section) -> Layer:
    section.ignore(*"jitter ignore_thresh truth_thresh random max rescore resize focal_loss".split())
    section.ignore(*"iou_loss iou_normalizer iou_thresh iou_thresh_kind cls_normalizer obj_normalizer".split())
    section.ignore(*"delta_normalizer uc_normalizer objectness_smooth label_smooth_eps max_delta".split())
    section.ignore("counters_per_class", "nms_kind", "beta_nms", "show_details")
    anchors = _anchors(section)
    mask = section.integers("mask", 0, len(anchors) - 1) or tuple(range(len(anchors)))
    return Yolo(
        where=section.where,
        anchors=tuple(anchors[i] for i in mask),
        classes=section.integer("classes", 20, 1),
        scale_xy=section.number("scale_x_y", 1),
        new_coords=bool(section.integer("new_coords", 0)),
    )


def _anchors(section: Section) -> tuple[tuple[float, float], ...]:
    count = section.integer("num", 1, 1)
    values = (section.numbers("anchors") or ())[: 2 * count]  # Darknet passes over more, as some files have them
    if len(values) < 2 * count or min(values) <= 0:
        raise CheckpointRefused(
            f"{section.where}: `anchors` holds {len(values)} numbers; expected {2 * count} greater than 0, a width and "
            f"a height for each of num={count}"
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


READERS: dict[str, Callable[[Section], Layer]] = {
    "convolutional": _convolutional,
    "conv": _convolutional,
    "maxpool": _maxpool,
    "max": _maxpool,
    "avgpool": _avgpool,
    "avg": _avgpool,
    "route": _route,
    "reorg": _reorg,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "dropout": _dropout,
    "softmax": _ending,
    "soft": _ending,
    "cost": _ending,
    "region": _region,
    "yolo": _yolo,
}
