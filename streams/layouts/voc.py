"""PASCAL VOC's layout: `JPEGImages`, `Annotations`, and lists of names without suffix, `ImageSets/Main/SPLIT.txt`."""

from pathlib import Path

from watchline.streams.photo import SUFFIXES

PHOTOS, ANNOTATIONS = "JPEGImages", "Annotations"
USUAL = (".jpg", ".jpeg", ".JPG", ".png")  # tried before all others


def lists(folder: Path) -> dict[str, Path]:
    """The list of each split, by the split's name."""
    return {file.stem: file for file in sorted((folder / "ImageSets" / "Main").glob("*.txt"))}


def names_in(text: str) -> list[str]:
    """The names in a list, each once. A second word, 1 or -1 in the lists of a class, does not count."""
    return list(dict.fromkeys(line.split()[0] for line in text.splitlines() if line.strip()))


def is_plain(name: str) -> bool:
    """Whether a name of a list stays in the folder."""
    return Path(name).name == name


def annotated(folder: Path) -> list[str]:
    """The names of all annotations."""
    return sorted(file.stem for file in (folder / ANNOTATIONS).glob("*.xml"))


def annotation_file(folder: Path, name: str) -> Path:
    """The XML of a picture."""
    return folder / ANNOTATIONS / f"{name}.xml"


def photo_of(folder: Path, name: str) -> Path:
    """The photo with this name, whatever its suffix; the usual path if there is none."""
    known = (folder / PHOTOS / f"{name}{suffix}" for suffix in (*USUAL, *sorted(SUFFIXES)))
    return next((path for path in known if path.is_file()), folder / PHOTOS / f"{name}.jpg")
