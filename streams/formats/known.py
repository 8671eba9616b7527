"""The formats that are known: a format is a file in this folder, and a line here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from watchline.streams.events.survey import Survey
from watchline.streams.formats import coco, csv_file, cvat, label_studio, mot, parquet_file, yolo


@dataclass(frozen=True)
class Format:
    """How events are written for other programs.

    Attributes:
        write: into an empty folder; it returns what was odd, one line each.
        places: what it writes there, files and folders. A folder that is there already is replaced as a whole.
        suffixes: of the files in its folders.
        check: raises LibraryMissing where a library is missing.
    """

    write: Callable[[Survey, Path], list[str]]
    places: tuple[str, ...]
    suffixes: tuple[str, ...] = ()
    check: Callable[[], None] = lambda: None


FORMATS: Mapping[str, Format] = {
    "csv": Format(csv_file.write, (csv_file.FILE,)),
    "parquet": Format(parquet_file.write, (parquet_file.FILE,), check=parquet_file.check),
    "coco": Format(coco.write, (coco.PLACE,), (".json",)),
    "yolo": Format(yolo.write, (yolo.PLACE, yolo.YAML), (".txt",)),
    "mot": Format(mot.write, (mot.PLACE,), (".txt",)),
    "cvat": Format(cvat.write, (cvat.PLACE,), (".xml",)),
    "labelstudio": Format(label_studio.write, (label_studio.PLACE,), (".json", ".xml")),
}
