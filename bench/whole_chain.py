"""The stages between detector and annotator that a benchmark is asked for: --segment [MODEL], --caption [MODEL]."""

import argparse

from watchline.engines import zoo
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.segmenter import Segmenter
from watchline.pipeline.stages.stage import Stage


def add_options(parser: argparse.ArgumentParser) -> None:
    """The two options."""
    parser.add_argument("--segment", nargs="?", const=zoo.SEGMENTER, metavar="MODEL")
    parser.add_argument("--caption", nargs="?", const=zoo.CAPTIONER, metavar="MODEL")


def asked(args: argparse.Namespace, runtime: str | None = None) -> list[Stage]:
    """The stages, in the order of the chain."""
    stages: list[Stage] = [Segmenter(model=args.segment, runtime=runtime)] if args.segment else []
    return stages + ([Captioner(model=args.caption, runtime=runtime)] if args.caption else [])
