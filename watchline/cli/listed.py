"""`--list FILE`: inputs from a list, one a line, or each ended by NUL, as `find -print0` writes them; - is stdin."""

import argparse
import os
import sys
from pathlib import Path

LARGEST = 1 << 28  # bytes; a million paths have some 100 MB


def add_list(parser: argparse._ActionsContainer) -> None:
    """The option."""
    parser.add_argument(
        "--list", metavar="FILE|-", help="more inputs, one a line or ended by NUL (find -print0), - from stdin"
    )


def listed(options: argparse.Namespace) -> list[str]:
    """What the list names; nothing without one. Leaves by argparse's usage error where it cannot be read."""
    if options.list is None:
        return []
    try:
        file = sys.stdin.buffer if options.list == "-" else Path(options.list).open("rb")  # noqa: SIM115  closed below
        with file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        options.parser.error(f"--list {options.list}: it cannot be read ({error.strerror}); expected a list of files")
    if len(data) > LARGEST:
        options.parser.error(f"--list {options.list} has more than {LARGEST >> 20} MiB: name folders instead")
    names = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(name) for name in names if name]
