"""The command line, one file a command; COMMANDS names them.

A command's file imports what it works with when it runs, so that `watchline --help` starts at once.
"""

import argparse
import errno
import io
import logging
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import watchline
from watchline.cli import annotate, bench, check, doctor, export, fetch, keys, models, parity, run, schema, stage, train
from watchline.cli.exit_codes import INTERRUPTED, USAGE
from watchline.cli.title import conceal_command_line, concealed_text
from watchline.errors import WatchlineError

COMMANDS = (annotate, bench, check, doctor, export, fetch, keys, models, parity, run, schema, stage, train)
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
        conceal_command_line()
    _write_any_name()
    options = _parse(argv)
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] in range(FEWEST):
        return _few_descriptors()
    level = logging.DEBUG if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s")
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # e.g. `watchline models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
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


def _write_any_name() -> None:
    """A file's name may be no UTF-8: it is written with backslashes, rather than lost with all the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="watchline", description="Detect, annotate and record what videos show.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"watchline {watchline.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for command in COMMANDS:
        own = command.add_to(commands)
        own.add_argument("-v", "--verbose", action="store_true", help="say more, on stderr")
        own.set_defaults(run=command.run, parser=own, conceal=str)  # a config brings its own `conceal`
    options, rest = parser.parse_known_args(argv)
    _sort_in(options, rest)
    return options


class _Parser(argparse.ArgumentParser):
    """Its errors quote what was typed, which may be an address with a password."""

    def error(self, message: str) -> NoReturn:
        super().error(concealed_text(message))


def _sort_in(options: argparse.Namespace, rest: list[str]) -> None:
    """argparse takes inputs from one place only; here they may stand on both sides of an option."""
    wrong = next((word for word in rest if word.startswith("-") or not hasattr(options, "inputs")), None)
    if wrong is None:
        options.inputs = [*getattr(options, "inputs", []), *rest]
    elif wrong.startswith("-"):
        from watchline.errors import unknown

        known = [name for name in options.parser._option_string_actions if name.startswith("--")]
        options.parser.error(unknown("option", wrong.split("=")[0], known))
    else:
        options.parser.error(f"there is one word too many: {wrong!r}")
