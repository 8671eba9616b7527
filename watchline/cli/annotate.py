"""`watchline annotate INPUT... --out DIR`: videos and photos in, annotated ones and their events out."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least, size, words
from watchline.cli.exit_codes import DONE, INTERRUPTED, SOME_FAILED

if TYPE_CHECKING:
    from watchline.pipeline.annotate import Annotate
    from watchline.pipeline.config import Config, Flag
    from watchline.streams.source import Source

# flag -> where its value stands in the config
SETTINGS = {
    "every": ("detector", "every"),
    "conf": ("detector", "conf"),
    "iou": ("detector", "iou"),
    "classes": ("detector", "classes"),
    "model": ("detector", "model"),
    "runtime": ("detector", "runtime"),
    "imgsz": ("detector", "imgsz"),
    "workers": ("detector", "workers"),
    "preset": ("video", "preset"),
    "out": ("", "out"),
}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "annotate",
        help="annotate videos and photos, and write what was found",
        description="Write an annotated NAME.mp4 and its events, NAME.jsonl, for each input.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="video file, folder of videos or photos, or pattern 'glob/*.mkv'"
    )
    parser.add_argument("--out", metavar="DIR|FILE.mp4", help="folder for the outputs; a file for a single video")
    parser.add_argument("--no-video", action="store_true", help="write the events only")
    parser.add_argument("--every", type=int, metavar="N", help="look at every n-th frame only")
    parser.add_argument("--conf", type=float, help="leave out what has a lower score, 0 to 1 (default: 0.25)")
    parser.add_argument("--iou", type=float, help="of two boxes that overlap more, one stays, 0 to 1 (default: 0.45)")
    parser.add_argument("--classes", type=words, metavar="person,car", help="look for these only")
    parser.add_argument("--model", metavar="FILE|NAME", help="a model file, or one that `watchline models` lists")
    parser.add_argument("--runtime", metavar="NAME", help="onnxruntime, openvino or tensorrt")
    parser.add_argument("--imgsz", type=size, metavar="N|WxH", help="pixels of the network's input")
    parser.add_argument("--workers", type=at_least(1), metavar="N", help="engines side by side (default: one a core)")
    parser.add_argument("--preset", help="of the video encoder: ultrafast … veryslow (default: veryfast)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there as well")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags are stronger")
    return parser


def run(options: argparse.Namespace) -> int:
    """Annotate everything, show the progress on stderr, print the report on stdout."""
    from watchline.pipeline import config

    settings = config.load(options.config, _flags(options))
    if settings.out is None:
        options.parser.error("where to? name a folder with --out")
    if options.report and not options.report.absolute().parent.is_dir():
        options.parser.error(f"--report {options.report}: there is no folder {options.report.parent}")
    sources = _sources(options, settings)
    return _work(options, settings, sources)


def _flags(options: argparse.Namespace) -> "list[Flag]":
    from watchline.pipeline.config import Flag

    given = {name: getattr(options, name) for name in SETTINGS}
    return [Flag(f"--{name}", *SETTINGS[name], value) for name, value in given.items() if value is not None]
