"""The report of a benchmark as one HTML file: it holds all that it shows, loads nothing and runs no code.

Names come from files of anybody: `_text` makes them fit to be shown.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from watchline.measure.benchmark import Benchmark
from watchline.measure.bootstrap import Figures
from watchline.measure.mistakes import SHOWN, Mistakes, curves_of, threshold_of
from watchline.measure.report import parts, svg, worst
from watchline.measure.scores import MEAN
from watchline.ops.detection_errors import KINDS

MEANS = {
    "class": "the place is right, the class is wrong",
    "place": "the class is right, the box is too far off",
    "both": "class and place are wrong",
    "double": "the object was found already, by a better box",
    "background": "nothing is there",
    "missed": "an object that no box is about",
}


def page(result: Benchmark, mistakes: Sequence[Mistakes], about: Sequence[str]) -> str:
    """The report.

    Args:
        mistakes: of each outcome.
        about: lines that say what ran and how it was counted.
    """
    body = [
        *_tables(result),
        _curves(result),
        _errors(result, mistakes),
        _confusions(result, mistakes),
        _worst(result, mistakes),
    ]
    return parts.document(result.data.name, result.data.split, _models(result), about, body)


def _models(result: Benchmark) -> list[str]:
    return [outcome.name for outcome in result.outcomes]


def _tables(result: Benchmark) -> Iterable[str]:
    for what in ("boxes", "masks"):
        every = [getattr(outcome, what) for outcome in result.outcomes]
        if all(figures is not None for figures in every):
            yield f"<h2>Figures of {what}</h2>{_means(result, every)}{_per_class(result, every)}"


def _means(result: Benchmark, every: Sequence[Figures]) -> str:
    """A row for each figure, a column for each model, and its difference to the first."""
    rows = [f"<tr><th></th>{parts.names(_models(result))}</tr>"]
    for figure in every[0].table[MEAN]:
        cells = "".join(parts.cell(figures, every[0], MEAN, figure, n) for n, figures in enumerate(every))
        rows.append(f"<tr><th>{parts.text(figure)}</th>{cells}</tr>")
    return parts.table(rows)


def _per_class(result: Benchmark, every: Sequence[Figures]) -> str:
    figure = next(iter(every[0].table[MEAN]))
    rows = [f"<tr><th>{parts.text(figure)}</th>{parts.names(_models(result))}<th>{_counted(result)}</th></tr>"]
    for name in result.names:
        cells = "".join(parts.cell(figures, every[0], name, figure, n) for n, figures in enumerate(every))
        rows.append(f"<tr><th>{parts.text(name)}</th>{cells}<td>{result.objects[name]}</td></tr>")
    return f"<h3>By class</h3>{parts.table(rows)}"


def _counted(result: Benchmark) -> str:
    return "pictures" if result.counting.rule == "ilsvrc" else "objects"


def _curves(result: Benchmark) -> str:
    every = [curves_of(result, outcome) for outcome in result.outcomes]
    figures = ""
    for name in result.names:
        lines = [curves.get(name) for curves in every]
        if any(line is not None for line in lines):
            figures += f"<figure>{svg.curves(lines)}<figcaption>{parts.text(name)}</figcaption></figure>"
    return (
        f"<h2>Precision over recall</h2><p>At IoU {threshold_of(result):g}. Precision is the best at this or any "
        f"higher recall, so average precision is the area below a curve.</p><div class=grid>{figures}</div>"
    )


def _errors(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    """A row for each kind; the bar is what it costs."""
    most = max([cost for one in mistakes for cost in one.costs.values() if cost == cost], default=0) or 1
    rows = [f"<tr><th></th>{parts.names(_models(result), ' colspan=2')}</tr>"]
    for kind in KINDS:
        cells = "".join(
            f"<td>{one.counts[kind]}</td><td class=bar><b class=m{n} style='--w:{_share(one.costs[kind] / most)}'></b>"
            f"{parts.value(one.costs[kind], '+')}</td>"
            for n, one in enumerate(mistakes)
        )
        rows.append(f"<tr><th>{kind}<br><small>{MEANS[kind]}</small></th>{cells}</tr>")
    return (
        "<h2>Kinds of error</h2><p>How many detections of any score, or objects, are of each kind (<i>place</i> is "
        "TIDE's localization), and how much higher the average precision at this IoU would be without them.</p>"
        f"{parts.table(rows)}"
    )


def _share(value: float) -> str:
    return f"{min(max(value, 0), 1):.3f}" if value == value else "0"


def _confusions(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    tables = "".join(
        f"<h3>{parts.name(n, outcome.name)}</h3>{_confusion(result.names, one.confusion)}"
        for n, (outcome, one) in enumerate(zip(result.outcomes, mistakes, strict=True))
    )
    return (
        f"<h2>What is taken for what</h2><p>Objects by row, what they were found as by column, from a score of "
        f"{SHOWN:g} on. The last column counts what was not found, the last row what is not there.</p>{tables}"
    )


def _confusion(names: Sequence[str], counts: NDArray[np.int64]) -> str:
    cells = [[count or "" for count in row] for row in counts.tolist()]
    return parts.confusion([*names, "not there"], [*names, "not found"], cells, counts)


def _worst(result: Benchmark, mistakes: Sequence[Mistakes]) -> str:
    every = worst.drawn(result, mistakes)
    made = [
        f"<h2>The worst pictures</h2><p>Those with the most mistakes from a score of {SHOWN:g} on. "
        "<span class=there>Green</span> is an object, <span class=lost>yellow</span> one that was not found, "
        "<span class=seen>blue</span> a right box, <span class=wrong>red</span> a wrong one with its kind of error.</p>"
    ]
    for n, (outcome, shown) in enumerate(zip(result.outcomes, every, strict=True)):
        figures = "".join(
            parts.figure(one.image, one.name, f"{one.mistakes} {'mistake' if one.mistakes == 1 else 'mistakes'}")
            for one in shown
        )
        none = "" if shown else "<p>There is none.</p>"
        made.append(f"<h3>{parts.name(n, outcome.name)}</h3>{none}<div class='grid wide'>{figures}</div>")
    return "".join(made)
