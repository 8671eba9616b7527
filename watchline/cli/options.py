"""Options that stand for settings. `python tests/option_list.py` makes this file from fields that are marked.

(Help starts at once: it cannot ask the fields, which load what they are checked with.)
"""

from typing import NamedTuple


class Option(NamedTuple):
    """An option: the table and key of its setting, how its word is read ("switch" has none), and its help."""

    name: str
    table: str
    key: str
    kind: str
    metavar: str
    help: str
    least: int = 0


OPTIONS = (
    Option(
        "model",
        "detector",
        "model",
        "text",
        "FILE|NAME",
        "a model file, or one that `watchline models` lists (default: yolov2-lite0)",
        0,
    ),
    Option(
        "runtime",
        "detector",
        "runtime",
        "text",
        "NAME",
        "onnxruntime, openvino, cuda or tensorrt; without it, what fits the file and this machine",
        0,
    ),
    Option(
        "imgsz",
        "detector",
        "imgsz",
        "size",
        "N|WxH",
        "pixels of the network's input, a square or width and height; without it, the model's own",
        0,
    ),
    Option("conf", "detector", "conf", "number", "CONF", "leave out what has a lower score, 0 to 1 (default: 0.25)", 0),
    Option(
        "iou",
        "detector",
        "iou",
        "number",
        "IOU",
        "of two boxes of a class that overlap more, the better one stays, 0 to 1 (default: 0.45)",
        0,
    ),
    Option(
        "agnostic",
        "detector",
        "agnostic",
        "switch",
        "",
        "boxes of different classes suppress each other too: a car that is also a bus is shown once",
        0,
    ),
    Option(
        "classes",
        "detector",
        "classes",
        "words",
        "person,car",
        "labels to look for; without any, all of the model's",
        0,
    ),
    Option("every", "detector", "every", "whole", "N", "look at every n-th frame only", 1),
    Option(
        "workers", "detector", "workers", "whole", "N", "engines side by side; without it one per core, two on a GPU", 1
    ),
    Option("threads", "detector", "threads", "whole", "N", "threads of each engine", 1),
    Option("batch", "detector", "batch", "whole", "N", "frames that an engine takes at once, if that many wait", 1),
    Option(
        "preset",
        "video",
        "preset",
        "text",
        "PRESET",
        "of the video encoder, ultrafast … veryslow (default: superfast)",
        0,
    ),
    Option(
        "out",
        "",
        "out",
        "text",
        "DIR",
        "folder for the outputs, without it `annotated`; of `annotate`, also the .mp4 of a single video",
        0,
    ),
    Option("split", "", "split", "text", "TIME", "begin new files after so long, by the clock (default: 1h)", 0),
    Option(
        "latency-budget",
        "",
        "latency_budget",
        "text",
        "TIME",
        "drop a camera's frame that is older (default: 500ms)",
        0,
    ),
    Option(
        "transport",
        "streams",
        "transport",
        "text",
        "tcp|udp",
        "what RTSP brings the pictures by, tcp or udp (default: tcp)",
        0,
    ),
    Option(
        "realtime", "streams", "realtime", "switch", "", "play files at their own speed, as if they were cameras", 0
    ),
    Option("loop", "streams", "loop", "switch", "", "begin such files anew at their end, for ever", 0),
)
