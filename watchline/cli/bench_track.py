"""`watchline bench track --data MOTDIR`: how well people keep their identity in videos, and what tracking costs."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.bench_options import add_json, check_json
from watchline.cli.bench_report import what_runs, write_json
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.settings import add_options

if TYPE_CHECKING:
    from watchline.measure.tracks import TrackFigures
    from watchline.pipeline.stages.detector import Detector

SETTINGS = ("runtime", "precision", "imgsz", "iou")
ROW = "{:>8}{:>8}{:>8}{:>10}{:>11}{:>6}{:>8}{:>10}"
HEAD = ("HOTA", "MOTA", "IDF1", "switches", "fragments", "ids", "people", "ms/frame")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "track",
        help="HOTA, MOTA and IDF1 of the tracker on videos in MOT Challenge's layout",
        description="How well people keep their identity: HOTA, MOTA and IDF1, as TrackEval computes them, of the "
        "tracker on videos in MOT Challenge's layout, with the boxes of a detector, or with given ones.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="a video in MOT Challenge's layout, or a folder of such"
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE.npy|DIR",
        help="given boxes, rows of frame,-1,left,top,w,h,score; of several videos a folder with NAME.npy of each",
    )
    parser.add_argument(
        "--model", metavar="FILE|NAME", help="the detector (default: the one that ships, see `watchline models`)"
    )
    add_options(parser, (*SETTINGS, "threads", "every"))
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row for each video."""
    from watchline.measure.layouts.mot import open_tracks, sequences_in
    from watchline.measure.tracks import boxes_by, boxes_in, measure_tracks

    check_json(options)
    detector = _detector(options)
    about: dict[str, Any] = {"boxes": str(options.boxes)} if detector is None else what_runs(detector)
    measured = []
    for folder in sequences_in(options.data):
        sequence = open_tracks(folder)
        with counting("frames") as progress:
            if detector is None:
                file = options.boxes / f"{sequence.name}.npy" if options.boxes.is_dir() else options.boxes
                found: Iterable[Any] = boxes_in(file, len(sequence.truth))
            else:
                found = boxes_by(detector, folder, progress)
            measured.append(measure_tracks(sequence, found, options.every or 1))
    how = "boxes of {boxes}" if detector is None else "{model} at {width} x {height}, {runtime} on {cpu}"
    how += f", every {options.every} frames" if options.every else ""
    print(how.format(**about))
    print(as_text(measured))
    if options.json:
        about |= {"every": options.every or 1}
        write_json(options.json, about | {"sequences": [one.as_dict() for one in measured]})
    return DONE


def as_text(measured: "Sequence[TrackFigures]") -> str:
    """A table, and under it what the figures are."""
    wide = max(len(one.data) for one in measured)
    lines = [" " * wide + ROW.format(*HEAD)]
    for one in measured:
        scores = one.scores
        shares = (f"{value:.3f}" for value in (scores.hota, scores.mota, scores.idf1))
        counts = (scores.switches, scores.fragments, scores.ids, scores.objects)
        lines.append(one.data.ljust(wide) + ROW.format(*shares, *counts, f"{one.milliseconds:.2f}"))
    frames = sum(one.frames for one in measured)
    return "\n".join([*lines, f"as TrackEval computes them, of {frames} frames; ms: the tracker alone, on one core"])


def _detector(options: argparse.Namespace) -> "Detector | None":
    """The detector that finds the boxes; None where they are given. Leaves by argparse's usage error."""
    from watchline.engines import zoo
    from watchline.engines.cores import cores
    from watchline.pipeline.stages.detector import Detector

    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    if options.boxes is None:
        threads, every = options.threads or cores(), options.every or 1
        return Detector(model=options.model or zoo.DEFAULT, threads=threads, workers=1, every=every, **given)
    wrong = [name for name in ("model", "threads", *given) if getattr(options, name) is not None]
    if wrong:
        options.parser.error(f"--{wrong[0]} is for a model, and --boxes gives what one has found: name one of them")
    return None
