"""What captioners learn from: the photos of a split as maps, their captions, and the vocabulary."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.ops.flickr8k import read
from watchline.train.captions_features import cached

END_LABEL = "<end>"
SEEN = 5  # a word enters the vocabulary if the captions for training have it this often


@dataclass(frozen=True)
class Split:
    """Photos of a split and their captions.

    Attributes:
        photos: N files.
        captions: of each, five lists of words.
        maps: (N, 2, 320, R, R) float16, the backbone's last map of each photo and of its mirror image.
    """

    photos: list[Path]
    captions: list[list[list[str]]]
    maps: NDArray[np.float16]


def split(folder: Path, name: str, cache: Path, tell: Callable[[str], None]) -> Split:
    """A split of the data set, with its maps.

    Args:
        folder: of the data set.
        name: train, dev or test.
        cache: folder for the maps.
        tell: hears how far their computation is.

    Raises:
        AnnotationRefused: the folder has not the data set's layout.
        CheckpointError: a photo cannot be read, or `cache` has other maps.
    """
    photos, written = read(folder, name)
    return Split(photos, written, cached(photos, cache, f"last-{name}", tell))


def vocabulary(captions: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """The words that are seen often, most frequent first, behind the end (number 0)."""
    counts = Counter(word for written in captions for words in written for word in words)
    often = [(-count, word) for word, count in counts.items() if count >= SEEN]
    return [END_LABEL, *(word for _, word in sorted(often))]


def numbers(words: Sequence[str], known: dict[str, int], rare: int) -> list[int]:
    """The numbers of the words of a caption; `rare` for those that are not known."""
    return [known.get(word, rare) for word in words]
