"""The lecture's captioners by name, and which one a checkpoint is of."""

from collections.abc import Mapping

from torch import Tensor

from watchline.models.captioner import Captioner
from watchline.models.deep_image_sent import DeepImageSent
from watchline.models.show_and_tell import ShowAndTell
from watchline.models.show_attend_tell import ShowAttendTell

SYSTEMS: dict[str, type[Captioner]] = {
    "show-attend-tell": ShowAttendTell,
    "show-and-tell": ShowAndTell,
    "deep-image-sent": DeepImageSent,
}


def system_of(state: Mapping[str, Tensor]) -> type[Captioner] | None:
    """The system whose weights these are, None if of no captioner."""
    if not {"letters", "embed.weight", "head.weight", "bias"} <= state.keys():
        return None
    if "energy.weight" in state:
        return ShowAttendTell
    return ShowAndTell if "lstm.h.weight" in state else DeepImageSent
