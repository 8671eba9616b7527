"""What the detectors without proposals share: a network on the common backbone, and what a loss knows of pictures."""

from dataclasses import dataclass

from torch import Tensor, nn

from watchline.models.efficientnet_lite import EfficientNetLite0


@dataclass(frozen=True)
class Targets:
    """The true boxes of a batch in one table, and the regions with incomplete labels in another.

    Attributes:
        image: (G,) int64, index of the picture in the batch.
        boxes: (G, 4) float32 xyxy in pixels of the input.
        classes: (G,) int64.
        ignore: (G,) bool: predictions that overlap such a box count neither as object nor as background.
        sure: (G,) float32 in 0..1: weight of the label; 1 for a person's, less for an uncertain one of a teacher.
        open_image: (R,) int64, index of the picture of an open region. In an open region, not every object of the open
            classes has a box, so a prediction there is not counted as wrong.
        open_boxes: (R, 4) float32, the open regions.
        open_classes: (R, C) bool, their open classes.
    """

    image: Tensor
    boxes: Tensor
    classes: Tensor
    ignore: Tensor
    sure: Tensor
    open_image: Tensor
    open_boxes: Tensor
    open_classes: Tensor


class SingleShot(nn.Module):
    """A detector that sees a picture once, and whose every output is a box: YOLO, YOLOv2, SSD.

    Attributes:
        backbone: the beginning of the network.
        classes: their number.
        size: in pixels, the side of the input of a network that takes no other.
    """

    backbone: EfficientNetLite0
    classes: int
    size: int

    def decoded(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (B, N, 4) xyxy in pixels of the input, and scores (B, N, C). Args: raw, the network's output."""
        raise NotImplementedError

    def losses(self, raw: Tensor, targets: Targets) -> dict[str, Tensor]:
        """The parts of the loss, and "loss", their sum: scalars. Args: raw, the network's output for a batch."""
        raise NotImplementedError
