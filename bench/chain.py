"""How much of the machine does the chain use? The whole chain against its ceiling, and against a plain loop.

    python bench/chain.py CLIP [--rounds 5] [--frames 300] [--imgsz 416] [--segment [MODEL]] [--caption [MODEL]]

For a 720p and a 1080p file made from CLIP, in each round one after another:

  parts     the parts of the chain, one after another in one thread: CPU time per frame. The number of cores divided by
            their sum is the ceiling: no schedule of this work can be faster on this machine.
  chain     `watchline annotate`: decode, detect, draw, encode; with --segment and --caption all five stages.
  events    the same without drawing and encoding (`--no-video`).
  engine    the bare engine on all cores, one worker of one thread each: the bound of `events`.
  plain     the usual loop: cv2.VideoCapture, the same engine with as many threads as cores, draw, cv2.VideoWriter.

Figures are medians over the rounds. Ratios are medians of the ratios within each round, because speed drifts.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import whole_chain
from clips import scaled
from rate import rate_of

from watchline.engines.cores import cores
from watchline.measure.speed.engine import bare_engine
from watchline.measure.speed.parts import parts
from watchline.pipeline.annotate import Annotate
from watchline.pipeline.job import Job
from watchline.pipeline.message import Item
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.write.mp4 import Mp4Sink


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--imgsz", type=int)
    parser.add_argument("--runtime")
    parser.add_argument("--precision", default="fp32", help="of the detector that ships (default: %(default)s)")
    whole_chain.add_options(parser)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    detector = Detector(imgsz=args.imgsz, runtime=args.runtime, precision=args.precision)
    for name in ("720p", "1080p"):
        clip = scaled(args.clip, name, args.frames, args.work)
        rounds = [
            _round(clip, [detector, *whole_chain.asked(args, args.runtime)], args.work / "out")
            for _ in range(args.rounds)
        ]
        _print(name, rounds)


def _round(clip: Path, stages: list[Stage], out: Path) -> dict[str, float]:
    """Frames per second of everything, and CPU milliseconds per frame of each part, measured back to back."""
    measured = parts(clip, [*stages, Annotator()], out, Mp4Sink(), frames=150)
    spent = {f"cpu {name}": part.cpu for name, part in measured.items()}
    [detector] = [stage for stage in stages if isinstance(stage, Detector)]
    return {
        **spent,
        "ceiling": cores() / sum(spent.values()) * 1e3,
        "chain": _job(clip, [*stages, Annotator()], out, Mp4Sink()),
        "events": _job(clip, stages, out, None),
        "engine": bare_engine(detector),
        "plain": _plain(clip, detector, out),
    }


def _print(name: str, rounds: list[dict[str, float]]) -> None:
    def middle(key: str) -> float:
        return median(r[key] for r in rounds)

    def ratio(a: str, b: str) -> str:
        ratios = sorted(r[a] / r[b] for r in rounds)
        return f"{median(ratios):.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})"

    names = [key for key in rounds[0] if key.startswith("cpu ")]
    print(f"\n{name}, {cores()} cores, {len(rounds)} rounds")
    print("  " + ", ".join(f"{key.removeprefix('cpu ')} {middle(key):.1f}" for key in names) + " ms of CPU per frame")
    for key in ("ceiling", "chain", "plain", "engine", "events"):
        print(f"  {key:<10}{middle(key):>8.1f} FPS")
    print(f"  chain / ceiling   {ratio('chain', 'ceiling')}")
    print(f"  chain / plain     {ratio('chain', 'plain')}")
    print(f"  events / engine   {ratio('events', 'engine')}", flush=True)


def _job(clip: Path, stages: list[Stage], out: Path, video: Mp4Sink | None) -> float:
    """FPS of a job."""
    return rate_of(Annotate(Job([FileSource(clip)], stages, [Files(out, video, overwrite=True)])))[0]


def _plain(clip: Path, detector: Detector, out: Path) -> float:
    """Frames per second of the loop that everybody writes first."""
    settings = replace(detector, workers=1, threads=cores())
    capture = cv2.VideoCapture(str(clip))
    rate, width, height = (capture.get(k) for k in (cv2.CAP_PROP_FPS, 3, 4))
    out.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(out / "plain.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), rate, (int(width), int(height)))
    with settings.open() as detect, Annotator().open() as annotate:
        index, started = 0, time.perf_counter()
        while True:
            good, pixels = capture.read()
            if not good:
                break
            frame = Frame("plain", index, index, 1 / rate, ArrayPicture(pixels), 0.0)  # type: ignore[arg-type]
            [item] = annotate(detect([Item(frame)]))
            writer.write(item.drawn)
            index += 1
        seconds = time.perf_counter() - started
    writer.release()
    capture.release()
    return index / seconds


if __name__ == "__main__":
    main()
