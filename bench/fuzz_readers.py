"""What reads third-party files: real samples of each kind, and how each is read."""

import io
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from watchline.errors import WatchlineError

Sample = dict[str, bytes]  # files by name

CFG = """[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[route]
layers=-1

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[region]
anchors=1.0,1.0, 2.5,2.0
classes=2
coords=4
num=2
softmax=1
"""
TOML = """out = "recordings"
split = "10m"
latency_budget = "500ms"

[streams.gate]
source = "rtsp://watchline:${GATE_PASSWORD:-none}@192.0.2.1/stream1"
transport = "udp"

[streams.gate.detector]
conf = 0.6
classes = ["person"]

[streams.yard]
source = "yard.mp4"
realtime = true

[detector]
model = "yolov2-slim"
imgsz = [416, 320]

[annotator]
colours = ["person=#ff4d6d"]

[video]
preset = "veryfast"
"""


@dataclass(frozen=True)
class Reader:
    """Attributes: samples, of its files; read, which reads those in a folder, or raises WatchlineError."""

    samples: Callable[[], list[Sample]]
    read: Callable[[Path], Any]


def _pictures(count: int, width: int = 64, height: int = 48) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


def _videos() -> list[Sample]:
    import av

    samples = []
    for form, codec in (
        ("mp4", "libx264"),
        ("matroska", "libx265"),
        ("mpegts", "mpeg4"),
        ("avi", "mjpeg"),
        ("gif", "gif"),
    ):
        file = io.BytesIO()
        with av.open(file, "w", format=form) as out:
            quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
            video = out.add_stream(codec, rate=Fraction(25), options=quiet)
            video.width, video.height = 64, 48
            video.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
            for picture in _pictures(5):
                out.mux(video.encode(av.VideoFrame.from_ndarray(picture, "bgr24").reformat(format=video.pix_fmt)))
            out.mux(video.encode())
        samples.append({f"clip.{form[:3]}": file.getvalue()})
    return samples


def _photos() -> list[Sample]:
    import cv2

    [picture] = _pictures(1)
    return [
        {f"photo.{form}": cv2.imencode(f".{form}", picture)[1].tobytes()} for form in ("jpg", "png", "webp", "tiff")
    ]


def _read_sources(folder: Path) -> None:
    from watchline.streams.inputs import find_sources

    for source in find_sources([*folder.iterdir()]).sources:
        with source.open() as reader:
            for frame in islice(reader, 20):
                frame.picture.scaled(16, 16)
                frame.picture.bgr()


def _darknet() -> list[Sample]:
    rng = np.random.default_rng(0)
    header = np.array([0, 2, 0], np.int32).tobytes() + np.array([0], np.int64).tobytes()
    numbers = rng.uniform(0.3, 1, 4 * 4 + 3 * 4 * 9 + 14 + 4 * 14).astype(np.float32)
    return [{"net.cfg": CFG.encode(), "net.weights": header + numbers.tobytes()}]


def _read_checkpoint(folder: Path, family: str | None = None) -> onnx.ModelProto:
    from watchline.export.checkpoint import to_onnx
    from watchline.export.request import Request

    return to_onnx(sorted(folder.iterdir()), Request("fuzzed", labels=("person", "car")), family=family)


def _models() -> list[Sample]:
    """The network of `_darknet`, exported."""
    [files] = _darknet()
    with TemporaryDirectory() as name:
        for file, content in files.items():
            Path(name, file).write_bytes(content)
        return [{"model.onnx": _read_checkpoint(Path(name)).SerializeToString()}]


def _foreign_models() -> list[Sample]:
    """A network of the form of YOLOX: three maps of seven channels, as rows (1, 84, 7)."""
    rng = np.random.default_rng(0)
    nodes, weights, rows = [], [numpy_helper.from_array(np.array([1, 7, -1]), "shape")], []
    for stride in (8, 16, 32):
        weight = rng.normal(0, 0.1, (7, 3, stride, stride)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"weight{stride}"))
        nodes.append(helper.make_node("Conv", ["images", f"weight{stride}"], [f"map{stride}"], strides=[stride] * 2))
        nodes.append(helper.make_node("Reshape", [f"map{stride}", "shape"], [f"rows{stride}"]))
        rows.append(f"rows{stride}")
    nodes.append(helper.make_node("Concat", rows, ["joined"], axis=2))
    nodes.append(helper.make_node("Transpose", ["joined"], ["turned"], perm=[0, 2, 1]))
    nodes.append(helper.make_node("Sigmoid", ["turned"], ["output"]))
    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])
    output = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, [1, 84, 7])
    graph = helper.make_graph(nodes, "net", [images], [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return [{"net.onnx": model.SerializeToString()}]


def _read_model(folder: Path) -> None:
    from watchline import engines

    for file in folder.iterdir():
        with engines.load(file) as engine:
            engine.infer(np.zeros((1, *engine.size[::-1], 3), np.uint8))


def _recordings() -> list[Sample]:
    from watchline import engines
    from watchline.engines.replay import Recorder

    [model] = _models()
    with TemporaryDirectory() as name:
        Path(name, "model.onnx").write_bytes(model["model.onnx"])
        with Recorder(engines.load(Path(name, "model.onnx")), Path(name, "clip.npz")) as engine:
            engine.infer(np.zeros((1, 32, 32, 3), np.uint8))
        return [{"clip.npz": Path(name, "clip.npz").read_bytes()}]


def _read_config(folder: Path) -> None:
    from watchline.pipeline import config

    config.load(folder / "watchline.toml")


def _messages() -> list[Sample]:
    """Of the wire: a header, and its arrays."""
    from watchline.ops.detections import Detections
    from watchline.pipeline.kinds.detections import DETECTIONS
    from watchline.pipeline.message import Item
    from watchline.pipeline.remote.codec import pack
    from watchline.pipeline.remote.protocol import WorkRequest, encode
    from watchline.streams.frame import ArrayPicture, Frame

    [picture] = _pictures(1)
    found = Detections(
        np.array([[1, 2, 30, 40]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), ("person",)
    )
    item = Item(Frame("a", 0, 0, Fraction(1, 25), ArrayPicture(picture))).with_result(DETECTIONS, found)
    samples = []
    for quality in (None, 80):
        entries, arrays = pack([item], quality)
        header = encode(WorkRequest(1, entries, quality=quality))
        parts = [header, *(np.ascontiguousarray(array).tobytes() for array in arrays)]
        samples.append({f"{n:02d}": part for n, part in enumerate(parts)})
    return samples


def _read_message(folder: Path) -> None:
    from watchline.pipeline.kinds.detections import DETECTIONS
    from watchline.pipeline.remote.codec import unpack
    from watchline.pipeline.remote.protocol import Malformed, WorkRequest, decode

    header, *parts = (np.frombuffer(file.read_bytes(), np.uint8) for file in sorted(folder.iterdir()))
    try:
        message = decode(header.tobytes())
        if isinstance(message, WorkRequest):
            for item in unpack(message.items, parts, {"detections": DETECTIONS}):
                item.frame.picture.bgr()
    except Malformed as error:
        raise WatchlineError(str(error)) from error


def _labels() -> list[Sample]:
    return [{"labels.txt": b"person\nbicycle\ncar\n"}, {"labels.json": json.dumps(["person", "car"]).encode()}]


def _read_labels(folder: Path) -> None:
    from watchline.export import labels

    for file in folder.iterdir():
        labels.read(file)


def _events() -> list[Sample]:
    """Of a video with tracks and masks, of a camera with zones and speeds, and of photos."""
    from watchline.ops.masks import Masks

    header = {
        "schema": 1,
        "header": {"source": "a", "stream": "a", "model": {"name": "m", "labels": ["car", "person"]}},
    }
    [mask] = Masks.of(np.tri(8, 16, 3, np.bool_)[None]).to_rle()
    car = {"label": "car", "class": 0, "score": 0.5, "box": [1.5, 2.0, 9.0, 7.5], "track": 3, "segmentation": mask}
    frame = {"schema": 1, "stream": "a", "frame": 0, "pts": 0.04, "width": 16, "height": 8, "detections": [car, car]}
    live = {
        "epoch": 1,
        "time": "2026-11-23T06:45:00.123Z",
        "zones": {"yard": [3]},
        "speeds": [{"track": 3, "kmh": 9.5}],
    }
    kinds = [frame, frame | live, frame | {"file": "b/c.jpg"}]
    return [{"a.jsonl": "".join(f"{json.dumps(line)}\n" for line in (header, kind)).encode()} for kind in kinds]


def _read_events(folder: Path) -> None:
    from watchline.streams.events.lines import files_in
    from watchline.streams.formats.convert import convert
    from watchline.streams.formats.known import FORMATS

    for name in FORMATS:
        with TemporaryDirectory() as out, suppress(WatchlineError):
            list(convert(files_in(folder), [name], Path(out), overwrite=False))


READERS = {
    "video": Reader(_videos, _read_sources),
    "photo": Reader(_photos, _read_sources),
    "onnx": Reader(_models, _read_model),
    "foreign-onnx": Reader(_foreign_models, partial(_read_checkpoint, family="yolox")),
    "darknet": Reader(_darknet, _read_checkpoint),
    "labels": Reader(_labels, _read_labels),
    "config": Reader(lambda: [{"watchline.toml": TOML.encode()}], _read_config),
    "recording": Reader(_recordings, _read_model),
    "wire": Reader(_messages, _read_message),
    "events": Reader(_events, _read_events),
}
