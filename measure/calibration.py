"""Pictures that INT8 takes its ranges from: photos and frames of videos, made ready as the detector stage does it.

batches = pictures(["holiday/", "clip.mp4"], 200, metadata.read("model.onnx"), (416, 416))
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from watchline.engines.engine import Metadata
from watchline.measure.errors import DataRefused
from watchline.measure.fitting import fitted
from watchline.streams.file import FileSource
from watchline.streams.inputs import find_sources
from watchline.streams.photos import PhotosSource
from watchline.streams.source import About

FEWEST = 20  # pictures; with so few our detector loses 0.02 mAP, with 200 less than 0.01


def pictures(words: Sequence[str], count: int, metadata: Metadata, size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Pictures spread evenly over the sources, and over the length of each.

    Args:
        words: videos, photos, folders of them, globs.
        count: pictures wanted, at least FEWEST; there are fewer where the sources have fewer.
        metadata: of the model, which says how a picture is fitted and padded.
        size: (width, height) of the model's input.

    Returns:
        batches of one (1, height, width, 3) uint8 BGR.

    Raises:
        StreamError: a word leads nowhere, or a file cannot be read.
        DataRefused: there are fewer than FEWEST pictures.
    """
    found = find_sources(words)
    for problem in found.problems:
        raise problem
    batches: list[NDArray[np.uint8]] = []
    # The short ones first: what they lack of their share falls to the others.
    sources = sorted(found.sources, key=lambda source: _about(source).frames or count)
    for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
        share = -(-(count - len(batches)) // left)
        with source.open() as reader:
            step = _step(reader.about, share)
            taken = islice(reader, 0, step * share, step)
            batches += [fitted(frame.picture, metadata, size)[0] for frame in taken]
    if len(batches) < FEWEST:
        raise DataRefused(
            f"{', '.join(map(str, words))}: only {len(batches)} pictures to calibrate on; expected at least {FEWEST}, "
            "better 200, of what the model will see: name more photos or a longer video"
        )
    return batches


def _about(source: FileSource | PhotosSource) -> About:
    with source.open() as reader:
        return reader.about


def _step(about: About, share: int) -> int:
    """From a frame that is taken to the next one; a second's where nobody knows how long the stream is."""
    if about.frames is None:
        return max(1, round(about.rate or 1))
    return max(1, about.frames // share)
