"""YOLO, "You Only Look Once": one look at the whole picture gives all boxes and classes.

Redmon, Divvala, Girshick and Farhadi, "You Only Look Once: Unified, Real-Time Object Detection" (2016), and the
lecture's slides of the same name. The picture is a grid of 7 x 7 cells. A cell answers for the object whose centre is
in it, with two boxes and the probabilities of the classes: a tensor of 7 x 7 x (2 * 5 + C), for VOC's twenty classes
7 x 7 x 30 = 1470 outputs of the last fully connected layer.

Where the paper has 20 convolutions of its own network (a modified GoogLeNet), this has the backbone that the project's
networks share. The rest is the paper's: four convolutions, of which the second has a stride, and two fully connected
layers, leaky ReLUs, dropout, a linear output. The fully connected layers are half as wide or less.

    model = YOLO()
    raw = model(normalise(images))          # (B, 3, 448, 448) -> (B, 7, 7, 30)
    boxes, scores = decode(raw, size=448)   # (B, 98, 4) xyxy pixels, (B, 98, 20)
    parts = yolo_loss(raw, targets, 448)
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from watchline.models.boxes import overlaps
from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.single_shot import SingleShot, Targets

GRID = 7  # cells along each side
BOXES = 2  # of each cell
SIZE = 448  # pixels, the side of the input: two cells of the backbone's coarsest map are one of the grid
CHANNELS, HIDDEN = 128, 1024  # of the grid's features, and of the first fully connected layer
COORD, NOOBJ = 5.0, 0.5  # the paper's lambdas
SLOPE, DROPOUT = 0.1, 0.5


class YOLO(SingleShot):
    """The network, with random weights but for the backbone's.

    Args:
        classes: their number.
        backbone: by default one with random weights.
    """

    def __init__(self, classes: int = 20, backbone: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.classes, self.size = classes, SIZE
        self.backbone = backbone or EfficientNetLite0()
        self.convolutions = nn.Sequential(
            *_convolution(self.backbone.last, 2 * CHANNELS),
            *_convolution(2 * CHANNELS, 2 * CHANNELS, stride=2),
            *_convolution(2 * CHANNELS, 2 * CHANNELS),
            *_convolution(2 * CHANNELS, CHANNELS),
        )
        self.connected = nn.Sequential(
            nn.Linear(GRID * GRID * CHANNELS, HIDDEN),
            nn.LeakyReLU(SLOPE),
            nn.Dropout(DROPOUT),
            output := nn.Linear(HIDDEN, GRID * GRID * (5 * BOXES + classes)),
        )
        for layer in (*self.convolutions, *self.connected):
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, SLOPE)  # without batch normalisation, the scale matters
                nn.init.zeros_(layer.bias)
        nn.init.normal_(output.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x (B, 3, SIZE, SIZE) normalised. Returns: (B, 7, 7, 2 * 5 + C), by row and column; see `split`."""
        return self.head(self.backbone(x)[2])

    def head(self, coarse: Tensor) -> Tensor:
        """Args: coarse, the backbone's map of stride 32, (B, 320, 14, 14). Returns: as `forward`."""
        raw: Tensor = self.connected(self.convolutions(coarse).flatten(1))
        return raw.view(-1, GRID, GRID, 5 * BOXES + self.classes)

    def decoded(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return decode(raw, SIZE)

    def losses(self, raw: Tensor, targets: Targets) -> dict[str, Tensor]:
        return yolo_loss(raw, targets, SIZE)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(SLOPE)]


def like(state: Mapping[str, Tensor]) -> YOLO:
    """An untrained network with the classes of these weights. Raises KeyError, ValueError: they are of another one."""
    outputs = len(state["connected.3.bias"])
    if outputs % (GRID * GRID) or outputs <= GRID * GRID * 5 * BOXES:
        raise ValueError(f"{outputs} outputs; expected {GRID} x {GRID} x ({BOXES} x 5 + the number of classes)")
    return YOLO(outputs // (GRID * GRID) - 5 * BOXES)


def split(raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the numbers of a cell are.

    Args:
        raw: (B, 7, 7, 2 * 5 + C).

    Returns:
        places (B, 7, 7, 2, 4), each x, y, the centre in the cell, in shares of the cell, then the square roots of width
        and height, in shares of the picture; confidences (B, 7, 7, 2); class probabilities (B, 7, 7, C).
    """
    each, classes = raw[..., : 5 * BOXES].reshape(*raw.shape[:3], BOXES, 5), raw[..., 5 * BOXES :]
    return each[..., :4], each[..., 4], classes


def boxes_of(places: Tensor) -> Tensor:
    """The boxes of `split`'s places, xyxy in shares of the picture. A negative root counts as 0."""
    line = torch.arange(GRID, device=places.device, dtype=places.dtype)
    y, x = torch.meshgrid(line, line, indexing="ij")
    centre = (places[..., :2] + torch.stack([x, y], -1)[:, :, None]) / GRID
    half = places[..., 2:].clamp(min=0).square() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def decode(raw: Tensor, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Boxes (B, 98, 4) xyxy in pixels, and scores (B, 98, C) = Pr(class | object) * Pr(object) * IoU, at least 0."""
    places, confidence, classes = split(raw)
    scores = confidence.clamp(min=0)[..., None] * classes.clamp(min=0)[..., None, :]
    return boxes_of(places).flatten(1, 3) * size, scores.flatten(1, 3)


@dataclass(frozen=True)
class Answers:
    """Which cells answer for the objects, a row each: the largest one, if several have their centres in a cell.

    Attributes:
        image, row, column: (P,) int64, the cells.
        truth: (P,) int64, rows of `Targets`.
        place: (P, 4) float32, what `split` should give as the place.
    """

    image: Tensor
    row: Tensor
    column: Tensor
    truth: Tensor
    place: Tensor


def cell_of(targets: Targets, size: int) -> Tensor:
    """(G, 3) int64: picture, row and column of the cell with each box's centre."""
    centre = (targets.boxes[:, :2] + targets.boxes[:, 2:]) / 2 * (GRID / size)
    column, row = centre.long().clamp(0, GRID - 1).unbind(1)
    return torch.stack([targets.image, row, column], dim=1)


def answers(targets: Targets, size: int) -> Answers:
    """Args: targets, with boxes in pixels of an input of `size` pixels; ignored ones have no cell."""
    boxes, cells = targets.boxes / size, cell_of(targets, size)
    sides = boxes[:, 2:] - boxes[:, :2]
    order = sides.prod(1).argsort(stable=True)
    order = order[~targets.ignore[order]]
    owned, which = torch.unique(cells[order], dim=0, return_inverse=True)
    last = torch.zeros(len(owned), dtype=torch.int64, device=order.device)
    largest = order[last.scatter_reduce_(0, which, torch.arange(len(order), device=order.device), "amax")]
    image, row, column = owned.unbind(1)
    centre = (boxes[largest, :2] + boxes[largest, 2:]) / 2 * GRID - torch.stack([column, row], dim=1)
    return Answers(image, row, column, largest, torch.cat([centre, sides[largest].sqrt()], dim=1))


def yolo_loss(raw: Tensor, targets: Targets, size: int = SIZE) -> dict[str, Tensor]:
    """The slide's loss, term by term: squared errors of centre, size, confidence and classes.

    Of a cell's two boxes, the one that overlaps the object more is responsible for it. An uncertain label counts less.
    A cell with the centre of an ignored box is not taught that there is nothing. Open regions are not known here: only
    mixtures of data sets have them, and those train YOLOv2.

    Args:
        raw: (B, 7, 7, 2 * 5 + C), the network's output.
        targets: the true boxes.
        size: of the input, in pixels.

    Returns:
        "centre", "size" (both with COORD), "object", "background" (with NOOBJ), "class", and their sum "loss": scalars,
        sums over boxes and cells divided by the number of pictures.
    """
    places, confidence, classes = split(raw)
    mine = answers(targets, size)
    cells = mine.image, mine.row, mine.column
    with torch.no_grad():
        overlap = overlaps(boxes_of(places)[cells], (targets.boxes[mine.truth] / size)[:, None])  # (P, 2)
        overlap, responsible = overlap.max(1)
    sure = targets.sure[mine.truth]
    error = (places[(*cells, responsible)] - mine.place).square() * sure[:, None]
    object_ = (confidence[(*cells, responsible)] - overlap).square() * sure
    counts = torch.ones_like(confidence)
    counts[cell_of(targets, size)[targets.ignore].unbind(1)] = 0
    counts[(*cells, responsible)] = 0
    nothing = confidence.square() * counts
    wanted = nn.functional.one_hot(targets.classes[mine.truth], classes.shape[-1])
    wrong = (classes[cells] - wanted).square().sum(1) * sure
    parts = {
        "centre": COORD * error[:, :2].sum(),
        "size": COORD * error[:, 2:].sum(),
        "object": object_.sum(),
        "background": NOOBJ * nothing.sum(),
        "class": wrong.sum(),
    }
    parts = {name: value / len(raw) for name, value in parts.items()}
    return {"loss": torch.stack(list(parts.values())).sum(), **parts}
