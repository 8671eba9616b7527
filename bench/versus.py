"""Is the whole chain faster than what a user would pick instead? Same network and video, one run, a table with ratios.

    python bench/versus.py CLIP [--size 720p] [--rounds 5] [--frames 300] [--imgsz 416] [--write docs/measured.md]

The sides are in versus_sides.py. Those whose library is not installed are left out, and a line says so. Ultralytics
comes by `pip install ultralytics-opencv-headless torch torchvision` (`ultralytics` itself brings opencv-python, which
overwrites opencv-python-headless).

All run the shipped detector in FP32, with the same input size and thresholds, on all cores. Other libraries need other
inputs and outputs than our contract has, so their file is our graph with an adapter (usual_form.py). The engines'
milliseconds, measured in turns on one thread, show what the adapter adds.

Each run has a process of its own, because the libraries change each other's threads. The sides take turns, and the
order turns in every other round. A run is timed from its first finished frame to its closed file, so that loading does
not count. Figures are medians over the rounds. Ratios are medians of the ratios within each round, because speed
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
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
from clips import scaled
from usual_form import adapt
from versus_sides import OURS, SIDES, Result

from watchline import engines
from watchline.engines import cpu, metadata, zoo
from watchline.engines.cores import cores
from watchline.files import write_complete

NEEDS = {"OpenVINO, asynchronous": "openvino", "ultralytics predict": "ultralytics"}
# Ultralytics must ask no server, install nothing, and keep its settings in the work folder.
ALONE = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
BEGIN, END = "<!-- bench/versus.py writes from here -->", "<!-- to here -->"
Round = dict[str, Result]


def main() -> None:
    """Measure, print the table, and write it into a page. With --only, one side runs once and prints its result."""
    args = _arguments()
    if args.only:
        print(json.dumps(SIDES[args.only](args.clip, args.model, args.imgsz, args.work / "out")))
        return
    about = metadata.read(args.model)
    args.imgsz = args.imgsz or about.imgsz
    args.clip = scaled(args.clip, args.size, args.frames, args.work)
    adapted = adapt(args.model, about, args.imgsz, args.work / f"{about.name}-{args.imgsz}-usual.onnx")
    sides = [name for name in SIDES if name not in NEEDS or find_spec(NEEDS[name])]
    for name in SIDES.keys() - set(sides):
        print(f"{name} is left out: {NEEDS[name]} is not installed")
    rounds: list[Round] = []
    for number in range(args.rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        rounds.append({name: _run(name, args.model if SIDES[name] in OURS else adapted, args) for name in order})
        print(", ".join(f"{name} {rounds[-1][name]['fps']:.1f}" for name in sides), file=sys.stderr, flush=True)
    adapter = _adapter(args.model, adapted, args.imgsz)
    text = _text(sides, rounds, f"{about.name} at {args.imgsz}, {args.size}", adapter)
    print(text)
    if args.write:
        _write(args.write, text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--size", choices=("720p", "1080p"), default="720p")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--imgsz", type=int, help="side of the network's input (default: the model's own)")
    parser.add_argument("--model", type=Path, default=zoo.find(zoo.DEFAULT))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench")
    parser.add_argument("--write", type=Path, help="a page in which the table stands between the two marks")
    parser.add_argument("--only", choices=SIDES, help="run one side once, on CLIP as it is")
    return parser.parse_args()


def _run(side: str, model: Path, args: argparse.Namespace) -> Result:
    """Run one side in a process of its own. The last line that it prints is its result."""
    arguments = ["--only", side, "--model", model, "--imgsz", args.imgsz, "--work", args.work]
    command = [sys.executable, __file__, args.clip, *arguments]
    env = {**os.environ, **ALONE, "YOLO_CONFIG_DIR": str(args.work)}
    done = subprocess.run([str(argument) for argument in command], capture_output=True, text=True, env=env)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stdout}{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _adapter(model: Path, adapted: Path, imgsz: int, turns: int = 30) -> float:
    """The adapter's share of the engine's time. Medians, in turns, of the processor time on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(adapted), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (1, imgsz, imgsz, 3), np.uint8)
    planes = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    own, other = [], []
    with engines.load(model, "onnxruntime", (imgsz, imgsz), 1) as engine:
        for _ in range(turns):
            own.append(_cpu(lambda: engine.infer(pixels)))
            other.append(_cpu(lambda: session.run(None, {"images": planes})))
    return median(other[2:]) / median(own[2:]) - 1


def _cpu(work: Callable[[], object]) -> float:
    """Seconds of processor time: the time of a thread if nothing else runs."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _text(sides: list[str], rounds: list[Round], what: str, adapter: float) -> str:
    """The table as Markdown, and how it was measured."""
    rows = [
        "| | frames per second | watchline ÷ it | CPU per frame, ms | detections per frame | output, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for side in sides:
        fps = median(r[side]["fps"] for r in rounds)
        ratios = sorted(r["watchline"]["fps"] / r[side]["fps"] for r in rounds)
        ratio = f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" if side != "watchline" else ""
        spent, found, size = (_middle([r[side][key] for r in rounds]) for key in ("cpu", "detections", "MB"))
        rows.append(f"| {side} | {fps:.1f} | {ratio} | {spent} | {found} | {size} |")
    how = f"{what}, {cores()} cores, {cpu.kind()}, medians of {len(rounds)} paired rounds. The adapter"
    return "\n".join([*rows, "", f"{how} that other libraries need takes {adapter:.1%} of the engine's time."])


def _middle(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.1f}" if known else ""


def _write(page: Path, text: str) -> None:
    """Put the table between the marks of a page."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: expected the lines {BEGIN!r} and {END!r}, between which the table goes")
    write_complete(page, f"{before}{BEGIN}\n\n{text}\n\n{END}{after}".encode())


if __name__ == "__main__":
    main()
