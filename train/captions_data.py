"""Flickr8k: photos, what five people wrote of each, and the vocabulary (Hodosh, Young and Hockenmaier, 2013)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import CheckpointError
from watchline.ops.words import words_of
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


def read(folder: Path, name: str) -> tuple[list[str], dict[str, list[list[str]]]]:
    """The names of a split's photos, and the words of every photo's captions.

    Args:
        folder: has Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and images/.
        name: train, dev or test.

    Raises:
        CheckpointError: the folder does not have them.
    """
    try:
        lines = (folder / "Flickr8k.token.txt").read_text().splitlines()
        names = (folder / f"Flickr_8k.{name}Images.txt").read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{folder}: {error}; expected Flickr8k: Flickr8k.token.txt, Flickr_8k.{name}Images.txt and images/"
        ) from error
    written: dict[str, list[list[str]]] = {}
    for line in lines:
        key, _, text = line.partition("\t")
        written.setdefault(key.partition("#")[0], []).append(words_of(text))
    missing = [photo for photo in names if photo not in written]
    if missing or not names:
        raise CheckpointError(
            f"{folder}: {len(missing)} of {len(names)} photos of {name} have no caption: {missing[:2]}"
        )
    return names, written


def split(folder: Path, name: str, cache: Path, tell: Callable[[str], None]) -> Split:
    """A split of the data set, with its maps.

    Args:
        folder: of the data set.
        name: train, dev or test.
        cache: folder for the maps.
        tell: hears how far their computation is.

    Raises:
        CheckpointError: the folder does not have them.
    """
    names, written = read(folder, name)
    photos = [folder / "images" / photo for photo in names]
    return Split(photos, [written[photo] for photo in names], cached(photos, cache / f"last-{name}.npy", tell))


def vocabulary(captions: Sequence[Sequence[Sequence[str]]]) -> list[str]:
    """The words that are seen often, most frequent first, behind the end (number 0)."""
    counts = Counter(word for written in captions for words in written for word in words)
    often = [(-count, word) for word, count in counts.items() if count >= SEEN]
    return [END_LABEL, *(word for _, word in sorted(often))]


def numbers(words: Sequence[str], known: dict[str, int], rare: int) -> list[int]:
    """The numbers of the words of a caption; `rare` for those that are not known."""
    return [known.get(word, rare) for word in words]
