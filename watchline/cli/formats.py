"""`--format csv,coco`: what a job has found, in other formats too when it is over (docs/formats.md)."""

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import words

if TYPE_CHECKING:
    from watchline.streams.formats.convert import Written

# Those of streams/formats/known.py, which takes a while to load, and the help must not.
FORMATS = "csv, parquet, coco, yolo, mot, cvat, labelstudio"
EVENTS = "jsonl"  # which are written anyway


def add_formats(parser: argparse._ActionsContainer) -> None:
    """The option."""
    what = f"write what was found in other formats too, any of {FORMATS} (the events, {EVENTS}, are always written)"
    parser.add_argument("--format", type=words, default=[], metavar="FORMAT,…", help=what)


def check_formats(options: argparse.Namespace, out: Path, overwrite: bool) -> None:
    """Before any work is done. Args: out, of the outputs, a folder or a video.

    Raises:
        StreamError: a format is unknown, is there already, or needs a library.
    """
    if options.format:
        from watchline.streams.formats.convert import check

        check(_asked(options), _folder(out), overwrite)


def write_formats(options: argparse.Namespace, out: Path, outputs: Iterable[Path], overwrite: bool) -> list[str]:
    """Convert the events of a job, and say what was written and what was odd; as `check_formats`.

    Args:
        outputs: files that it has written, events and others.

    Returns:
        a line for each format that could not be written.
    """
    if not _asked(options):
        return []
    from watchline.streams.errors import StreamError
    from watchline.streams.events.lines import SUFFIX, in_order
    from watchline.streams.formats.convert import convert

    files = in_order(path for path in outputs if path.suffix == SUFFIX and path.exists())
    failed = []
    for name in _asked(options) if files else ():
        try:
            for written in convert(files, [name], _folder(out), overwrite):
                tell_written(written, options.conceal)
        except StreamError as error:
            failed.append(f"{name}: {error}")
    return failed


def tell_written(written: "Written", conceal: Callable[[str], str]) -> None:
    """What is there on stdout, and what was odd about it on stderr."""
    print(conceal(f"{written.format}: {', '.join(map(str, written.paths))} written"))
    for note in written.notes:
        print(conceal(f"watchline: {written.format}: {note}"), file=sys.stderr)


def _asked(options: argparse.Namespace) -> list[str]:
    return [name for name in options.format if name != EVENTS]


def _folder(out: Path) -> Path:
    return out.parent if out.suffix == ".mp4" else out
