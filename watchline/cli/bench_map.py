"""`watchline bench map --data DIR --model FILE`: how good models are on labelled pictures.

watchline bench map --data VOC2012 --model a.onnx --model b.onnx
watchline bench map --data coco/annotations/instances_val.json --predictions saved.jsonl
watchline bench map --data PETS09-S2L1 --config watchline.toml --rule voc2007
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.arguments import at_least, share, words
from watchline.cli.bench_map_table import SUMS, about_lines, as_text
from watchline.cli.bench_options import add_data, add_json, check_file
from watchline.cli.bench_report import write_json
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.settings import add_options, flags_of

if TYPE_CHECKING:
    from watchline.measure.benchmark import Benchmark, Counting
    from watchline.measure.contenders import Contender

CONF = 0.01  # average precision wants the complete curve, down to what nobody would show
SAMPLES = 1000
OF_MODELS = ("conf", "runtime", "precision", "imgsz", "threads", "per_box")  # without a meaning where no model runs
OF_BOXES = (  # options without a meaning where class maps are compared
    "conf", "iou", "classes", "same", "per_box", "rule", "iou_threshold", "save_predictions", "plots",
)  # fmt: skip


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "map",
        help="average precision of detectors, mean IoU of segmenters, on labelled pictures",
        description="How good models are on labelled pictures: average precision as PASCAL VOC or COCO have it, or "
        "localization as ILSVRC has it, of what comes out of the pipeline's detector; mean IoU of what comes out of "
        "the segmenter on pictures in CamVid's layout. With several models, side by side with their differences.",
        allow_abbrev=False,
    )
    add_labelled(parser, True, list(SUMS))
    _add_judged(parser.add_argument_group("what is judged (default: the model that ships)"))
    parser.add_argument("--classes", type=words, default=[], metavar="person,car", help="measure these classes only")
    parser.add_argument(
        "--same", type=_same, action="append", default=[], metavar="CLASS=LABEL,LABEL",
        help="labels that stand for a class of the data, e.g. moving=car,bus for CDnet",
    )  # fmt: skip
    parser.add_argument(
        "--bootstrap", type=at_least(0, 100_000), default=SAMPLES, metavar="N",
        help="samples of the pictures for the 95 %% intervals, 0 for none (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="of the samples (default: %(default)s)"
    )
    parser.add_argument("--save-predictions", type=Path, metavar="FILE.jsonl", help="for --predictions, of one model")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="write a page with the figures, what is taken for what, and the worst pictures",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write precision over recall there, a PNG a class")
    add_json(parser)
    return parser


def _add_judged(judged: argparse._ArgumentGroup) -> None:
    """The contenders, in the order in which they are named, and how their models run."""
    for option, metavar, help in (
        ("model", "FILE|NAME", "a model file, or one that `watchline models` lists"),
        ("config", "FILE.toml", "the stages of a pipeline, with its settings"),
        ("predictions", "FILE.jsonl", "events that `watchline annotate` wrote, or saved predictions; no model runs"),
    ):
        judged.add_argument(
            f"--{option}",
            dest="judged",
            action="append",
            type=_judged(option),
            metavar=metavar,
            help=f"{help}; again for more",
        )
    judged.add_argument(
        "--conf",
        type=share,
        metavar="CONF",
        help=f"leave out what has a lower score (default: {CONF}; of a config its own)",
    )
    add_options(judged, ("runtime", "precision", "imgsz", "iou", "threads"))
    judged.add_argument(
        "--per-box", choices=["all", "best"], help="classes of a box that count: all that score, as in papers, or its "
        "best, which is what videos show (default: all; of a config its own)"
    )  # fmt: skip


def add_labelled(parser: argparse.ArgumentParser, required: bool, rules: Sequence[str]) -> None:
    """Which labelled pictures, and how they are counted."""
    add_data(
        parser,
        required,
        "labelled pictures in the layout of VOC, COCO, YOLO, Penn-Fudan, MOT Challenge, CDnet or CamVid; or COCO's "
        "JSON, or YOLO's YAML",
        "of VOC's layout a list in ImageSets/Main, or all; of others a folder or a list of theirs (default: val, else "
        "test, else the first)",
    )
    parser.add_argument(
        "--rule", choices=rules, help="of the figures (default: voc2010; of `bench map`, coco where that is usual for "
        "the layout)"
    )  # fmt: skip
    parser.add_argument(
        "--iou-threshold", type=_threshold, default=0.5, metavar="IOU", help="from which a box is right (default: 0.5; "
        "COCO's rule has ten)"
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row a class and the mean."""
    from watchline.cli import bench_class_maps
    from watchline.measure import class_maps

    for option in ("json", "report", "save_predictions"):
        check_file(options, option)
    options.judged = options.judged or [("model", None)]
    if class_maps.in_layout(options.data):
        _refuse(options, "class maps", OF_BOXES)
        if wrong := next((kind for kind, _ in options.judged if kind != "model"), None):
            options.parser.error(f"--{wrong}: {options.data} holds class maps, of which models alone are judged")
        return bench_class_maps.run(options, [name for _, name in options.judged])
    if all(kind == "predictions" for kind, _ in options.judged):
        # of labels that stand for one class, --iou suppresses boxes here as well
        _refuse(options, "predictions, as no model runs", OF_MODELS if options.same else (*OF_MODELS, "iou"))
    if options.plots and options.plots.exists() and not options.plots.is_dir():
        options.parser.error(f"--plots {options.plots}: it is not a folder; name one for the plots")
    if options.save_predictions and len(options.judged) > 1:
        options.parser.error(
            f"--save-predictions {options.save_predictions}: expected one model, not {len(options.judged)}"
        )
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from watchline.engines import cpu
    from watchline.measure import predictions
    from watchline.measure.benchmark import benchmark
    from watchline.measure.benchmark_json import as_dict
    from watchline.measure.layouts.known import open_data
    from watchline.measure.mistakes import curves_dict, curves_of, mistakes_of
    from watchline.measure.report import parts, plots
    from watchline.measure.report.page import page

    data = open_data(options.data, options.split, options.every)
    rule = options.rule or data.rule
    if rule == "coco":
        _refuse(options, "COCO's rule, which has ten", ("iou_threshold",))
    contenders = _contenders(options)
    with counting("pictures") as progress:
        result = benchmark(data, contenders, _how(options, rule), progress)
    ran = _what_ran(result, contenders)
    print("\n".join([*ran, as_text(result)]))
    if options.save_predictions:  # first, as they took the time: whatever fails below, they are there
        [outcome] = result.outcomes
        found = zip(result.pictures, outcome.detections, strict=True)
        predictions.write(options.save_predictions, data.name, outcome.about, found)
    mistakes = [mistakes_of(result, one) for one in result.outcomes] if options.json or options.report else []
    if options.json:
        made = as_dict(result)
        made["models"] = [
            model | {"mistakes": one.as_dict(), "curves": curves_dict(curves_of(result, outcome))}
            for model, one, outcome in zip(made["models"], mistakes, result.outcomes, strict=True)
        ]
        write_json(options.json, {"cpu": cpu.kind(), "every": options.every, **made})
    if options.plots:
        curves = [curves_of(result, outcome) for outcome in result.outcomes]
        plots.write(options.plots, [outcome.name for outcome in result.outcomes], curves)
    if options.report:
        parts.write(options.report, page(result, mistakes, [*ran, *about_lines(result)]))
    return DONE


def _how(options: argparse.Namespace, rule: Any) -> "Counting":
    from watchline.measure.benchmark import Counting

    return Counting(
        rule, options.iou_threshold, tuple(options.classes), dict(options.same), options.bootstrap, options.seed
    )


def _contenders(options: argparse.Namespace) -> "list[Contender]":
    """In the order in which they were named; two of one name are numbered."""
    from dataclasses import replace

    from watchline.measure.contenders import of_predictions
    from watchline.pipeline.stages.detector import Detector

    found: list[Contender] = []
    for kind, name in options.judged:
        if kind == "predictions":
            iou = Detector().iou if options.iou is None else options.iou
            one = of_predictions(name, Path(name), iou)
        else:
            one = _of_stages(options, kind, name)
        same = sum(other.name.rpartition(" #")[0] == one.name or other.name == one.name for other in found)
        found.append(replace(one, name=f"{one.name} #{same + 1}") if same else one)
    return found


def _of_stages(options: argparse.Namespace, kind: str, name: str | None) -> "Contender":
    """A model with the options of the command line, or a config's stages with them."""
    from dataclasses import replace

    from watchline.engines.cores import cores
    from watchline.measure.contenders import of_stages
    from watchline.pipeline import config
    from watchline.pipeline.settings.tables import Flag
    from watchline.pipeline.stages.detector import Detector

    flags = [Flag("--threads", "detector", "threads", cores())]  # one picture after another: all for each
    flags += [flag for flag in flags_of(options) if flag.table == "detector" and flag.key not in ("classes", "every")]
    if kind == "model":
        flags.append(Flag("--conf", "detector", "conf", CONF if options.conf is None else options.conf))
        flags += [Flag("--model", "detector", "model", name)] if name else []
    settings = config.load(Path(name) if kind == "config" and name else None, flags)
    hide, stages = options.conceal, settings.stages
    options.conceal = lambda text: settings.conceal(hide(text))  # what several configs keep secret
    several = {"all": True, "best": False, None: True if kind == "model" else None}[options.per_box]
    if several is not None:
        stages = [replace(stage, several=several) if isinstance(stage, Detector) else stage for stage in stages]
    shipped = next(stage.model for stage in stages if isinstance(stage, Detector))
    return of_stages(name or shipped, stages)


def _what_ran(result: "Benchmark", contenders: "list[Contender]") -> list[str]:
    """A line for each."""
    from watchline.engines import cpu

    lines = []
    for outcome, contender in zip(result.outcomes, contenders, strict=True):
        model, config = outcome.about.get("model", {}), outcome.about.get("config")
        if config is None:
            lines.append(f"{outcome.name}: {len(outcome.detections)} pictures, as they were saved")
            continue
        width, height = model["size"]
        lines.append(
            f"{outcome.name}: {model['name']} at {width} x {height}, {model['runtime']} on {cpu.kind()}; scores from "
            f"{config['conf']:g}; of boxes that overlap more than {contender.suppression:g} one stays; of a box "
            f"{'all classes count' if config.get('several') else 'the best class counts'}"
        )
    return lines


def _refuse(options: argparse.Namespace, what: str, names: tuple[str, ...]) -> None:
    """Leaves by argparse's usage error where an option was given that has no meaning."""
    parser: argparse.ArgumentParser = options.parser
    for name in names:
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"--{name.replace('_', '-')}: it has no meaning for {what}")


def _judged(kind: str) -> Any:
    def named(text: str) -> tuple[str, str]:
        return kind, text

    return named


def _same(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, labels = text.partition("=")
    if not (name and equals and labels.strip(", ")):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a class and labels, e.g. moving=car,bus")
    return name, tuple(words(labels))


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected more than 0 and at most 1, e.g. 0.5")
    return value
