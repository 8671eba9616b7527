"""Parquet: a row per detection, with the columns of `streams/events/table.py`, in groups of rows."""

from pathlib import Path

from watchline.streams.events.survey import Survey
from watchline.streams.events.table import Rows, arrow, arrow_schema

FILE = "detections.parquet"


def check() -> None:
    """Raises LibraryMissing: pyarrow is not installed."""
    arrow()


def write(survey: Survey, folder: Path) -> list[str]:
    """Write it into a folder. Raises OSError: it cannot be written; EventsRefused, LibraryMissing."""
    check()
    from pyarrow import parquet

    with parquet.ParquetWriter(folder / FILE, arrow_schema()) as writer:
        for batch in Rows(survey.saved).batches():
            writer.write_batch(batch)
    return []
