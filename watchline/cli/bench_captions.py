"""`watchline bench captions --data FLICKR8K`: how near captions are to what people wrote."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.bench_options import add_data, add_json, check_json
from watchline.cli.bench_report import report, what_runs
from watchline.cli.counting import counting
from watchline.cli.exit_codes import DONE
from watchline.cli.settings import add_options

if TYPE_CHECKING:
    from watchline.measure.captions import CaptionFigures

SETTINGS = ("runtime", "precision", "imgsz")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "captions",
        help="BLEU, CIDEr and ROUGE-L of a captioner on photos in Flickr8k's layout",
        description="How near the captions of what comes out of the captioner are to what people wrote: BLEU, CIDEr "
        "and ROUGE-L on photos in Flickr8k's layout.",
        allow_abbrev=False,
    )
    add_data(parser, True, "photos in Flickr8k's layout", "train, dev or test (default: test)")
    parser.add_argument(
        "--model", metavar="FILE|NAME", help="a captioner (default: the one that ships, see `watchline models`)"
    )
    add_options(parser, (*SETTINGS, "threads"))
    add_json(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure, and print a row of figures."""
    from watchline.engines import zoo
    from watchline.engines.cores import cores
    from watchline.measure.captions import SPLIT, captions
    from watchline.pipeline.stages.captioner import Captioner

    check_json(options)
    given = {name: value for name in SETTINGS if (value := getattr(options, name)) is not None}
    captioner = Captioner(model=options.model or zoo.CAPTIONER, threads=options.threads or cores(), **given)
    about = what_runs(captioner)
    with counting("photos") as progress:
        measured = captions(captioner, Path(options.data), options.split or SPLIT, options.every, progress)
    report(options, about, as_text(measured), measured.as_dict())
    return DONE


def as_text(measured: "CaptionFigures") -> str:
    """The figures, and under them of what they are."""
    names = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "CIDEr", "ROUGE-L")
    values = (*measured.bleu, measured.cider, measured.rouge_l)
    return "\n".join(
        (
            "".join(f"{name:>9}" for name in names),
            "".join(f"{value:>9.4f}" for value in values),
            f"of {len(measured.texts)} photos of {measured.data} {measured.split}, five captions each, as "
            f"pycocoevalcap computes them; {measured.seconds:.1f} s",
        )
    )
