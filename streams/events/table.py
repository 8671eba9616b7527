"""Events as data: a row per detection, and all of them as a table of pandas or Arrow.

rows = watchline.read_events("out/")
cars = rows.to_pandas().query("label == 'car'")
print(cars.groupby(["stream", cars.seconds // 3600]).track.nunique())    # cars an hour
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.extras import command
from watchline.streams.errors import LibraryMissing
from watchline.streams.events.frames import FrameEvent, Saved
from watchline.streams.events.lines import files_in

if TYPE_CHECKING:
    import pandas
    import pyarrow

BATCH = 1 << 16  # rows that are Python objects at once


@dataclass(frozen=True, slots=True)
class Row:
    """One detection.

    Attributes:
        source: name of the file or folder; of a camera, its address without credentials.
        stream: its name.
        file: of a photo, its name; None of a video.
        frame: index in the stream, from 0.
        seconds: presentation time in the stream.
        epoch, time: of a camera, its connection from 0 and when the frame arrived (UTC); None of a file.
        width, height: of the picture, in pixels.
        label, class_id: its class, and the index of that into the model's labels.
        score: 0 to 1.
        x1, y1, x2, y2: its box in pixels of the picture; the right and lower edges are outside.
        track: the number of its track; they begin anew with each stream and epoch. None without one.
        predicted: no detector looked at this frame, and this is where its track must be.
        zones: names of the zones that its track is in.
        kmh: speed of its track on the ground; None where that is not known.
    """

    source: str
    stream: str
    file: str | None
    frame: int
    seconds: float
    epoch: int | None
    time: datetime | None
    width: int
    height: int
    label: str
    class_id: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float
    track: int | None
    predicted: bool
    zones: tuple[str, ...]
    kmh: float | None


COLUMNS = tuple(field.name for field in fields(Row))


class Rows:
    """The detections in files of events, one row each. Iterating reads the files anew, and keeps nothing."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved

    def __iter__(self) -> Iterator[Row]:
        """Raises EventsRefused: a line cannot be, or no line has such objects."""
        return chain.from_iterable(map(rows_of, self._saved))

    def to_pandas(self) -> "pandas.DataFrame":
        """All rows as a DataFrame, whose columns are the attributes of a Row. What is missing is NA, NaN or NaT.

        Raises:
            LibraryMissing: pandas is not installed.
            EventsRefused: as above.
        """
        try:
            import pandas
        except ImportError as error:
            raise LibraryMissing(f"pandas cannot be imported ({error}): {command('pandas')}") from error
        types = {
            **dict.fromkeys(("frame", "width", "height", "class_id"), "int64"),
            **dict.fromkeys(("seconds", "score", "x1", "y1", "x2", "y2", "kmh"), "float64"),
            **dict.fromkeys(("source", "stream", "file", "label"), "string"),
            **dict.fromkeys(("epoch", "track"), "Int64"),
            "time": "datetime64[ms, UTC]",
            "predicted": "bool",
            "zones": "object",
        }
        parts = [pandas.DataFrame(columns_of(rows)).astype(types) for rows in self._parts()]
        return pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame(columns_of(())).astype(types)

    def to_arrow(self) -> "pyarrow.Table":
        """All rows as a table of Arrow, whose columns are the attributes of a Row.

        Raises:
            LibraryMissing: pyarrow is not installed.
            EventsRefused: as above.
        """
        return arrow().Table.from_batches(self.batches(), arrow_schema())

    def batches(self) -> "Iterator[pyarrow.RecordBatch]":
        """The same, some rows at a time."""
        pyarrow, schema = arrow(), arrow_schema()
        for rows in self._parts():
            yield pyarrow.RecordBatch.from_pydict(columns_of(rows), schema)

    def _parts(self) -> Iterator[list[Row]]:
        rows = iter(self)
        return iter(lambda: [*islice(rows, BATCH)], [])


def read_events(path: str | Path, of: str = "detections") -> Rows:
    """The detections that `annotate`, `run` or a Job have written: one row each.

        for row in watchline.read_events("out/"):
            print(row.stream, row.seconds, row.label, row.score)

    Nothing is read before the rows are asked for. The files that a run still writes (`.part`) are left out.

    Args:
        path: a file of events, or a folder, which is searched with all that is below it.
        of: "detections", or "instances": what a segmenter of objects found.

    Raises:
        EventsNotFound (a FileNotFoundError): there are none.
        EventsRefused (a ValueError): while rows are read; a line cannot be, or no line has such objects.
    """
    return Rows(Saved(files_in(Path(path)), of))


def rows_of(frame: FrameEvent) -> list[Row]:
    """The rows of a frame."""
    where = (frame.source, frame.stream, frame.file, frame.index, frame.seconds, frame.epoch, frame.time)
    size = (frame.width, frame.height)
    rows = []
    for one in frame.found:
        zones = tuple(name for name, tracks in frame.zones.items() if one.track in tracks)
        speed = None if one.track is None else frame.kmh.get(one.track)
        rows.append(
            Row(*where, *size, one.label, one.class_id, one.score, *one.box, one.track, one.predicted, zones, speed)
        )
    return rows


def columns_of(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows as columns, by name."""
    return {name: [getattr(row, name) for row in rows] for name in COLUMNS}


def arrow() -> Any:
    """The module `pyarrow`. Raises LibraryMissing: it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise LibraryMissing(f"pyarrow cannot be imported ({error}): {command('parquet')}") from error
    return pyarrow


def arrow_schema() -> "pyarrow.Schema":
    """The types of the columns. Raises LibraryMissing."""
    pa = arrow()
    whole, real, text = pa.int64(), pa.float64(), pa.string()
    types = {
        **dict.fromkeys(("frame", "epoch", "width", "height", "class_id", "track"), whole),
        **dict.fromkeys(("seconds", "score", "x1", "y1", "x2", "y2", "kmh"), real),
        **dict.fromkeys(("source", "stream", "file", "label"), text),
        "time": pa.timestamp("ms", tz="UTC"),
        "predicted": pa.bool_(),
        "zones": pa.list_(text),
    }
    optional = ("file", "epoch", "time", "track", "kmh")
    return pa.schema([pa.field(name, types[name], nullable=name in optional) for name in COLUMNS])
