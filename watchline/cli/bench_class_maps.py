"""`watchline bench map` on pictures in CamVid's layout: the mean IoU of a segmenter, class by class."""

import argparse
import os
from typing import TYPE_CHECKING

from watchline.cli.bench_report import report, what_runs
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE

if TYPE_CHECKING:
    from watchline.measure.class_maps import ClassMaps


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row a class and the mean."""
    from watchline.measure.class_maps import class_maps
    from watchline.pipeline.stages.segmenter import Segmenter

    given = {key: value for key in ("model", "runtime", "imgsz") if (value := getattr(options, key)) is not None}
    threads = options.threads or os.cpu_count() or 1  # one picture after another: all for each
    segmenter = Segmenter(workers=1, threads=threads, **given)
    about = what_runs(segmenter)
    with counting("pictures") as progress:
        measured = class_maps(segmenter, options.data, options.split, options.every, progress)
    report(options, about, as_text(measured), measured.as_dict())
    return DONE


def as_text(measured: "ClassMaps") -> str:
    """A table, and under it what the figures are."""
    shares = measured.counts.sum(1) / max(measured.counts.sum(), 1)
    names = max(map(len, [*measured.labels, "mean"]))
    rows = [f"{'':{names}}{'IoU':>8}{'pixels':>9}"]
    for (name, value), share in zip(measured.per_class.items(), shares, strict=True):
        rows.append(f"{name:{names}}{_shown(value):>8}{share:>9.2%}")
    rows.append(f"{'mean':{names}}{_shown(measured.mean):>8}{1:>9.0%}")
    rows.append(
        f"mean IoU, one confusion matrix over {measured.pictures} pictures of {measured.data} {measured.split}; "
        f"{measured.seconds:.1f} s"
    )
    return "\n".join(rows)


def _shown(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"  # NaN: the class is neither there nor predicted
