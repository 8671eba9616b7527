"""Does memory grow? A file is played again and again as one stream, drawn and encoded, for some minutes.

    python bench/memory.py CLIP [--minutes 20] [--segment [MODEL]] [--caption [MODEL]]

Prints the resident memory twice per minute, and at the end its range after minute 2.
"""

import argparse
import tempfile
import time
from pathlib import Path

import whole_chain

from watchline.measure.speed.source import Repeated
from watchline.pipeline.annotate import Annotate
from watchline.pipeline.job import Job
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    whole_chain.add_options(parser)
    args = parser.parse_args()
    started, sizes, frames = time.monotonic(), [], 0
    stages = [Detector(), *whole_chain.asked(args), Annotator()]
    with tempfile.TemporaryDirectory() as out:
        job = Annotate(Job([Repeated(args.clip, "loop", threads=2)], stages, [Files(Path(out), overwrite=True)]))
        for progress in job.run():
            frames = progress.frames
            minutes = (time.monotonic() - started) / 60
            if minutes * 2 >= len(sizes) + 1:
                sizes.append(_resident())
                print(f"minute {minutes:5.1f}  frame {frames:>7}  {sizes[-1]:7.1f} MiB", flush=True)
            if minutes >= args.minutes:
                job.stop()
    later = sizes[4:]
    if later:
        print(f"after minute 2: {min(later):.1f} to {max(later):.1f} MiB, {max(later) / later[0] - 1:+.1%} at most")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
