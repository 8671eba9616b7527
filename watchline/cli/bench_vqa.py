"""`watchline bench vqa --data DAQUAR`: how good answers to questions about photos are."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.bench_options import add_data, add_json, check_json
from watchline.cli.bench_report import report, what_runs
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.settings import add_options

if TYPE_CHECKING:
    from watchline.measure.vqa import AnswerFigures

SETTINGS = ("runtime", "precision", "imgsz")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "vqa",
        help="accuracy and WUPS of answers to questions about photos in DAQUAR's layout",
        description="How good the answers to questions about photos in DAQUAR's layout are: accuracy and, where "
        "WordNet is installed (Debian's package wordnet-base), WUPS.",
        allow_abbrev=False,
    )
    add_data(parser, True, "photos and questions in DAQUAR's layout", "train or test (default: test)")
    parser.add_argument("--model", metavar="FILE|NAME", help="a model that answers (default: the one that ships)")
    add_options(parser, (*SETTINGS, "threads"))
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row of figures."""
    from watchline.engines import zoo
    from watchline.engines.cores import cores
    from watchline.measure.vqa import SPLIT, answers
    from watchline.pipeline.stages.asker import Asker

    check_json(options)
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    model, threads = options.model or zoo.ANSWERER, options.threads or cores()
    asker = Asker(question="what is it ?", model=model, threads=threads, **given)
    about = what_runs(asker)
    with counting("questions") as progress:
        measured = answers(asker, Path(options.data), options.split or SPLIT, options.every, progress)
    report(options, about, as_text(measured), measured.as_dict())
    return DONE


def as_text(measured: "AnswerFigures") -> str:
    """The figures, and under them of what they are."""
    return "\n".join(
        (
            "  ".join(measured.figures),
            "  ".join(f"{value:>{len(name)}.4f}" for name, value in measured.figures.items()),
            f"of {len(measured.answers)} questions of {measured.data} {measured.split}; {measured.seconds:.1f} s",
        )
    )
