"""Predictions in JSON Lines, as `watchline annotate` writes them: saved, and read to be judged without a model.

Each line with `detections` is a picture: of a photo `file` is its name, of a video `frame` its number. The header's
labels of the model are those that it could have found.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from watchline.files import write_complete
from watchline.measure.errors import DataNotFound, DataRefused, ReportNotWritten
from watchline.measure.layouts.labelled import names_of
from watchline.ops.detections import Detections
from watchline.ops.errors import DetectionsError
from watchline.ops.masks import Masks
from watchline.streams.errors import EventsRefused
from watchline.streams.events.lines import checked, labels_of, lines_in
from watchline.streams.write.jsonl import SCHEMA
from watchline.text import json_text
from watchline.version import VERSION

MOST_BYTES = 1 << 31  # of a file, which is held in memory


def read(file: Path) -> dict[str, Detections]:
    """Detections by the name of their picture: of a photo as `names_of` has it, of a video's frame its number.

    Raises:
        DataNotFound: there is no such file.
        DataRefused: it is not such a file, or has two lines for a picture.
    """
    labels: tuple[str, ...] = ()
    lines: dict[str, list[Mapping[str, Any]]] = {}
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DataRefused(f"{file} has more than {MOST_BYTES >> 20} MiB: expected predictions of fewer pictures")
        for number, line in lines_in(file):
            labels = labels or labels_of(line.get("header", {}))
            if "detections" not in line:
                continue
            name = str(line["file"] if "file" in line else line.get("frame"))
            if name in lines:
                raise DataRefused(f"{file}: line {number} is the second of {name}: expected one for each picture")
            lines[name] = checked(file, number, line["detections"])
    except FileNotFoundError as error:
        raise DataNotFound(
            f"{file}: there is no such file; expected events, as `watchline annotate` writes them"
        ) from error
    except EventsRefused as error:
        raise DataRefused(str(error)) from error
    except OSError as error:
        raise DataRefused(f"{file} cannot be read: {error.strerror}; check its owner and rights") from error
    if not lines:
        raise DataRefused(f"{file} has no detections: expected events, as `watchline annotate` writes them")
    seen = {str(one["label"]) for rows in lines.values() for one in rows}
    labels = (*labels, *sorted(seen - set(labels)))
    numbers = {label: number for number, label in enumerate(labels)}
    masked = any("segmentation" in row for rows in lines.values() for row in rows)
    names = names_of([*map(PurePath, lines)])
    return {
        name: _detections(file, name, rows, numbers, masked) for name, rows in zip(names, lines.values(), strict=True)
    }


def write(file: Path, source: str, about: Mapping[str, Any], found: Iterable[tuple[str, Detections]]) -> None:
    """Write predictions. Numbers are written in full, so they give the same figures when they are read.

    Args:
        source: name of the data.
        about: what ran, for the header: `model`, with its `labels`, and `config`.
        found: names of pictures and what was found in them.

    Raises:
        ReportNotWritten: the file cannot be written.
    """
    lines = [{"schema": SCHEMA, "header": {"source": source, "stream": source, "version": VERSION, **about}}]
    for number, (name, detections) in enumerate(found):
        rows = [
            row | {"score": one.confidence, "box": list(one.xyxy)}
            for row, one in zip(detections.to_dicts(), detections, strict=True)
        ]
        lines.append({"schema": SCHEMA, "stream": source, "frame": number, "file": name, "detections": rows})
    try:
        write_complete(file, "".join(f"{json_text(line)}\n" for line in lines).encode())
    except OSError as error:
        raise ReportNotWritten(f"{file}: it cannot be written ({error.strerror}); name another place") from error


def _detections(
    file: Path, name: str, rows: list[Mapping[str, Any]], numbers: Mapping[str, int], masked: bool
) -> Detections:
    """Of a picture. Args: numbers, of the labels, in their order; masked, whether all have masks."""
    order = sorted(rows, key=lambda row: -row["score"])
    try:
        masks = None
        if masked:
            masks = Masks.from_rle([row["segmentation"] for row in order]) if order else Masks.none((1, 1))
        return Detections(
            np.array([row["box"] for row in order], np.float32).reshape(-1, 4),
            np.array([row["score"] for row in order], np.float32),
            np.array([numbers[row["label"]] for row in order], np.int64),
            tuple(numbers),
            masks=masks,
        )
    except (DetectionsError, KeyError, TypeError, ValueError) as error:
        raise DataRefused(f"{file}: the detections of {name} cannot be: {error!r}") from error
