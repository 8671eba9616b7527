"""`watchline stage NAME --listen ADDRESS`: run one stage for a pipeline that runs elsewhere."""

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import words
from watchline.cli.exit_codes import DONE
from watchline.cli.interrupt import heeded
from watchline.cli.settings import add_options

if TYPE_CHECKING:
    from watchline.pipeline.remote.channel import Keys
    from watchline.pipeline.remote.ring import Inherited

HERE = ("runtime", "precision", "workers", "threads")  # settings of a model's stage that whoever serves it may choose


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "stage",
        help="run one stage for a pipeline on another host",
        description="Run one stage for a pipeline elsewhere, which names it with --place NAME=tcp://HOST:PORT.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "name", metavar="NAME", help="detector, segmenter, captioner, asker or annotator; MODULE:CLASS for one of yours"
    )
    parser.add_argument("--listen", metavar="ADDRESS", required=True, help="tcp://HOST:PORT; port 0 takes a free one")
    parser.add_argument("--key", type=Path, metavar="FILE.key", help="the secret key of this host (`watchline keys`)")
    parser.add_argument("--allow", type=words, metavar="A.pub,B.pub", help="public keys of those that may come")
    add_options(parser, HERE)
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        metavar="MODULE:CLASS",
        help="a stage of your own that runs before this one, whose results may come",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FILE",
        help="a model that clients may ask for by its name, besides those that ship",
    )
    parser.add_argument(
        "--models",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder of models that clients may ask for by their names in it",
    )
    # descriptors of the memory shared with the client, our parent
    parser.add_argument("--ring", help=argparse.SUPPRESS)
    return parser


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or until the client that has started this process is gone."""
    from watchline.pipeline.remote.allowed import Allowed
    from watchline.pipeline.remote.server import Server

    ring = _ring(options)
    overrides = {name: getattr(options, name) for name in HERE}
    allowed = Allowed.of(tuple(options.model), tuple(options.models))
    server = Server(options.name, options.listen, _keys(options), overrides, ring, options.stage, allowed)

    def stop(*_: object) -> None:
        server.stop()

    interrupted = signal.SIG_IGN if ring else stop  # Ctrl-C and a closed terminal are the client's to decide about
    handlers = {signal.SIGINT: interrupted, signal.SIGHUP: interrupted, signal.SIGTERM: stop}
    before = {number: signal.signal(number, handlers[number]) for number in heeded()}
    try:
        with server:
            print(f"{options.name}: listening on {server.address}", flush=True)
            server.run(parent=sys.stdin.fileno() if ring else None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return DONE


def _ring(options: argparse.Namespace) -> "Inherited | None":
    from watchline.pipeline.remote.ring import Inherited

    try:
        return Inherited.of([int(number) for number in options.ring.split(",")]) if options.ring else None
    except ValueError as error:
        parser: argparse.ArgumentParser = options.parser
        parser.error(f"--ring is for the client that starts this process: {error}")


def _keys(options: argparse.Namespace) -> "Keys | None":
    from watchline.pipeline.remote.keys import read_keys

    if (options.key is None) != (options.allow is None):
        options.parser.error("--key and --allow go together: the key of this host, and the keys that may come")
    return read_keys(options.key, [Path(word) for word in options.allow]) if options.key else None
