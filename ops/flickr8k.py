"""Flickr8k's layout: photos, and what five people wrote of each (Hodosh, Young and Hockenmaier, 2013)."""

from pathlib import Path

from watchline.ops.errors import AnnotationRefused
from watchline.ops.words import words_of

CAPTIONS, LIST = "Flickr8k.token.txt", "Flickr_8k.{}Images.txt"
SPLITS = ("train", "dev", "test")


def read(folder: Path, split: str) -> tuple[list[Path], list[list[list[str]]]]:
    """The photos of a split, and of each the words of its captions.

    Args:
        folder: has Flickr8k.token.txt, Flickr_8k.{train,dev,test}Images.txt and images/.
        split: one of SPLITS.

    Raises:
        AnnotationRefused: the folder does not have them.
    """
    try:
        lines = (folder / CAPTIONS).read_text(encoding="utf-8").splitlines()
        names = (folder / LIST.format(split)).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationRefused(
            f"{folder}: {error}; expected Flickr8k's layout: {CAPTIONS}, {LIST.format(split)} and images/"
        ) from error
    written: dict[str, list[list[str]]] = {}
    for line in lines:
        key, _, text = line.partition("\t")
        if words := words_of(text):  # some are a full stop alone
            written.setdefault(key.partition("#")[0], []).append(words)
    names = list(dict.fromkeys(names))
    missing = [name for name in names if name not in written]
    if missing or not names:
        raise AnnotationRefused(
            f"{folder}: {len(missing)} of the {len(names)} photos of {split} have no caption in {CAPTIONS}, "
            f"e.g. {missing[:1]}; is the list of another data set?"
        )
    return [folder / "images" / name for name in names], [written[name] for name in names]
