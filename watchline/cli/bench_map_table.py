"""What `watchline bench map` prints: a row a class, with 95 % intervals, and of several models their differences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchline.measure.benchmark import Benchmark, Figures
    from watchline.measure.bootstrap import Interval

SHOWN = {"coco": ("AP", "AP50", "AP75"), "ilsvrc": ("top-5", "top-1")}  # by rule, columns of one model; else AP
SUMS = {
    "voc2010": "area under the precision-recall curve",
    "voc2007": "mean over 11 recalls",
    "coco": "IoU 0.50 to 0.95, 101 recalls",
    "ilsvrc": "share of the pictures with objects of one class where one of five guesses, or the first, is right",
}


def as_text(result: "Benchmark") -> str:
    """Tables, and under them what the figures are and what was left out."""
    shown = SHOWN.get(result.counting.rule, ("AP",))
    rows = []
    for what in ("boxes", "masks"):
        figures = [getattr(outcome, what) for outcome in result.outcomes]
        if all(one is not None for one in figures):
            title = what if result.outcomes[0].masks is not None else ""
            rows += (
                _alone(result, figures[0], shown, title) if len(figures) == 1 else _side_by_side(result, figures, title)
            )
            if result.counting.rule == "coco":
                rows += [
                    line
                    for outcome, one in zip(result.outcomes, figures, strict=True)
                    for line in _rest(result, outcome.name, one)
                ]
    return "\n".join([*rows, *about_lines(result)])


def _alone(result: "Benchmark", figures: "Figures", shown: Sequence[str], title: str) -> list[str]:
    width = max(map(len, [*figures.table, title]))
    has_intervals = figures.intervals is not None
    head = "".join(f"{name:>8}" for name in shown) + (f"{'95 % of ' + shown[0]:>16}" if has_intervals else "")
    rows = [f"{title:{width}}{head}{'objects':>9}"]
    for row in _rows(figures):
        values = "".join(f"{_value(float(figures.table[row][name])):>8}" for name in shown)
        between = f"{_between(figures.intervals[row][shown[0]]):>16}" if figures.intervals else ""
        rows.append(f"{row:{width}}{values}{between}{_objects(result, row):>9}")
    return rows


def _side_by_side(result: "Benchmark", every: "Sequence[Figures]", title: str) -> list[str]:
    """The first figure of each model, and what each is more than the first one."""
    name = SHOWN.get(result.counting.rule, ("AP",))[0]
    width = max(map(len, [*every[0].table, title, name]))
    names = [outcome.name for outcome in result.outcomes]
    columns = [max(len(one) + 2, 9) for one in names]
    head = "".join(f"{one:>{column}}" for one, column in zip(names, columns, strict=True))
    head += "".join(f"{'- first':>9}{'95 %':>18}" for _ in every[1:])
    rows = [f"{title or name:{width}}{head}{'objects':>9}"]
    for row in _rows(every[0]):
        values = [float(one.table[row][name]) for one in every]
        line = "".join(f"{_value(value):>{column}}" for value, column in zip(values, columns, strict=True))
        for one, value in zip(every[1:], values[1:], strict=True):
            between = _between(one.differences[row][name], "+") if one.differences else ""
            line += f"{_value(value - values[0], '+'):>9}{between:>18}"
        rows.append(f"{row:{width}}{line}{_objects(result, row):>9}")
    return rows


def _rest(result: "Benchmark", name: str, figures: "Figures") -> list[str]:
    """COCO's other figures: by size, and recall by the number of detections."""
    mean = {key: _value(float(value)) for key, value in figures.table["mean"].items()}
    begin = f"{name}: " if len(result.outcomes) > 1 else ""
    return [
        f"{begin}small, medium, large: AP {mean['APs']}, {mean['APm']}, {mean['APl']}; "
        f"AR {mean['ARs']}, {mean['ARm']}, {mean['ARl']}",
        f"{begin}AR with 1, 10, 100 detections: {mean['AR1']}, {mean['AR10']}, {mean['AR100']}",
    ]


def about_lines(result: "Benchmark") -> list[str]:
    """What the figures are, of how many pictures, and what was left out."""
    counting, mean = result.counting, result.outcomes[0].boxes.table["mean"]
    of = f"on {len(result.pictures)} pictures of {result.data.name} {result.data.split}"
    seconds = f"{sum(outcome.seconds for outcome in result.outcomes):.1f} s"
    counted = sum(count > 0 for count in result.objects.values())
    what = {"coco": "COCO's AP", "ilsvrc": f"localization at IoU {counting.threshold:g}"}.get(
        counting.rule, f"mAP at IoU {counting.threshold:g}"
    )
    rows = [f"{what} over {counted} classes {of} ({SUMS[counting.rule]}); {seconds}"]
    if counting.samples and any(float(value) == float(value) for value in mean.values()):
        rows.append(f"intervals: {counting.samples} samples of the pictures, seed {counting.seed}")
    if result.unknown:
        rows.append(f"left out, as a model has no label for them: {', '.join(result.unknown)}")
    return rows


def _rows(figures: "Figures") -> list[str]:
    first, *classes = figures.table
    return [*classes, first]


def _objects(result: "Benchmark", row: str) -> int:
    return result.objects.get(row, 0) if row != "mean" else sum(result.objects.values())


def _value(value: float, sign: str = "") -> str:
    return "-" if value != value else f"{value:{sign}.4f}"  # NaN: nothing of it counts


def _between(interval: "Interval", sign: str = "") -> str:
    low, high = interval
    return "-" if low != low else f"{low:{sign}.3f} to {high:{sign}.3f}"
