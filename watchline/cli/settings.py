"""Flags that `annotate` and `run` share: each stands for a setting of the config, and is stronger than it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli.arguments import at_least, size, words

if TYPE_CHECKING:
    from watchline.pipeline.config import Flag

# flag -> table and key of its setting in the config
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
    "split": ("", "split"),
    "latency-budget": ("", "latency_budget"),
    "key": ("place", "key"),
    "peer": ("place", "peer"),
    "transport": ("streams", "transport"),
    "realtime": ("streams", "realtime"),
    "loop": ("streams", "loop"),
}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """How pictures are looked at, how videos are written, and where all that may stand."""
    parser.add_argument("--no-video", action="store_true", help="write the events only")
    parser.add_argument("--every", type=int, metavar="N", help="look at every n-th frame only")
    parser.add_argument("--conf", type=float, help="leave out what has a lower score, 0 to 1 (default: 0.25)")
    parser.add_argument("--iou", type=float, help="of two boxes that overlap more, one stays, 0 to 1 (default: 0.45)")
    parser.add_argument("--classes", type=words, metavar="person,car", help="look for these only")
    parser.add_argument("--model", metavar="FILE|NAME", help="a model file, or one that `watchline models` lists")
    parser.add_argument("--runtime", metavar="NAME", help="onnxruntime, openvino, cuda or tensorrt")
    parser.add_argument("--imgsz", type=size, metavar="N|WxH", help="pixels of the network's input")
    parser.add_argument(
        "--workers", type=at_least(1), metavar="N", help="engines side by side (default: one a core, two on a GPU)"
    )
    parser.add_argument("--preset", help="of the video encoder: ultrafast … veryslow (default: superfast)")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the report there as well")
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; flags are stronger")


def flags_of(options: argparse.Namespace) -> "list[Flag]":
    """The settings that were given on the command line."""
    from watchline.pipeline.config import Flag

    given = {name: getattr(options, name.replace("-", "_"), None) for name in SETTINGS}
    return [Flag(f"--{name}", *SETTINGS[name], value) for name, value in given.items() if value is not None]
