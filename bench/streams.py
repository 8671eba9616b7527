"""How much of the detector's speed do several cameras get? 1, 2, 4 and 8 streams through one detector.

    python bench/streams.py CLIP [--rate 15] [--seconds 20] [--rounds 3] [--place process]

Each stream plays CLIP as 360p at its own speed (as a camera, but without a network). In each round, the bare engine
runs on all cores, then 1, 2, 4 and 8 streams run. The figures are medians over the rounds:

  frames/s  of all streams together, finished within the latency budget
  of engine frames/s divided by the speed of the bare engine (streams x rate limits it too)
  fairness  frames of the stream with the fewest, divided by frames of the one with the most
  p50, p99  of the latency, from the frame's arrival to its events, in ms
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median

from clips import scaled

from watchline.engines.cores import cores
from watchline.measure.speed.engine import bare_engine
from watchline.pipeline.message import Item
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource
from watchline.streams.live.paced import PacedSource

STREAMS = (1, 2, 4, 8)
WARM_UP = 2.0  # seconds that do not count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--rate", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "watchline-bench")
    args = parser.parse_args()
    clip = scaled(args.clip, "360p", 600, args.work, args.rate)
    engines, rounds = [], []
    for _ in range(args.rounds):
        engines.append(bare_engine(Detector()))
        rounds.append([_run(clip, count, args.seconds) for count in STREAMS])
    engine = median(engines)
    print(f"bare engine {engine:.1f} frames/s on {cores()} cores")
    print(f"{'streams':>7}{'asked':>8}{'frames/s':>10}{'of engine':>11}{'fairness':>10}{'p50':>7}{'p99':>7}")
    for column, count in enumerate(STREAMS):
        runs = [one[column] for one in rounds]
        share = median(run["fps"] / bare for run, bare in zip(runs, engines, strict=True))
        fps, fairness, p50, p99 = (median(run[key] for run in runs) for key in ("fps", "fairness", "p50", "p99"))
        print(f"{count:>7}{count * args.rate:>8}{fps:>10.1f}{share:>11.2f}{fairness:>10.2f}{p50:>7.0f}{p99:>7.0f}")


def _run(clip: Path, count: int, seconds: float) -> dict[str, float]:
    """Frames per second, fairness and latency of `count` streams."""
    sources = [PacedSource(FileSource(clip, f"stream{n}", threads=1), loop=True) for n in range(count)]
    runner = Runner([Detector()])
    frames: Counter[str] = Counter()
    latencies = []
    first = None
    for message in runner.run(sources):
        now = time.monotonic()
        if not isinstance(message, Item):
            continue
        first = first or now
        if now - first > WARM_UP:
            frames[message.stream] += 1
            latencies.append(now - message.frame.arrival)
        if now - first > WARM_UP + seconds:
            runner.stop()
    latencies.sort()
    return {
        "fps": len(latencies) / seconds,
        "fairness": min(frames.values()) / max(frames.values()),
        "p50": latencies[len(latencies) // 2] * 1e3,
        "p99": latencies[len(latencies) * 99 // 100] * 1e3,
    }


if __name__ == "__main__":
    main()
