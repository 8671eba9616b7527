"""`watchline check FILE.toml`: every mistake in a config, before a night's work depends on it."""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE, USAGE
from watchline.errors import WatchlineError

if TYPE_CHECKING:
    from watchline.pipeline.config import Config


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser("check", help="name every mistake in a config", allow_abbrev=False)
    parser.add_argument("config", metavar="FILE.toml", type=Path)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the mistakes on stderr, or that there are none."""
    from watchline.pipeline import config
    from watchline.pipeline.errors import ConfigError

    try:
        settings = config.load(options.config)
        mistakes = [settings.conceal(line) for line in _trials(options.config, settings)]
    except ConfigError as error:
        mistakes = str(error).splitlines()
    for mistake in mistakes:
        print(mistake, file=sys.stderr)
    if mistakes:
        return USAGE
    count = len(settings.streams)
    out = f"outputs in {settings.out}" if settings.out else "outputs where --out says, or in annotated"
    models = ", ".join(f"model {stage.model}" for stage in settings.stages if hasattr(stage, "model"))
    about = settings.conceal(f"{models}, {out}")
    print(f"{options.config}: fine: {count} stream{'' if count == 1 else 's'}, {about}")
    return DONE


def _trials(path: Path, settings: "Config") -> Iterator[str]:
    """What is right by itself may still not be there: open the model and look for the sources."""
    from watchline.pipeline.streams import find_source

    here = [stage for stage in settings.stages if not settings.place.is_another_host(stage)]
    trials: list[tuple[str, Callable[[], object]]] = [(stage.name, stage.check) for stage in here]
    trials.append(("place", partial(settings.place.put, settings.stages)))
    trials += [(f"streams.{name}", partial(find_source, name, stream)) for name, stream in settings.streams.items()]
    for table, trial in trials:
        yield from (f"{path}: [{table}] {line}" for line in _complaint(trial))


def _complaint(trial: Callable[[], object]) -> list[str]:
    try:
        trial()
    except WatchlineError as error:
        return str(error).splitlines()
    return []
