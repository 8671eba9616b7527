"""A table of figures: a row a class and the mean, with 95 % intervals, and of several models their differences."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchline.measure.bootstrap import Figures, Interval

MEAN = "mean"  # the row of a table that is no class


def figures_table(
    models: Sequence[str],
    every: "Sequence[Figures]",
    shown: Sequence[str],
    counts: tuple[str, Mapping[str, str]],
    title: str = "",
) -> list[str]:
    """The lines of a table.

    Args:
        models, every: names, and the figures of each.
        shown: figures of a single model, a column each; of several, the first of them is compared.
        counts: what is counted, and how much of it is in each row.
        title: instead of the name of the figure.
    """
    rows = [*(row for row in every[0].table if row != MEAN), MEAN]
    width = max(map(len, [*rows, title, shown[0]]))
    head, lines = _alone(every[0], shown, rows) if len(every) == 1 else _side_by_side(models, every, shown[0], rows)
    corner = title or ("" if len(every) == 1 else shown[0])
    return [f"{corner:{width}}{head}{counts[0]:>10}"] + [
        f"{row:{width}}{line}{counts[1].get(row, ''):>10}" for row, line in zip(rows, lines, strict=True)
    ]


def _alone(figures: "Figures", shown: Sequence[str], rows: Sequence[str]) -> tuple[str, list[str]]:
    head = "".join(f"{name:>8}" for name in shown) + (f"{'95 % of ' + shown[0]:>16}" if figures.intervals else "")
    lines = []
    for row in rows:
        values = "".join(f"{value_text(float(figures.table[row][name])):>8}" for name in shown)
        lines.append(values + (f"{_between(figures.intervals[row][shown[0]]):>16}" if figures.intervals else ""))
    return head, lines


def _side_by_side(
    models: Sequence[str], every: "Sequence[Figures]", name: str, rows: Sequence[str]
) -> tuple[str, list[str]]:
    """A figure of each model, and what each is more than the first one."""
    columns = [max(len(model) + 2, 9) for model in models]
    head = "".join(f"{model:>{column}}" for model, column in zip(models, columns, strict=True))
    head += "".join(f"{'- first':>9}{'95 %':>18}" for _ in every[1:])
    lines = []
    for row in rows:
        values = [float(figures.table[row][name]) for figures in every]
        line = "".join(f"{value_text(value):>{column}}" for value, column in zip(values, columns, strict=True))
        for figures, value in zip(every[1:], values[1:], strict=True):
            between = _between(figures.differences[row][name], "+") if figures.differences else ""
            line += f"{value_text(value - values[0], '+'):>9}{between:>18}"
        lines.append(line)
    return head, lines


def value_text(value: float, sign: str = "") -> str:
    """Four digits; a hyphen for NaN: nothing of it counts."""
    return "-" if value != value else f"{value:{sign}.4f}"


def _between(interval: "Interval", sign: str = "") -> str:
    low, high = interval
    return "-" if low != low else f"{low:{sign}.3f} to {high:{sign}.3f}"
