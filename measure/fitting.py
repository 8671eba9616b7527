"""Pictures as a model takes them: what the detector stage does before the engine."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from watchline.engines.engine import Metadata
from watchline.ops.letterbox import Fit, Rule, fit
from watchline.streams.frame import Picture


def fitted(picture: Picture, about: Metadata, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Fit]:
    """A picture as a batch of one (1, height, width, 3) uint8 BGR, and its place there.

    Args:
        about: of the model, which says how a picture is fitted and padded.
        size: (width, height) of the model's input.
    """
    place = fit((picture.width, picture.height), size, cast(Rule, about.resize))
    batch = np.empty((1, size[1], size[0], 3), np.uint8)
    place.place(picture.scaled(*place.inner), batch[0], about.pad)
    return batch, place
