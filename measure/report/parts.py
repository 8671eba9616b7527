"""What the reports are made of: one HTML file each, which holds all that it shows, loads nothing and runs no code.

Names come from files of anybody: `text` makes them fit to be shown.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchline.files import write_complete
from watchline.measure.bootstrap import Figures, Interval
from watchline.measure.errors import ReportNotWritten
from watchline.measure.report.style import STYLE
from watchline.streams.frame import Image
from watchline.text import printable

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body><main>
"""
QUALITY = 85  # of JPEG


def document(data: str, split: str, models: Sequence[str], about: Iterable[str], parts: Iterable[str]) -> str:
    """A page. Args: about, lines that say what ran and how it was counted; parts, HTML."""
    return "".join(
        [
            HEAD.format(title=text(f"{data} {split}: {', '.join(models)}"), style=STYLE),
            f"<h1>{text(data)} <small>{text(split)}</small></h1>",
            "".join(f"<p class=about>{text(line)}</p>" for line in about),
            "" if len(models) == 1 else f"<p>{' '.join(name(n, model) for n, model in enumerate(models))}</p>",
            *parts,
            "</main></body></html>\n",
        ]
    )


def write(file: Path, html: str) -> None:
    """Write a page. Raises ReportNotWritten: it cannot be written."""
    try:
        write_complete(file, html.encode())
    except OSError as error:
        raise ReportNotWritten(
            f"--report {file}: it cannot be written ({error.strerror}); name another place"
        ) from error


def text(text: str) -> str:
    """Text of anybody, as HTML."""
    return escape(printable(text))


def name(n: int, name: str) -> str:
    """The name of model n, in its colour."""
    return f'<span class="name m{n}"><i></i>{text(name)}</span>'


def names(models: Sequence[str], attributes: str = "") -> str:
    """A cell of a table's head for each model."""
    return "".join(f"<th{attributes}>{name(n, model)}</th>" for n, model in enumerate(models))


def cell(figures: Figures, first: Figures, row: str, name: str, n: int) -> str:
    """A figure of model n with its interval, and its difference to the first model."""
    number = float(figures.table[row][name])
    interval = between(figures.intervals[row][name]) if figures.intervals else ""
    if n and figures.differences:
        more = number - float(first.table[row][name])
        interval += f"<br>{value(more, '+')}{between(figures.differences[row][name], '+')}"
    return f"<td>{value(number)}{interval}</td>"


def value(value: float, sign: str = "") -> str:
    """A figure; a dash for NaN."""
    return "–" if value != value else f"{value:{sign}.3f}"


def between(interval: Interval, sign: str = "") -> str:
    """An interval; nothing for NaN."""
    low, high = interval
    return "" if low != low else f" <small>{low:{sign}.3f} to {high:{sign}.3f}</small>"


def table(rows: Iterable[str]) -> str:
    """A table that scrolls where it is wider than the page."""
    return f"<div class=scroll><table>{''.join(rows)}</table></div>"


def confusion(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[object]], counts: NDArray[np.int64]
) -> str:
    """A table of what is taken for what, shaded by shares of rows. Args: cells, what is written; counts, (R, C)."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "<tr><th></th>" + "".join(f"<th class=up>{text(name)}</th>" for name in columns) + "</tr>"
    lines = ""
    for name, row, share in zip(rows, cells, shares.tolist(), strict=True):
        shown = "".join(f"<td style='--h:{part:.2f}'>{one}</td>" for one, part in zip(row, share, strict=True))
        lines += f"<tr><th>{text(name)}</th>{shown}</tr>"
    return f"<div class=scroll><table class=confusion>{head}{lines}</table></div>"


def figure(image: Image, name: str, caption: str) -> str:
    """A picture (H, W, 3) uint8 BGR, which the page itself holds."""
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return (
        f"<figure><img src='data:image/jpeg;base64,{base64.b64encode(data).decode()}' alt='{text(name)}' loading=lazy>"
        f"<figcaption>{text(name)}: {text(caption)}</figcaption></figure>"
    )
