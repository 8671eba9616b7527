"""What `watchline bench fps` and `bench streams` share: the clip, the chain and their options."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.bench_options import add_json
from watchline.cli.settings import add_options, flags_of

if TYPE_CHECKING:
    from watchline.pipeline.config import Config
    from watchline.pipeline.stages.stage import Stage
    from watchline.streams.source import About

CHAIN = (
    "runtime",
    "precision",
    "imgsz",
    "threads",
    "workers",
    "batch",
    "segment",
    "caption",
    "preset",
    "latency-budget",
)
MADE = "no clip was given: a test pattern of 1280 x 720 was made; a real video costs more to decode, draw and encode"


def add_chain(parser: argparse.ArgumentParser) -> None:
    """What is measured, and with what."""
    parser.add_argument("clip", nargs="?", metavar="FILE", help="a video; without one, a test pattern is made")
    add_options(parser, CHAIN)
    parser.add_argument("--no-video", action="store_true", help="write the events only: nothing is drawn and encoded")
    add_json(parser)


def config_of(options: argparse.Namespace, model: str | None) -> "Config":
    """The settings of the chain with a model, or with the default; all of its models are there.

    Raises:
        ConfigError, EngineError: a setting or a model cannot be.
    """
    from watchline.pipeline import config
    from watchline.pipeline.settings.tables import Flag

    flags = [flag for flag in flags_of(options) if flag.name != "--model"]
    if model is not None:
        flags.append(Flag("--model", "detector", "model", model))
    settings = config.load(None, flags)
    for stage in settings.stages:
        stage.check()
    return settings


def stages_of(options: argparse.Namespace, settings: "Config") -> "list[Stage]":
    """The chain; nothing is drawn without a video."""
    from watchline.pipeline.stages.annotator import Annotator

    return [stage for stage in settings.stages if not (options.no_video and isinstance(stage, Annotator))]


def file_of(stages: "list[Stage]") -> str:
    """The name of the detector's file."""
    from watchline.pipeline.stages.detector import Detector

    return next(stage.file.name for stage in stages if isinstance(stage, Detector))


def clip_of(options: argparse.Namespace, folder: Path) -> "tuple[Path, About]":
    """The file to measure with, and what it is; made in the folder, which the output says, if none was given.

    Raises:
        DataRefused, StreamError: it is not a video file that can be read.
    """
    from watchline.measure.errors import DataRefused
    from watchline.measure.speed.clip import made
    from watchline.streams.address import is_live
    from watchline.streams.file import FileSource

    if options.clip and is_live(options.clip):
        raise DataRefused(f"{options.clip}: a camera has its own speed; name a video file, or none")
    path = Path(options.clip) if options.clip else made(folder / "pattern.mp4")
    with FileSource(path).open() as reader:
        about = reader.about
    if not options.clip:
        print(MADE)
    return path, about


def described(options: argparse.Namespace, about: "About", stages: "list[Stage]") -> dict[str, object]:
    """Of what the figures are, for JSON."""
    from watchline.engines import cpu
    from watchline.engines.cores import cores

    return {
        "cpu": cpu.kind(),
        "cores": cores(),
        "source": about.name,
        "frame_width": about.width,
        "frame_height": about.height,
        "video": not options.no_video,
        "stages": [stage.name for stage in stages],
    }


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value
