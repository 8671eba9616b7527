"""Options that stand for settings. `python tests/option_list.py` makes this file from fields that are marked.

(Help starts at once: it cannot ask the fields, which load what they are checked with.)
"""

from typing import NamedTuple


class Option(NamedTuple):
    """An option: the table and key of its setting, how its word is read ("switch" has none), and its help.

    One with a `default` may stand without a word, and means the default then: it puts a stage into the chain.
    """

    name: str
    table: str
    key: str
    kind: str
    metavar: str
    help: str
    least: int = 0
    most: int | None = None
    default: str = ""


OPTIONS = (
    Option(
        "motion",
        "motion",
        "interval",
        "text",
        "TIME",
        "of a fixed camera, look only at frames in which something has moved, and so often all the same (default: 5s)",
        0,
        None,
        "5s",
    ),
    Option(
        "model",
        "detector",
        "model",
        "text",
        "FILE|NAME",
        "a model file, or one that `watchline models` lists (default: yolov2-lite0)",
    ),
    Option(
        "runtime",
        "detector",
        "runtime",
        "text",
        "NAME",
        "onnxruntime, openvino, cuda or tensorrt; without it, what fits the file and this machine",
    ),
    Option(
        "precision",
        "detector",
        "precision",
        "text",
        "NAME",
        "auto, fp32 or int8, of a model that ships; auto takes INT8 where the CPU gains from it (default: auto)",
    ),
    Option(
        "imgsz",
        "detector",
        "imgsz",
        "size",
        "N|WxH",
        "pixels of the network's input, a square or width and height; without it, the model's own",
    ),
    Option("threads", "detector", "threads", "whole", "N", "threads of each engine", 1, 64),
    Option(
        "workers",
        "detector",
        "workers",
        "whole",
        "N",
        "engines side by side; without it one per core, two on a GPU",
        1,
        64,
    ),
    Option(
        "batch", "detector", "batch", "whole", "N", "frames that an engine takes at once, if that many wait", 1, 256
    ),
    Option("conf", "detector", "conf", "number", "CONF", "leave out what has a lower score, 0 to 1 (default: 0.25)"),
    Option(
        "iou",
        "detector",
        "iou",
        "number",
        "IOU",
        "of two boxes of a class that overlap more, the better one stays, 0 to 1 (default: 0.45)",
    ),
    Option(
        "agnostic",
        "detector",
        "agnostic",
        "switch",
        "",
        "boxes of different classes suppress each other too: a car that is also a bus is shown once",
    ),
    Option(
        "classes", "detector", "classes", "words", "person,car", "labels to look for; without any, all of the model's"
    ),
    Option("every", "detector", "every", "whole", "N", "look at every n-th frame only", 1),
    Option(
        "track",
        "tracker",
        "memory",
        "text",
        "TIME",
        "number the objects, and keep the numbers of those that are hidden for so long (default: 2s)",
        0,
        None,
        "2s",
    ),
    Option(
        "segment",
        "segmenter",
        "model",
        "text",
        "FILE|NAME",
        "say what each pixel shows, by this model (default: fcn-lite0)",
        0,
        None,
        "fcn-lite0",
    ),
    Option(
        "caption",
        "captioner",
        "model",
        "text",
        "FILE|NAME",
        "say what the pictures show, by this model (default: show-attend-tell)",
        0,
        None,
        "show-attend-tell",
    ),
    Option(
        "ask",
        "asker",
        "question",
        "text",
        "QUESTION",
        "a question about the pictures, asked every 5 seconds",
        0,
        None,
        "",
    ),
    Option(
        "preset", "video", "preset", "text", "PRESET", "of the video encoder, ultrafast … veryslow (default: superfast)"
    ),
    Option(
        "out",
        "",
        "out",
        "text",
        "DIR",
        "folder for the outputs, without it `annotated`; of `annotate`, also the .mp4 of a single video",
    ),
    Option("overwrite", "", "overwrite", "switch", "", "replace outputs that are there"),
    Option("split", "", "split", "text", "TIME", "begin new files after so long, by the clock (default: 1h)"),
    Option(
        "latency-budget",
        "",
        "latency_budget",
        "text",
        "TIME",
        "drop a camera's frame that would be older, where a newer one can be in time (default: 500ms)",
    ),
    Option(
        "transport",
        "streams",
        "transport",
        "text",
        "tcp|udp",
        "what RTSP brings the pictures by, tcp or udp (default: tcp)",
    ),
    Option(
        "timeout",
        "streams",
        "timeout",
        "text",
        "TIME",
        "give a camera up that takes longer for an answer or a picture (default: 4s)",
    ),
    Option("realtime", "streams", "realtime", "switch", "", "play files at their own speed, as if they were cameras"),
    Option("loop", "streams", "loop", "switch", "", "begin such files anew at their end, for ever"),
    Option(
        "video-track",
        "streams",
        "video_track",
        "whole",
        "N",
        "the n-th video track of the files, from 1; by default the one marked as default, else the largest",
        1,
    ),
    Option(
        "max-pixels",
        "streams",
        "max_pixels",
        "whole",
        "N",
        "refuse files whose pictures have more pixels, before memory is allocated for them (default: 200000000)",
        1,
    ),
)
