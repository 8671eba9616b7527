"""What `watchline bench map` prints of detectors: tables of their figures, and what these are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from watchline.cli.figures_table import MEAN, figures_table, value_text

if TYPE_CHECKING:
    from watchline.measure.benchmark import Benchmark
    from watchline.measure.bootstrap import Figures

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
    names = [outcome.name for outcome in result.outcomes]
    counts = {name: str(count) for name, count in result.objects.items()} | {MEAN: str(sum(result.objects.values()))}
    what = "pictures" if result.counting.rule == "ilsvrc" else "objects"
    rows = []
    for part in ("boxes", "masks"):
        every = [getattr(outcome, part) for outcome in result.outcomes]
        if all(figures is not None for figures in every):
            title = part if result.outcomes[0].masks is not None else ""
            rows += figures_table(names, every, shown, (what, counts), title)
            if result.counting.rule == "coco":
                rows += [
                    line for name, figures in zip(names, every, strict=True) for line in _rest(names, name, figures)
                ]
    return "\n".join([*rows, *about_lines(result)])


def _rest(names: Sequence[str], name: str, figures: "Figures") -> list[str]:
    """COCO's other figures: by size, and recall by the number of detections."""
    mean = {key: value_text(float(value)) for key, value in figures.table[MEAN].items()}
    begin = f"{name}: " if len(names) > 1 else ""
    return [
        f"{begin}small, medium, large: AP {mean['APs']}, {mean['APm']}, {mean['APl']}; "
        f"AR {mean['ARs']}, {mean['ARm']}, {mean['ARl']}",
        f"{begin}AR with 1, 10, 100 detections: {mean['AR1']}, {mean['AR10']}, {mean['AR100']}",
    ]


def about_lines(result: "Benchmark") -> list[str]:
    """What the figures are, of how many pictures, and what was left out."""
    counting, mean = result.counting, result.outcomes[0].boxes.table[MEAN]
    of = f"on {len(result.pictures)} pictures of {result.data.name} {result.data.split}"
    seconds = f"{sum(outcome.seconds for outcome in result.outcomes):.1f} s"
    counted = sum(count > 0 for count in result.objects.values())
    what = {"coco": "COCO's AP", "ilsvrc": f"localization at IoU {counting.threshold:g}"}.get(
        counting.rule, f"mAP at IoU {counting.threshold:g}"
    )
    rows = [f"{what} over {counted} classes {of} ({SUMS[counting.rule]}); {seconds}"]
    if counting.samples and any(float(value) == float(value) for value in mean.values()):
        drawn = "blocks of frames" if result.data.is_video else "the pictures"
        rows.append(f"intervals: {counting.samples} samples of {drawn}, seed {counting.seed}")
    if result.unknown:
        rows.append(f"left out, as a model has no label for them: {', '.join(result.unknown)}")
    return rows
