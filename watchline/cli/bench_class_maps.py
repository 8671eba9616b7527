"""`watchline bench map` on pictures in CamVid's layout: the mean IoU of segmenters, class by class."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from watchline.cli.bench_report import what_runs, write_json
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.figures_table import MEAN, figures_table

if TYPE_CHECKING:
    from watchline.measure.bootstrap import Figures
    from watchline.measure.class_maps import ClassMaps

SETTINGS = ("runtime", "precision", "imgsz")  # of the command line


def run(options: argparse.Namespace, models: Sequence[str | None]) -> int:
    """Measure each model, and print a row a class and the mean. Args: models, None for the one that ships."""
    from watchline.engines.cores import cores
    from watchline.measure import bootstrap
    from watchline.measure.benchmark_json import figures_dict
    from watchline.measure.class_maps import class_maps
    from watchline.measure.errors import DataRefused
    from watchline.measure.report import parts
    from watchline.measure.report.class_maps import page
    from watchline.pipeline.stages.segmenter import Segmenter

    given: dict[str, Any] = {k: value for k in SETTINGS if (value := getattr(options, k)) is not None}
    given["threads"] = options.threads or cores()  # one picture after another: all for each
    of_each = [given | ({"model": model} if model else {}) for model in models]
    segmenters = [Segmenter(workers=1, **own) for own in of_each]
    abouts = [what_runs(segmenter) for segmenter in segmenters]
    every: list[ClassMaps] = []
    for segmenter in segmenters:
        with counting("pictures") as progress:
            every.append(class_maps(segmenter, options.data, options.split, options.every, progress))
        if every[-1].labels != every[0].labels:
            raise DataRefused(f"{segmenter.model} has other labels than {segmenters[0].model}: expected the same")
    figures = bootstrap.figures([one.table for one in every], every[0].pictures, options.bootstrap, options.seed)
    names = [str(about["model"]) for about in abouts]
    ran = ["{model} at {width} x {height}, {runtime} on {cpu}".format(**about) for about in abouts]
    print("\n".join([*ran, *_table(names, every, figures), *_about(options, every)]))
    if options.json:
        rows = [
            about | one.as_dict() | {"figures": figures_dict(two, n > 0)}
            for n, (about, one, two) in enumerate(zip(abouts, every, figures, strict=True))
        ]
        write_json(options.json, {"every": options.every, "models": rows})
    if options.report:
        parts.write(options.report, page(names, every, figures, [*ran, *_about(options, every)]))
    return DONE


def _table(models: Sequence[str], every: "Sequence[ClassMaps]", figures: "Sequence[Figures]") -> list[str]:
    measured = every[0]
    shares = measured.counts.sum(1) / max(measured.counts.sum(), 1)
    pixels = {name: f"{share:.2%}" for name, share in zip(measured.labels, shares, strict=True)} | {MEAN: "100%"}
    return figures_table(models, figures, ("IoU",), ("pixels", pixels))


def _about(options: argparse.Namespace, every: "Sequence[ClassMaps]") -> list[str]:
    """What the figures are, of how many pictures."""
    measured = every[0]
    seconds = sum(one.seconds for one in every)
    rows = [
        f"mean IoU, one confusion matrix over {measured.pictures} pictures of {measured.data} {measured.split}; "
        f"{seconds:.1f} s"
    ]
    if options.bootstrap:
        rows.append(f"intervals: {options.bootstrap} samples of the pictures, seed {options.seed}")
    return rows
