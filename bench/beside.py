"""Does a captioner beside the chain cost live frames anything? Cameras with and without it, in turns.

    python bench/beside.py CLIP [--streams 2] [--rate 15] [--interval 2] [--seconds 20] [--rounds 5] [--caption MODEL]

Each stream plays CLIP as 360p at its own speed (as a camera, but without a network) through detector and annotator;
then the same with a caption every INTERVAL seconds of each stream. The figures are medians over the rounds, and the
ratios medians of the ratios within each round:

  frames/s  of all streams together, finished within the latency budget
  dropped   frames per second that gave way to newer ones or were late
  p50, p99  of the latency, from the frame's arrival to its picture, in ms
  captions  per minute and stream
  age       of the newest caption when it was first shown, in s
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from clips import scaled

from watchline.engines import zoo
from watchline.engines.cores import cores
from watchline.pipeline.kinds.caption import CAPTION
from watchline.pipeline.message import Dropped, Item
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.file import FileSource
from watchline.streams.live.paced import PacedSource

WARM_UP = 3.0  # seconds that do not count
Figures = dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--streams", type=int, default=2)
    parser.add_argument("--rate", type=int, default=15)
    parser.add_argument("--interval", type=float, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--caption", default=zoo.CAPTIONER)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench")
    args = parser.parse_args()
    clip = scaled(args.clip, "360p", 600, args.work, args.rate)
    captioner = Captioner(model=args.caption, on_change=False, interval=args.interval)
    without, beside = [], []
    for _ in range(args.rounds):
        without.append(_run(clip, args.streams, args.seconds, []))
        beside.append(_run(clip, args.streams, args.seconds, [captioner]))
    print(f"{args.streams} streams of {args.rate} frames/s on {cores()} cores, {args.rounds} rounds")
    names = ("frames/s", "dropped", "p50", "p99", "captions", "age")
    print(" " * 10 + "".join(f"{name:>10}" for name in names))
    for title, rounds in (("without", without), ("beside", beside)):
        print(f"{title:<10}" + "".join(f"{median(one[name] for one in rounds):>10.2f}" for name in names))
    for name in ("frames/s", "p50", "p99"):
        ratios = sorted(b[name] / a[name] for a, b in zip(without, beside, strict=True))
        print(f"{name}: beside / without {median(ratios):.2f}  ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def _run(clip: Path, count: int, seconds: float, more: list[Stage]) -> Figures:
    sources = [PacedSource(FileSource(clip, f"stream{n}", threads=1), loop=True) for n in range(count)]
    runner = Runner([Detector(), *more, Annotator()])
    latencies, ages, dropped = [], [], 0
    shown: dict[str, int] = {}
    first = None
    for message in runner.run(sources):
        now = time.monotonic()
        if isinstance(message, Item):
            first = first or now
        if first is None or now - first <= WARM_UP:
            continue
        if isinstance(message, Dropped):
            dropped += message.frames
        if isinstance(message, Item):
            latencies.append(now - message.frame.arrival)
            caption = message.result(CAPTION)
            if caption is not None and shown.get(message.stream) != caption.frame:
                shown[message.stream] = caption.frame
                ages.append(caption.age or 0.0)
        if now - first > WARM_UP + seconds:
            runner.stop()
    latencies.sort()
    return {
        "frames/s": len(latencies) / seconds,
        "dropped": dropped / seconds,
        "p50": latencies[len(latencies) // 2] * 1e3,
        "p99": latencies[len(latencies) * 99 // 100] * 1e3,
        "captions": len(ages) / count / seconds * 60,
        "age": median(ages) if ages else float("nan"),
    }


if __name__ == "__main__":
    main()
