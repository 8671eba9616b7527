"""Does memory grow? A file is played again and again as one stream, drawn and encoded, for some minutes.

    python bench/memory.py CLIP [--minutes 20] [--segment [MODEL]] [--caption [MODEL]]

Prints the resident memory twice per minute, and at the end its range after minute 2.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import whole_chain

from watchline.pipeline.annotate import Annotate
from watchline.pipeline.job import Job
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.streams.file import FileSource
from watchline.streams.frame import Frame
from watchline.streams.source import About, Reader


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
        job = Annotate(Job([Loop(args.clip)], stages, [Files(Path(out), overwrite=True)]))
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


@dataclass(frozen=True)
class Loop:
    """A file that repeats without end. Frame numbers and times continue from one round to the next."""

    path: Path
    stream: str = "loop"

    @contextmanager
    def open(self) -> Iterator[Reader]:
        """Raises StreamError: the file cannot be read."""
        with FileSource(self.path).open() as reader:
            yield _Turns(self, reader.about)


class _Turns:
    notes: tuple[str, ...] = ()

    def __init__(self, loop: Loop, about: About) -> None:
        self._loop = loop
        self.about = replace(about, frames=None, path=None)

    def __iter__(self) -> Iterator[Frame]:
        index, begin, step = 0, 0, 0
        while True:
            last = begin
            with FileSource(self._loop.path).open() as reader:
                for frame in reader:
                    step = begin + frame.pts - last or step
                    last = begin + frame.pts
                    yield replace(frame, stream=self._loop.stream, index=index, pts=last)
                    index += 1
            begin = last + step


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


if __name__ == "__main__":
    main()
