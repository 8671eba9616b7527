"""The command line, one file a command; COMMANDS names them.

A command's file imports what it works with when it runs, so that `watchline --help` starts at once.
"""

import argparse
import errno
import logging
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import watchline
from watchline.cli import (
    annotate,
    ask,
    bench,
    caption,
    check,
    convert,
    doctor,
    export,
    fetch,
    keys,
    label,
    models,
    parity,
    run,
    schema,
    stage,
    train,
    verify,
    write,
    zones,
)
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED, USAGE
from watchline.cli.habits import unknown_option
from watchline.cli.interrupt import as_usual
from watchline.cli.printed import print_printable
from watchline.cli.settings import with_models
from watchline.cli.standard_streams import failure, make_lasting
from watchline.cli.title import conceal_command_line, concealed_text
from watchline.errors import WatchlineError, unknown

COMMANDS = (
    annotate,
    ask,
    bench,
    caption,
    check,
    convert,
    doctor,
    export,
    fetch,
    keys,
    label,
    models,
    parity,
    run,
    schema,
    stage,
    train,
    verify,
    write,
    zones,
)
STOPPED_BY_SIGNALS = ("annotate", "run", "stage", "zones")  # in an order of their own
FEWEST = 32  # descriptors that a job of one file needs, with some to spare
log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; `argv` without the program's name, None for the process's own.

    Returns:
        the exit code: 0 all done, 1 some inputs failed, 2 wrong usage (config, model and class names too), 130 after
        Ctrl-C.

    Raises:
        SystemExit: argparse's way out, for --help (0) and for wrong usage (2).
    """
    if argv is None:
        make_lasting()
        conceal_command_line()
    print_printable()
    warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata of photos, of which nothing is used
    options = _parse(argv)
    if argv is None and options.command not in STOPPED_BY_SIGNALS:
        as_usual()
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(FEWEST):
        return _few_descriptors()
    level = logging.DEBUG if options.verbose else logging.WARNING
    if not options.verbose:
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what matters of its errors is in ours
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        lost = failure(sys.stdout)
        if lost:
            print(f"watchline: standard output cannot be written: {lost}", file=sys.stderr)
        return code or (SOME_FAILED if lost else DONE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except WatchlineError as error:
        log.debug("where it came from\n%s", concealed_text(options.conceal(traceback.format_exc().rstrip())))
        for line in concealed_text(options.conceal(str(error))).splitlines():
            print(f"watchline: {line}", file=sys.stderr)
        return USAGE
    except Exception as error:  # OSError, and ZeroMQ's own, which is none
        if getattr(error, "errno", None) not in (errno.EMFILE, errno.ENFILE):
            raise
        return _few_descriptors()


def _few_descriptors() -> int:
    """ZeroMQ ends the process where it gets no descriptor, so where there are hardly any, nothing is begun."""
    print("watchline: too few files may be open at once; allow more, e.g. `ulimit -n 4096`", file=sys.stderr)
    return USAGE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="watchline", description="Detect, annotate and record what videos show.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"watchline {watchline.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in COMMANDS:
        own = command.add_to(commands)
        own.add_argument("-v", "--verbose", action="store_true", help="say more, on stderr")
        own.set_defaults(run=command.run, parser=own, conceal=str)  # a config brings its own `conceal`
    parser.set_defaults(parser=parser)
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may come next
        import argcomplete

        argcomplete.autocomplete(parser)
    words = [*map(_named, sys.argv[1:] if argv is None else argv)]
    options, rest = parser.parse_known_args(with_models(words))
    options.words = words
    if options.command is None and not rest:
        parser.print_help()
        raise SystemExit(DONE)
    _sort_in(options, rest)
    return options


def _named(word: str) -> str:
    """A file whose name begins with a hyphen, as a shell's `*` gives it, is a file and no option."""
    is_file = word.startswith("-") and word not in ("-v", "-h", "--") and Path(word).is_file()
    return f"./{word}" if is_file else word


class _Parser(argparse.ArgumentParser):
    """Its errors quote what was typed, which may be an address with a password, and name what was meant."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            what = "command" if isinstance(action, argparse._SubParsersAction) else "name"
            raise argparse.ArgumentError(action, unknown(what, str(value), map(str, action.choices)))

    def error(self, message: str) -> NoReturn:
        super().error(concealed_text(message))


def _sort_in(options: argparse.Namespace, rest: list[str]) -> None:
    """argparse takes inputs from one place only; here they may stand on both sides of an option."""
    wrong = next((word for word in rest if word.startswith("-") or not hasattr(options, "inputs")), None)
    if wrong is None:
        options.inputs = [*getattr(options, "inputs", []), *rest]
    elif wrong.startswith("-"):
        options.parser.error(unknown_option(wrong.split("=")[0], options.parser._option_string_actions))
    else:
        options.parser.error(f"there is one word too many: {wrong!r}")
