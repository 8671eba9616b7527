"""`watchline bench map --data DIR --model FILE`: how good a model is on labelled pictures."""

import argparse
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from watchline.cli.bench_options import add_data, add_json, check_json
from watchline.cli.bench_report import report, what_runs
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.settings import add_options, flags_of

if TYPE_CHECKING:
    from watchline.measure.accuracy import Accuracy
    from watchline.pipeline.stages.detector import Detector

OF_BOXES = ("per_box", "rule", "iou_threshold")  # options without a meaning where boxes are not counted by VOC's rules
WORDS = {"voc2010": "area under the precision-recall curve", "voc2007": "mean over 11 recalls"}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "map",
        help="mean average precision of a detector, mean IoU of a segmenter, on labelled pictures",
        description="Mean average precision of what comes out of the pipeline's detector: as PASCAL VOC has it on "
        "pictures in its layout, as COCO has it, of boxes and masks, on those in COCO's or Penn-Fudan's layout. Mean "
        "IoU of what comes out of the segmenter on pictures in CamVid's layout.",
        allow_abbrev=False,
    )
    add_labelled(parser, required=True)
    add_options(parser, ("model", "runtime", "imgsz", "iou", "classes", "threads"))
    parser.add_argument(
        "--per-box", choices=["all", "best"], default="all", help="classes of a box that count: all that score, as in "
        "papers, or its best, which is what videos show (default: all)"
    )  # fmt: skip
    add_json(parser)
    return parser


def add_labelled(parser: argparse.ArgumentParser, required: bool) -> None:
    """Which labelled pictures, and how they are counted."""
    add_data(
        parser,
        required,
        "labelled pictures; their layout says what is measured",
        "of VOC's layout a list in ImageSets/Main, or all (default: val, else test, else all); of others a folder or a "
        "list of theirs",
    )
    parser.add_argument(
        "--rule", choices=list(WORDS), default="voc2010", help="of the average precision (default: %(default)s)"
    )
    parser.add_argument(
        "--iou-threshold", type=_threshold, default=0.5, metavar="IOU", help="from which a box is right (default: 0.5)"
    )


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row a class and the mean."""
    from watchline.cli import bench_class_maps, bench_masks
    from watchline.measure import class_maps, masked
    from watchline.measure.accuracy import accuracy

    check_json(options)
    if class_maps.in_layout(options.data):
        _refuse(options, "class maps", (*OF_BOXES, "iou", "classes"))
        return bench_class_maps.run(options)
    detector = _detector(options)
    if masked.is_masked(options.data):
        _refuse(options, "masks", OF_BOXES)
        return bench_masks.run(options, detector)
    about = what_runs(detector)
    with counting("pictures") as progress:
        data, split, rule, every = options.data, options.split, options.rule, options.every
        measured = accuracy(detector, data, split, rule, every, options.iou_threshold, progress)
    about |= {"suppression_iou": detector.iou, "per_box": options.per_box}
    how = (
        f"; of boxes that overlap more than {detector.iou:g} one stays; of a box "
        f"{'all classes count' if detector.several else 'the best class counts'}"
    )
    report(options, about, as_text(measured), measured.as_dict(), how)
    return DONE


def _refuse(options: argparse.Namespace, what: str, names: tuple[str, ...]) -> None:
    """Leaves by argparse's usage error where an option was given that has no meaning."""
    parser: argparse.ArgumentParser = options.parser
    for name in names:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')}: it has no meaning for {what}")


def as_text(measured: "Accuracy") -> str:
    """A table, and under it what the figures are and what was left out."""
    width = max(map(len, [*measured.per_class, "mean"]))
    rows = [f"{'':{width}}{'AP':>8}{'objects':>9}"]
    for name, value in measured.per_class.items():
        shown = "-" if value != value else f"{value:.4f}"  # NaN: all its objects are difficult
        rows.append(f"{name:{width}}{shown:>8}{measured.objects[name]:>9}")
    mean = "-" if measured.mean != measured.mean else f"{measured.mean:.4f}"
    rows.append(f"{'mean':{width}}{mean:>8}{sum(measured.objects.values()):>9}")
    counted = sum(value == value for value in measured.per_class.values())
    rows.append(
        f"mAP at IoU {measured.threshold:g} over {counted} classes on {measured.pictures} pictures of "
        f"{measured.data} {measured.split} ({WORDS[measured.rule]}); {measured.seconds:.1f} s"
    )
    if measured.unknown:
        rows.append(f"left out, as the model has no label for them: {', '.join(measured.unknown)}")
    return "\n".join(rows)


def _detector(options: argparse.Namespace) -> "Detector":
    from watchline.pipeline import config
    from watchline.pipeline.settings.tables import Flag
    from watchline.pipeline.stages.detector import Detector

    cores = Flag("--threads", "detector", "threads", os.cpu_count())  # one picture after another: all for each
    flags = [cores, *(flag for flag in flags_of(options) if flag.table == "detector")]
    detector = next(stage for stage in config.load(None, flags).stages if isinstance(stage, Detector))
    return replace(detector, several=options.per_box == "all")


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected more than 0 and at most 1, e.g. 0.5")
    return value
