"""The figures of a benchmark as JSON, which has no NaN: None in its place."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from watchline.measure import bootstrap
from watchline.measure.benchmark import Benchmark, Outcome
from watchline.measure.bootstrap import Figures
from watchline.measure.scores import MEAN


def as_dict(result: Benchmark) -> dict[str, Any]:
    """All the figures of a benchmark, in 0..1, and on what they were measured."""
    counting = result.counting
    return {
        "data": result.data.name,
        "layout": result.data.layout,
        "split": result.data.split,
        "pictures": len(result.pictures),
        "rule": counting.rule,
        "iou_threshold": None if counting.rule == "coco" else counting.threshold,
        "bootstrap": {"samples": counting.samples, "seed": counting.seed, "share": bootstrap.SHARE},
        "objects": dict(result.objects),
        "unknown_classes": list(result.unknown),
        "models": [_outcome(outcome, n > 0) for n, outcome in enumerate(result.outcomes)],
    }


def _outcome(outcome: Outcome, is_compared: bool) -> dict[str, Any]:
    made = {"name": outcome.name, **outcome.about, "seconds": round(outcome.seconds, 3)}
    parts = {"boxes": outcome.boxes, "masks": outcome.masks}
    return made | {name: figures_dict(one, is_compared) for name, one in parts.items() if one is not None}


def figures_dict(figures: Figures, is_compared: bool) -> dict[str, Any]:
    """Figures with their intervals. Args: is_compared, with the first model, so its difference is told."""
    rows = {
        row: {name: _figure(figures, row, name, value, is_compared) for name, value in values.items()}
        for row, values in figures.table.items()
    }
    return {"mean": rows.pop(MEAN), "classes": rows}


def _figure(figures: Figures, row: str, name: str, value: NDArray[Any], is_compared: bool) -> Mapping[str, Any]:
    figure: dict[str, Any] = {"value": number(float(value))}
    if figures.intervals:
        figure["interval"] = [number(end) for end in figures.intervals[row][name]]
    if figures.differences and is_compared:
        figure["difference_interval"] = [number(end) for end in figures.differences[row][name]]
    return figure


def number(value: float) -> float | None:
    """None for NaN."""
    return None if value != value else value
