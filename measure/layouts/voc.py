"""Labelled pictures in PASCAL VOC's layout (streams/layouts/voc.py).

    for picture in voc.open_set(Path("VOC2012"), "val", every=1).read():
        picture.image, picture.boxes, picture.names, picture.difficult

VOC counts pixels from 1 and includes the last one, so a box is (xmin - 1, ymin - 1, xmax, ymax) here. Files may come
from third parties: no entity of an XML is expanded, and no name in a list leads out of the folder.
"""

from pathlib import Path

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.labelled import ALL, DataSet, Labelled, read_text
from watchline.ops.errors import AnnotationRefused
from watchline.ops.voc_annotation import parse
from watchline.streams.frame import ArrayPicture
from watchline.streams.layouts.voc import (
    ANNOTATIONS,
    PHOTOS,
    annotated,
    annotation_file,
    is_plain,
    lists,
    names_in,
    photo_of,
)
from watchline.streams.photo import read_photo

EXPECTED = "VOC's (JPEGImages, Annotations, ImageSets/Main)"
USUAL = ("val", "test")  # splits that are measured on, the first that is there
MOST_BYTES = 1 << 24  # of an XML


def is_here(data: Path) -> bool:
    """Whether a folder is in this layout."""
    return (data / ANNOTATIONS).is_dir() or (data / PHOTOS).is_dir()


def open_set(data: Path, split: str | None, every: int) -> DataSet:
    """As `open_data`; split "all" is every annotation that there is."""
    split = find_split(data, split)
    chosen = names(data, split)[::every]
    return DataSet(
        data.resolve().name, "VOC", split, "voc2010", len(chosen), lambda: (_labelled(data, name) for name in chosen)
    )


def find_split(folder: Path, split: str | None = None) -> str:
    """The split to read: the one asked for, else "val", "test" or "all", the first that is there.

    Raises:
        DataNotFound: the folder is not in VOC's layout, or has no such split.
    """
    if not folder.is_dir():
        raise DataNotFound(f"{folder}: there is no such folder; expected labelled pictures in VOC's layout")
    for part in (ANNOTATIONS, PHOTOS):
        if not (folder / part).is_dir():
            raise DataNotFound(
                f"{folder} has no folder {part}: expected VOC's layout, JPEGImages, Annotations and ImageSets/Main"
            )
    there = list(lists(folder))
    if split is None:
        return next((usual for usual in USUAL if usual in there), ALL)
    if split != ALL and split not in there:
        raise DataNotFound(f"{folder} has no split {split!r}: expected one of {', '.join([*there, ALL])}")
    return split


def names(folder: Path, split: str) -> list[str]:
    """Names of a split's pictures, in its order; `split` as `find_split` gives it.

    Raises:
        DataRefused: the list is empty or no text, or a name in it leads out of the folder.
    """
    if split == ALL:
        listing, found = folder / ANNOTATIONS, annotated(folder)
    else:
        listing = lists(folder)[split]
        found = names_in(read_text(listing))
    if not found:
        raise DataRefused(f"{listing} names no picture: expected one in each line, or an XML for each photo")
    if wrong := next((name for name in found if not is_plain(name)), None):
        raise DataRefused(f"{listing} names {wrong!r}, which leads out of the folder: expected plain names")
    return found


def _labelled(folder: Path, name: str) -> Labelled:
    file = annotation_file(folder, name)
    try:
        with file.open("rb") as opened:
            xml = opened.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise DataNotFound(f"{file} is missing: expected an annotation for each picture of the split") from error
    except OSError as error:
        raise DataRefused(f"{file} cannot be read: {error.strerror}; check its owner and rights") from error
    if len(xml) > MOST_BYTES:
        raise DataRefused(f"{file} has more than {MOST_BYTES >> 20} MiB: expected the annotation of one picture")
    photo = photo_of(folder, name)
    if not photo.is_file():
        raise DataNotFound(f"{file} has no photo: expected {photo}")
    image = read_photo(photo).pixels
    try:
        found = parse(xml, (image.shape[1], image.shape[0]))
    except AnnotationRefused as error:
        raise DataRefused(f"{file} {error}") from error
    return Labelled(name, ArrayPicture(image), found.boxes, found.names, found.difficult)
