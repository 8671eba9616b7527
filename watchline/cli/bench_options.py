"""Options that benchmarks share: which labelled pictures, and a file for the figures."""

import argparse
import os
from pathlib import Path

from watchline.cli.arguments import at_least


def add_data(parser: argparse.ArgumentParser, required: bool, help: str, splits: str) -> None:
    """`--data`, `--split` and `--every`.

    Args:
        help: of `--data`. splits: what `--split` may name.
    """
    parser.add_argument("--data", type=Path, required=required, metavar="DIR", help=help)
    parser.add_argument("--split", help=splits)
    parser.add_argument(
        "--every", type=at_least(1), default=1, metavar="N", help="every n-th picture only: a quick look"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json`, which `check_json` checks."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")


def check_json(options: argparse.Namespace) -> None:
    """Leaves by argparse's usage error where the figures cannot be written, before any work is done."""
    check_file(options, "json")


def check_file(options: argparse.Namespace, name: str, suffix: str = "") -> None:
    """Leaves by argparse's usage error where the file of an option cannot be written, or has another suffix.

    Args:
        name: of the option.
    """
    file = getattr(options, name)
    if file is None:
        return
    option = f"--{name.replace('_', '-')} {file}"
    if file.is_dir() or not os.access(file.absolute().parent, os.W_OK):
        options.parser.error(f"{option}: expected the name of a file in a folder that can be written to")
    if suffix and file.suffix.lower() != suffix:
        options.parser.error(f"{option}: expected a name that ends in {suffix}")
