"""`watchline convert OUT --to coco,mot`: what runs have written, in the formats of other programs (docs/formats.md)."""

import argparse
from pathlib import Path

from watchline.cli.arguments import words
from watchline.cli.exit_codes import DONE
from watchline.cli.formats import FORMATS, tell_written


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "convert",
        help="write what was found in other formats",
        description="Write the events of earlier runs in the formats of other programs.",
        allow_abbrev=False,
    )
    parser.add_argument("events", type=Path, metavar="OUT", help="folder of a run's outputs, or one file of events")
    parser.add_argument("--to", type=words, required=True, metavar="FORMAT,…", help=f"any of {FORMATS}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for them (default: OUT)")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument(
        "--of",
        default="detections",
        metavar="KEY",
        help="which objects: detections (default), or a segmenter's instances",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    from watchline.streams.events.lines import files_in
    from watchline.streams.formats.convert import convert

    files = files_in(options.events)
    folder = options.out or (options.events if options.events.is_dir() else options.events.parent)
    for written in convert(files, options.to, folder, options.overwrite, options.of):
        tell_written(written, options.conceal)
    return DONE
