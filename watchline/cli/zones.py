"""`watchline zones SOURCE`: draw zones and lines on a still, in a browser of this machine."""

import argparse
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE
from watchline.cli.interrupt import first_stops

if TYPE_CHECKING:
    from watchline.streams.frame import Image
    from watchline.streams.source import LiveSource, Source


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "zones",
        help="draw zones and lines on a still, and write them into a config",
        description="Serve a page for a browser of this machine, on which zones and lines are drawn over the first "
        "picture of a stream and saved in a config. Ctrl-C ends it.",
        allow_abbrev=False,
    )
    parser.add_argument("source", metavar="SOURCE", help="a stream of the config, or a video or camera")
    parser.add_argument(
        "--config", type=Path, default=Path("watchline.toml"), metavar="FILE.toml", help="default: watchline.toml"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from watchline.pipeline.drawing.server import Drawing, PageServer

    source = _source(options)
    with PageServer(Drawing(options.config, source.stream, options.source, _still(source))) as server:
        print(f"{server.address} shows {source.stream}: draw there and save; Ctrl-C ends it", flush=True)
        # `shutdown` waits for the loop that the signal has interrupted, so it has a thread of its own.
        with first_stops(Thread(target=server.shutdown, daemon=True).start, lambda line: None):
            server.serve_forever()
    return DONE


def _source(options: argparse.Namespace) -> "Source | LiveSource":
    """What the argument means; the config's stream has the config's settings."""
    from watchline.pipeline import config
    from watchline.pipeline.errors import ConfigError
    from watchline.pipeline.streams import find_source, typed
    from watchline.streams import address

    if options.config.exists():
        settings = config.load(options.config)
        options.conceal = settings.conceal
        names = [name for name, one in settings.streams.items() if options.source in (name, one.source)]
        if names:
            return find_source(names[0], settings.streams[names[0]])
    found = typed([options.source], {}, {})
    if len(found.sources) != 1:
        why = found.problems[0] if found.problems else f"{options.source} leads to {len(found.sources)} streams"
        raise ConfigError(f"{why}; expected one video or camera, or a stream of {options.config}")
    if address.conceal_all(options.source, [options.source]) != options.source:
        raise ConfigError(
            "the address has a password: name its stream in a config first, with ${NAME} for the password"
        )
    return found.sources[0]


def _still(source: "Source | LiveSource") -> "Image":
    """The first picture. Raises StreamError: there is none."""
    from watchline.streams.errors import SourceUnreadable
    from watchline.streams.frame import Frame

    with source.open() as reader:
        for frame in reader:
            if isinstance(frame, Frame):
                return frame.image
    raise SourceUnreadable(f"{source.stream} has no picture to draw on")
