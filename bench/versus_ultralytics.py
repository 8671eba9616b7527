"""Is the whole chain faster than Ultralytics' predict-and-save with the same network?

    python3 -m venv build/versus
    build/versus/bin/pip install -e . ultralytics-opencv-headless torch torchvision
    build/versus/bin/python bench/versus_ultralytics.py CLIP [--size 720p] [--rounds 5] [--frames 300] [--imgsz 416]

(`ultralytics` itself brings opencv-python, which overwrites Watchline's opencv-python-headless.)

  watchline     `Annotate`: decode, detect, draw, encode H.264 into an MP4.
  ultralytics   `YOLO(onnx).predict(clip, save=True, stream=True, device="cpu")`: the same, but its OpenCV writes Motion
                JPEG into an AVI, which costs less than half and takes several times the space.

Both run the shipped detector by ONNX Runtime, with the same input size and thresholds. Ultralytics needs other inputs
and
outputs than our contract, so its file is our graph with an adapter: RGB planes in 0..1 to BGR pixels at the front, and
(1, N, 4) corners and (1, N, C) scores to (1, 4 + C, N) centres, sides and scores at the end. The engines' milliseconds,
measured in turns on one thread, show what the adapter adds. The detections differ a little, because Ultralytics pads
the picture on all sides, and Watchline on the right and below.

Each run has a process of its own, because the libraries change each other's threads. The sides take turns, and each is
first in every other round. A run is timed from its first finished frame to its closed file, so that loading does not
count. Figures are medians over the rounds. The ratio is the median of the ratios within each round, because speed
drifts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from clips import scaled
from onnx import TensorProto, helper, numpy_helper
from rate import rate_of

from watchline import engines
from watchline.engines import metadata, zoo
from watchline.engines.engine import Metadata
from watchline.pipeline.annotate import Annotate
from watchline.pipeline.job import Job
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource

CONF, IOU = 0.25, 0.45
PACKAGES = ("watchline", "ultralytics-opencv-headless", "onnxruntime", "opencv-python-headless", "av", "torch", "numpy")
# Ultralytics must ask no server, install nothing, and keep its settings in the work folder.
ALONE = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def main() -> None:
    """Measure and print the table. With --only, one side runs once, and its result is printed as JSON."""
    args = _arguments()
    if args.only:
        side = {"watchline": _watchline, "ultralytics": _ultralytics}[args.only]
        print(json.dumps(side(args.clip, args.model, args.imgsz, args.work / args.only)))
        return
    about = metadata.read(args.model)
    args.imgsz = args.imgsz or about.imgsz
    args.clip = scaled(args.clip, args.size, args.frames, args.work)
    adapted = adapt(args.model, about, args.imgsz, args.work / f"{about.name}-{args.imgsz}-ultralytics.onnx")
    models = {"watchline": args.model, "ultralytics": adapted}
    print(", ".join(f"{name} {version(name)}" for name in PACKAGES))
    print(f"{about.name} at {args.imgsz}, {args.clip.name}, {len(os.sched_getaffinity(0))} cores, {args.rounds} rounds")
    engine = _engines(args.model, adapted, args.imgsz)
    rounds = []
    for number in range(args.rounds):
        order = list(models.items())[:: 1 if number % 2 == 0 else -1]
        rounds.append({name: _run(name, model, args) for name, model in order})
    _print(engine, rounds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--size", choices=("720p", "1080p"), default="720p")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--imgsz", type=int, help="side of the network's input (default: the model's own)")
    parser.add_argument("--model", type=Path, default=zoo.find(zoo.DEFAULT))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench")
    parser.add_argument("--only", choices=("watchline", "ultralytics"), help="run one side once, on CLIP as it is")
    return parser.parse_args()


def adapt(model: Path, about: Metadata, imgsz: int, path: Path) -> Path:
    """Write our ONNX file in Ultralytics' form to `path`.

    `images` (1, 3, imgsz, imgsz) float32 RGB in 0..1; `output0` (1, 4 + C, N) float32: centre x, centre y, width,
    height in pixels of the input, then the scores.
    """
    proto = onnx.load(model)
    graph = proto.graph
    for node in graph.node:
        node.input[:] = ["pixels" if name == "images" else name for name in node.input]
    # Corners to centre and sides is one product: (N, 4) x1 y1 x2 y2 times this.
    centres = np.array([[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32)
    for name, value in {
        "versus.255": np.float32(255),
        "versus.bgr": np.array([2, 1, 0], np.int64),
        "versus.centres": centres,
    }.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    front = [
        helper.make_node("Gather", ["images", "versus.bgr"], ["versus.a"], axis=1),
        helper.make_node("Transpose", ["versus.a"], ["versus.b"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["versus.b", "versus.255"], ["versus.c"]),
        helper.make_node("Round", ["versus.c"], ["versus.d"]),
        helper.make_node("Cast", ["versus.d"], ["pixels"], to=TensorProto.UINT8),
    ]
    back = [
        helper.make_node("MatMul", ["boxes", "versus.centres"], ["versus.e"]),
        helper.make_node("Concat", ["versus.e", "scores"], ["versus.f"], axis=2),
        helper.make_node("Transpose", ["versus.f"], ["output0"], perm=[0, 2, 1]),
    ]
    nodes = [*front, *graph.node, *back]
    for field in (graph.node, graph.input, graph.output, graph.value_info, proto.metadata_props):
        del field[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, imgsz, imgsz]))
    graph.output.append(helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 4 + len(about.labels), None]))
    names = dict(enumerate(about.labels))
    properties = {"task": "detect", "stride": about.stride, "batch": 1, "imgsz": [imgsz, imgsz], "names": names}
    helper.set_model_props(proto, {key: str(value) for key, value in properties.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)
    return path


def _engines(model: Path, adapted: Path, imgsz: int, turns: int = 30) -> dict[str, float]:
    """Milliseconds of CPU of each engine alone, a picture: medians, in turns."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(adapted), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (1, imgsz, imgsz, 3), np.uint8)
    planes = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    times: dict[str, list[float]] = {"watchline": [], "ultralytics": []}
    with engines.load(model, "onnxruntime", (imgsz, imgsz), 1) as engine:
        for _ in range(turns):
            times["watchline"].append(_cpu(lambda: engine.infer(pixels)))
            times["ultralytics"].append(_cpu(lambda: session.run(None, {"images": planes})))
    return {side: median(values[2:]) * 1e3 for side, values in times.items()}


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of CPU: the time of a thread if nothing else runs."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _run(side: str, model: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a process of its own. The last line that it prints is its result."""
    arguments = ["--only", side, "--model", model, "--imgsz", args.imgsz, "--work", args.work]
    command = [sys.executable, __file__, args.clip, *arguments]
    env = {**os.environ, **ALONE, "YOLO_CONFIG_DIR": str(args.work)}
    done = subprocess.run([str(argument) for argument in command], capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stdout}{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _watchline(clip: Path, model: Path, imgsz: int, out: Path) -> dict[str, Any]:
    detector = Detector(str(model), "onnxruntime", imgsz, CONF, IOU)
    job = Annotate(Job([FileSource(clip)], [detector, Annotator()], [Files(out, overwrite=True)]))
    fps, frames = rate_of(job, to_the_end=True)
    video, events = job.outcomes[0].outputs
    found = sum(len(json.loads(line).get("detections", ())) for line in events.read_text().splitlines())
    return {"fps": fps, "detections": found / frames, "MB": video.stat().st_size / 1e6}


def _ultralytics(clip: Path, model: Path, imgsz: int, out: Path) -> dict[str, Any]:
    from ultralytics import (
        YOLO,  # it takes seconds, and changes the threads of OpenCV and torch: not in the process of our chain
    )

    settings = {"imgsz": imgsz, "conf": CONF, "iou": IOU, "device": "cpu", "verbose": False}
    folder = {"project": str(out.parent.resolve()), "name": out.name, "exist_ok": True}
    results = YOLO(model, task="detect").predict(str(clip), stream=True, save=True, **settings, **folder)
    first, began = len(next(results).boxes), time.perf_counter()
    counts = [first, *(len(result.boxes) for result in results)]  # its end closes the file
    fps = (len(counts) - 1) / (time.perf_counter() - began)
    video = out / f"{clip.stem}.avi"
    return {"fps": fps, "detections": sum(counts) / len(counts), "MB": video.stat().st_size / 1e6}


def _print(engine: dict[str, float], rounds: list[dict[str, dict[str, Any]]]) -> None:
    print(f"\n| {'':<11} | engine alone, ms | whole chain, FPS | detections per frame | output, MB |")
    print("| ----------- | ---------------: | ---------------: | -------------------: | ---------: |")
    for side in engine:
        fps, found, size = (median(r[side][key] for r in rounds) for key in ("fps", "detections", "MB"))
        print(f"| {side:<11} | {engine[side]:16.1f} | {fps:16.1f} | {found:20.2f} | {size:10.1f} |")
    ratios = sorted(r["watchline"]["fps"] / r["ultralytics"]["fps"] for r in rounds)
    print(f"\nwatchline / ultralytics: {median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"the adapter takes {engine['ultralytics'] / engine['watchline'] - 1:.1%} of the engine's time")


if __name__ == "__main__":
    main()
