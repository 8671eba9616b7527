"""The layouts that are known: a layout is a file in this folder, and a line here.

data = open_data(Path("VOC2012"))
for picture in data.read():
    picture.image, picture.boxes, picture.names
"""

from pathlib import Path
from typing import Protocol

from watchline.measure.errors import DataNotFound
from watchline.measure.layouts import cdnet, coco, mot, penn_fudan, voc, yolo
from watchline.measure.layouts.labelled import DataSet


class Layout(Protocol):
    """What a layout's file has.

    Attributes:
        EXPECTED: what a folder of it holds, for errors.
    """

    EXPECTED: str

    def is_here(self, data: Path) -> bool:
        """Whether a folder or file is in this layout."""
        ...

    def open_set(self, data: Path, split: str | None, every: int) -> DataSet:
        """Its pictures; see `open_data`."""
        ...


LAYOUTS: tuple[Layout, ...] = (voc, coco, yolo, penn_fudan, mot, cdnet)


def open_data(data: Path, split: str | None = None, every: int = 1) -> DataSet:
    """Labelled pictures in the layout that the folder or file shows.

    Args:
        data: folder, or the file that lists the pictures (COCO's JSON, YOLO's YAML).
        split: of the pictures; None for val or test, the first that is there.
        every: only every n-th picture.

    Raises:
        DataNotFound: there is no such folder, layout or split.
        DataRefused: a list is broken.
    """
    if not data.exists():
        raise DataNotFound(f"{data}: there is no such folder; expected labelled pictures")
    for layout in LAYOUTS:
        if layout.is_here(data):
            return layout.open_set(data, split, every)
    expected = "; ".join(layout.EXPECTED for layout in LAYOUTS)
    raise DataNotFound(f"{data}: it is in no layout that is known: expected {expected}")
