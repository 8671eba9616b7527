"""Options that several commands share: each stands for a setting of the config, and is stronger than it."""

import argparse
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchline.cli.arguments import Once, at_least, size, words
from watchline.cli.options import OPTIONS, Option

if TYPE_CHECKING:
    from watchline.pipeline.settings.tables import Flag

# Settings that files have no use for.
CHECKPOINTS = (".pt", ".pth", ".safetensors", ".weights")  # which a stage refuses, and says what to do
ONLY_LIVE = ("split", "latency_budget", "transport", "timeout", "realtime", "loop")
READERS: dict[str, Callable[[str], Any]] = {"number": float, "size": size, "text": str, "words": words}


def add_options(parser: argparse._ActionsContainer, names: Collection[str]) -> None:
    """Some of the options. Args: their names, without hyphens in front."""
    for option in OPTIONS:
        if option.name in names:
            _add(parser, option)


def add_settings(parser: argparse.ArgumentParser, live: bool) -> None:
    """How pictures are looked at, how videos are written, where stages run, and where all that may stand.

    Args:
        live: options for live streams as well.
    """
    parser.add_argument("--no-video", action="store_true", help="write the events only")
    for option in OPTIONS:
        if live or option.key not in ONLY_LIVE:
            _add(parser, option)
    parser.add_argument("--report", type=Path, metavar="FILE.json|.html", help="write the report there as well")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags are stronger")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="MODULE:CLASS", help="add a stage of your own to the chain"
    )
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="STAGE=WHERE",
        help="run a stage elsewhere: detector=process, or detector=tcp://host:port (see `watchline stage`)",
    )
    parser.add_argument("--key", metavar="FILE.key", help="this host's key, made by `watchline keys`")
    parser.add_argument("--peer", metavar="FILE.pub", help="the public key of the host that a stage is placed on")


def add_names(parser: argparse.ArgumentParser) -> None:
    """The option that gives streams their names."""
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME=SOURCE",
        help="another source, and what its stream and its outputs are called, e.g. gate=rtsp://host/path",
    )


def names_of(options: argparse.Namespace) -> dict[str, str]:
    """Sources by the names that were given to their streams. Leaves by argparse's usage error."""
    from watchline.streams.names import A_NAME, is_name

    names: dict[str, str] = {}
    for word in options.name:
        name, _, source = word.partition("=")
        if not source or not is_name(name):
            options.parser.error(f"--name {word}: expected NAME=SOURCE, {A_NAME}, e.g. gate=clip.mp4")
        if name in names:
            options.parser.error(f"--name {name}=… is there twice: streams have different names")
        names[name] = source
    return names


def of_streams(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of streams that were given on the command line."""
    keys = [option.key for option in OPTIONS if option.table == "streams"]
    return {key: value for key in keys if (value := getattr(options, key, None)) is not None}


def flags_of(options: argparse.Namespace) -> "list[Flag]":
    """The settings that were given on the command line; of `--place detector=process` each is one."""
    from watchline.pipeline.settings.tables import Flag

    flags = []
    for word in getattr(options, "place", ()):
        stage, equals, where = word.partition("=")
        if not equals:
            options.parser.error(f"--place {word}: expected STAGE=WHERE, e.g. detector=process")
        flags.append(Flag(f"--place {stage}=", "place", stage, where))
    given = [(option.name, option.table, option.key) for option in OPTIONS]
    for name, table, key in [*given, ("key", "place", "key"), ("peer", "place", "peer")]:
        value = getattr(options, name.replace("-", "_"), None)
        if value is not None:
            flags.append(Flag(f"--{name}", table, key, value))
    return flags


def with_models(argv: Sequence[str]) -> list[str]:
    """The words of a command line, with the default after each option that has one and is followed by no model.

    So `--segment clip.mp4` is an option without a word, and an input; argparse would take the input for the word.
    """
    defaults = {f"--{option.name}": option.default for option in OPTIONS if option.default}
    end = argv.index("--") if "--" in argv else len(argv)
    words = [
        f"{word}={defaults[word]}" if word in defaults and not _is_model(following) else word
        for word, following in zip(argv[:end], [*argv[1:end], ""], strict=False)
    ]
    return [*words, *argv[end:]]


def _is_model(word: str) -> bool:
    """Whether a word means a model: a file of one, or a name that no input has, so that a slip is told as one."""
    from watchline.engines import runtimes, zoo
    from watchline.engines.load import RECORDING
    from watchline.streams.live.words import is_live

    suffixes = (RECORDING.suffix, *runtimes.formats(), *CHECKPOINTS)
    if word.lower().endswith(suffixes) or word in zoo.names():
        return True
    is_there = os.path.exists(word)  # noqa: PTH110  pathlib's raises where a name is too long
    is_input = is_there or is_live(word) or Path(word).suffix or set(word) & set("*?[")
    return bool(word) and not word.startswith("-") and not is_input


def _add(parser: argparse._ActionsContainer, option: Option) -> None:
    if option.kind == "switch":
        parser.add_argument(f"--{option.name}", action="store_true", default=None, help=option.help)
        return
    metavar = f"[{option.metavar}]" if option.default else option.metavar
    reader = at_least(option.least, option.most) if option.kind == "whole" else READERS[option.kind]
    action = Once if option.key == "model" else "store"  # where several models are compared, it may be given again
    parser.add_argument(f"--{option.name}", type=reader, metavar=metavar, help=option.help, action=action)
