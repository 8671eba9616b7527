"""`watchline fetch NAME...`: official weights from their official addresses, checked.

Paths go to stdout, everything else to stderr: `watchline export $(watchline fetch yolov2) -o yolov2.onnx`.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE, SOME_FAILED
from watchline.cli.printed import raw

if TYPE_CHECKING:
    from watchline.export.weights.catalogue import Entry

FOLDER = "checkpoints"  # inside the cache folder


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "fetch",
        help="download official weights by name; without a name, list them",
        description="Download official weights by name, check them, and print their paths. What was stopped goes on "
        "where it stopped. Without a name, list what there is.",
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="*", metavar="NAME", help="as the list names them, e.g. yolov2")
    parser.add_argument(
        "--to",
        type=Path,
        metavar="DIR",
        help=f"folder for the files (default: {FOLDER} in WATCHLINE_CACHE, or in ~/.cache/watchline)",
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Download each, print its paths on stdout and the command to go on with on stderr."""
    from watchline.errors import unknown
    from watchline.export.weights.catalogue import CATALOGUE
    from watchline.export.weights.fetch import FetchFailed

    if not options.inputs:
        _list(CATALOGUE)
        return DONE
    for name in options.inputs:
        if name not in CATALOGUE:
            options.parser.error(unknown("name", name, CATALOGUE))
    folder = _folder(options)
    failed = False
    for name in dict.fromkeys(options.inputs):
        try:
            paths = _fetch(CATALOGUE[name], folder)
        except FetchFailed as error:
            print(f"watchline: failed: {error}", file=sys.stderr)
            failed = True
            continue
        print("\n".join(map(str, paths)), flush=True)
        files = " ".join(shlex.quote(str(path)) for path in paths)
        print(f"next: {CATALOGUE[name].next.format(files=files)}", file=sys.stderr)
    return SOME_FAILED if failed else DONE


def _folder(options: argparse.Namespace) -> Path:
    from watchline.engines.cache_folder import cache_folder

    to: Path | None = options.to
    return cache_folder(FOLDER) if to is None else to


def _list(entries: "dict[str, Entry]") -> None:
    """A row an entry."""
    wide = max(map(len, entries)) + 2
    print(f"{'name':<{wide}}{'size':>9}   weights")
    for name, entry in entries.items():
        sizes = [file.size for file in entry.files if file.size is not None]
        size = f"{sum(sizes) / 1e6:.1f} MB" if len(sizes) == len(entry.files) else "?"
        print(f"{name:<{wide}}{size:>9}   {entry.about} ({entry.licence})")


def _fetch(entry: "Entry", folder: Path) -> list[Path]:
    from watchline.export.weights.fetch import fetch

    print(f"{entry.about}: {entry.licence}", file=sys.stderr)
    paths = []
    for file in entry.files:
        with _bar(file.name) as progress:
            paths.append(fetch(file, folder, progress))
    return paths


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yields a function that is called with the bytes so far and their final number; it draws on a terminal only."""
    from tqdm import tqdm

    bar = tqdm(
        desc=name, unit="B", unit_scale=True, file=raw(sys.stderr), dynamic_ncols=True, leave=False, disable=None
    )
    with bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
