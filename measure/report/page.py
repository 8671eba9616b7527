"""The report of a benchmark as one HTML file: it holds all that it shows, loads nothing and runs no code.

Names come from files of anybody: `_text` makes them fit to be shown.
"""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.files import write_complete
from watchline.measure.benchmark import Benchmark
from watchline.measure.bootstrap import Figures, Interval
from watchline.measure.errors import ReportNotWritten
from watchline.measure.mistakes import SHOWN, Mistakes, curves_of, threshold_of
from watchline.measure.report import svg, worst
from watchline.measure.report.style import STYLE
from watchline.measure.scores import MEAN
from watchline.ops.detection_errors import KINDS
from watchline.text import printable

MEANS = {
    "class": "the place is right, the class is wrong",
    "place": "the class is right, the box is too far off",
    "both": "class and place are wrong",
    "double": "the object was found already, by a better box",
    "background": "nothing is there",
    "missed": "an object that no box is about",
}
HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>{style}</style></head><body><main>
"""


def write(file: Path, result: Benchmark, mistakes: Sequence[Mistakes], about: Sequence[str]) -> None:
    """Write the report. Args: as `page` has them. Raises ReportNotWritten: it cannot be written."""
    try:
        write_complete(file, page(result, mistakes, about).encode())
    except OSError as error:
        raise ReportNotWritten(
            f"--report {file}: it cannot be written ({error.strerror}); name another place"
        ) from error


def page(result: Benchmark, mistakes: Sequence[Mistakes], about: Sequence[str]) -> str:
    """The report.

    Args:
        mistakes: of each outcome.
        about: lines that say what ran and how it was counted.
    """
    title = f"{result.data.name} {result.data.split}: {', '.join(outcome.name for outcome in result.outcomes)}"
    parts = [
        HEAD.format(title=_text(title), style=STYLE),
        f"<h1>{_text(result.data.name)} <small>{_text(result.data.split)}</small></h1>",
        "".join(f"<p class=about>{_text(line)}</p>" for line in about),
        _legend(result),
        *_tables(result),
        _curves(result),
        _errors(result, mistakes),
        _confusions(result, mistakes),
        _worst(result, mistakes),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _text(text: str) -> str:
    return escape(printable(text))


def _legend(result: Benchmark) -> str:
    if len(result.outcomes) == 1:
        return ""
    return "<p>" + " ".join(_name(n, one.name) for n, one in enumerate(result.outcomes)) + "</p>"


def _name(n: int, name: str) -> str:
    return f'<span class="name m{n}"><i></i>{_text(name)}</span>'


def _tables(result: Benchmark) -> Iterable[str]:
    for what in ("boxes", "masks"):
        every = [getattr(outcome, what) for outcome in result.outcomes]
        if all(figures is not None for figures in every):
            yield f"<h2>Figures of {what}</h2>{_means(result, every)}{_per_class(result, every)}"


def _means(result: Benchmark, every: Sequence[Figures]) -> str:
    """A row for each figure, a column for each model, and its difference to the first."""
    head = "<tr><th></th>" + "".join(f"<th>{_name(n, o.name)}</th>" for n, o in enumerate(result.outcomes)) + "</tr>"
    rows = ""
    for figure in every[0].table[MEAN]:
        cells = "".join(_cell(figures, every[0], MEAN, figure, n) for n, figures in enumerate(every))
        rows += f"<tr><th>{_text(figure)}</th>{cells}</tr>"
    return f"<div class=scroll><table>{head}{rows}</table></div>"


def _per_class(result: Benchmark, every: Sequence[Figures]) -> str:
    figure = next(iter(every[0].table[MEAN]))
    head = f"<tr><th>{_text(figure)}</th>"
    head += (
        "".join(f"<th>{_name(n, o.name)}</th>" for n, o in enumerate(result.outcomes))
        + f"<th>{_counted(result)}</th></tr>"
    )
    rows = ""
    for name in result.names:
        cells = "".join(_cell(figures, every[0], name, figure, n) for n, figures in enumerate(every))
        rows += f"<tr><th>{_text(name)}</th>{cells}<td>{result.objects[name]}</td></tr>"
    return f"<h3>By class</h3><div class=scroll><table>{head}{rows}</table></div>"


def _counted(result: Benchmark) -> str:
    return "pictures" if result.counting.rule == "ilsvrc" else "objects"


def _cell(figures: Figures, first: Figures, row: str, name: str, n: int) -> str:
    value = float(figures.table[row][name])
    between = _between(figures.intervals[row][name]) if figures.intervals else ""
    if n and figures.differences:
        more = value - float(first.table[row][name])
        between += f"<br>{_value(more, '+')}{_between(figures.differences[row][name], '+')}"
    return f"<td>{_value(value)}{between}</td>"


def _value(value: float, sign: str = "") -> str:
    return "–" if value != value else f"{value:{sign}.3f}"


def _between(interval: Interval, sign: str = "") -> str:
    low, high = interval
    return "" if low != low else f" <small>{low:{sign}.3f} to {high:{sign}.3f}</small>"


def _curves(result: Benchmark) -> str:
    every = [curves_of(result, outcome) for outcome in result.outcomes]
    figures = ""
    for name in result.names:
        lines = [curves.get(name) for curves in every]
        if any(line is not None for line in lines):
            figures += f"<figure>{svg.curves(lines)}<figcaption>{_text(name)}</figcaption></figure>"
    return (
        f"<h2>Precision over recall</h2><p>At IoU {threshold_of(result):g}. Precision is the best at this or any "
        f"higher recall, so average precision is the area below a curve.</p><div class=grid>{figures}</div>"
    )


def _errors(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    """A row for each kind; the bar is what it costs."""
    most = max([cost for one in mistakes for cost in one.costs.values() if cost == cost], default=0) or 1
    head = "<tr><th></th>" + "".join(
        f"<th colspan=2>{_name(n, outcome.name)}</th>" for n, outcome in enumerate(result.outcomes)
    )
    rows = ""
    for kind in KINDS:
        cells = "".join(
            f"<td>{one.counts[kind]}</td><td class=bar><b class=m{n} style='--w:{_share(one.costs[kind] / most)}'></b>"
            f"{_value(one.costs[kind], '+')}</td>"
            for n, one in enumerate(mistakes)
        )
        rows += f"<tr><th>{kind}<br><small>{MEANS[kind]}</small></th>{cells}</tr>"
    return (
        "<h2>Kinds of error</h2><p>How many detections of any score, or objects, are of each kind (<i>place</i> is "
        "TIDE's localization), and how much higher the average precision at this IoU would be without them.</p>"
        f"<div class=scroll><table>{head}</tr>{rows}</table></div>"
    )


def _share(value: float) -> str:
    return f"{min(max(value, 0), 1):.3f}" if value == value else "0"


def _confusions(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    tables = "".join(
        f"<h3>{_name(n, outcome.name)}</h3>{_confusion(result.names, one.confusion)}"
        for n, (outcome, one) in enumerate(zip(result.outcomes, mistakes, strict=True))
    )
    return (
        f"<h2>What is taken for what</h2><p>Objects by row, what they were found as by column, from a score of "
        f"{SHOWN:g} on. The last column counts what was not found, the last row what is not there.</p>{tables}"
    )


def _confusion(names: Sequence[str], counts: NDArray[np.int64]) -> str:
    """Shaded by the share of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "<tr><th></th>" + "".join(f"<th class=up>{_text(name)}</th>" for name in [*names, "not found"]) + "</tr>"
    rows = ""
    for name, row, share in zip([*names, "not there"], counts.tolist(), shares.tolist(), strict=True):
        cells = "".join(
            f"<td style='--h:{part:.2f}'>{count or ''}</td>" for count, part in zip(row, share, strict=True)
        )
        rows += f"<tr><th>{_text(name)}</th>{cells}</tr>"
    return f"<div class=scroll><table class=confusion>{head}{rows}</table></div>"


def _worst(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    every = worst.drawn(result, mistakes)
    parts = [
        f"<h2>The worst pictures</h2><p>Those with the most mistakes from a score of {SHOWN:g} on. "
        "<span class=there>Green</span> is an object, <span class=lost>yellow</span> one that was not found, "
        "<span class=seen>blue</span> a right box, <span class=wrong>red</span> a wrong one with its kind of error.</p>"
    ]
    for n, (outcome, shown) in enumerate(zip(result.outcomes, every, strict=True)):
        figures = "".join(
            f"<figure><img src='{one.address}' alt='{_text(one.name)}' loading=lazy><figcaption>{_text(one.name)}: "
            f"{one.mistakes} {'mistake' if one.mistakes == 1 else 'mistakes'}</figcaption></figure>"
            for one in shown
        )
        none = "" if shown else "<p>There is none.</p>"
        parts.append(f"<h3>{_name(n, outcome.name)}</h3>{none}<div class='grid wide'>{figures}</div>")
    return "".join(parts)
