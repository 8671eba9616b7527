"""CSV: a row per detection, with the columns of `streams/events/table.py`; names of zones have semicolons between."""

import csv
from pathlib import Path
from typing import Any

from watchline.streams.events.survey import Survey
from watchline.streams.events.table import COLUMNS, Row, Rows
from watchline.streams.write.jsonl import timestamp

FILE = "detections.csv"


def write(survey: Survey, folder: Path) -> list[str]:
    """Write it into a folder. Raises OSError: it cannot be written; EventsRefused."""
    with (folder / FILE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(map(_cells, Rows(survey.saved)))
    return []


def _cells(row: Row) -> list[Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    values["zones"] = ";".join(row.zones)
    values["time"] = row.time and timestamp(row.time.timestamp())
    return list(values.values())
