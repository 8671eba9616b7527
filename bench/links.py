"""What does a link cost a frame?

    python bench/links.py [--frames 300] [--rounds 5]

Decoded 1080p frames (YUV 4:2:0) go to a stage that does nothing, and come back: over the link between threads, to a
process by shared memory, and over TCP on loopback, as they are and as JPEG. Printed are milliseconds a frame, medians
of rounds in which each kind has its turn:

    in a row    one frame at a time, there and back
    as it runs  as a runner does it: two workers there and three callers here; the links between threads one way
    drawn back  the same, and the stage sends a drawn picture (BGR, twice the bytes) back
"""

import argparse
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction
from statistics import median

import av
import cv2
import numpy as np
import pydantic.dataclasses
from pydantic import Field

from watchline.pipeline.link import Link
from watchline.pipeline.message import Item
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.stages.registry import name_of
from watchline.pipeline.stages.stage import Process
from watchline.streams.decoded import DecodedPicture
from watchline.streams.frame import Frame

COLUMNS = ("in a row", "as it runs", "drawn back")
PLACES = {
    "process": (Place("process"), "1"),
    "tcp, raw": (Place("tcp"), "4"),
    "tcp, jpeg": (Place("tcp", quality=90), ""),
}
PICTURES = 16  # that differ: more than a processor's cache holds
Seconds = Callable[[Sequence[Item]], float]


@pydantic.dataclasses.dataclass(frozen=True)
class Echo:
    """Gives back what it gets; with `draw`, a picture as well."""

    name = "echo"
    batch = 1

    workers: int = Field(default=2, ge=1)
    draw: bool = False

    @contextmanager
    def open(self) -> Iterator[Process]:
        """Nothing to load."""
        drawn = np.zeros((1080, 1920, 3), np.uint8)
        yield lambda items: [replace(item, drawn=drawn) for item in items] if self.draw else list(items)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # as the runner does
    pictures = [picture(i) for i in range(PICTURES)]
    items = [Item(i, Frame("bench", i, i, Fraction(1, 25), pictures[i % PICTURES], 0.0)) for i in range(options.frames)]
    with ExitStack() as stack:
        rows: dict[str, dict[str, Seconds]] = {
            "threads": {"as it runs": by_link},
            "queue.Queue": {"as it runs": by_queue},
        }
        rows |= {name: elsewhere(place, stack) for name, (place, _) in PLACES.items()}
        taken: dict[tuple[str, str], list[float]] = {}
        for _ in range(options.rounds):
            for row, ways in rows.items():
                for column, seconds in ways.items():
                    taken.setdefault((row, column), []).append(seconds(items) / len(items) * 1e3)
    goals = {"threads": "0.1", **{name: goal for name, (_, goal) in PLACES.items()}}
    print(f"{'ms a 1080p frame':<18}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'reach':>8}")
    for row, ways in rows.items():
        cells = [f"{median(taken[row, column]):.3f}" if column in ways else "" for column in COLUMNS]
        print(f"{row:<18}" + "".join(f"{cell:>12}" for cell in cells) + f"{goals.get(row, ''):>8}")


def picture(index: int) -> DecodedPicture:
    """A picture with some detail in it, as a decoder gives it."""
    x, y = np.arange(1920), np.arange(1080)[:, None]
    luma = (np.sin((x + 3 * index) / 29) * 60 + np.cos(y / 17) * 50 + 128).astype(np.uint8)
    chroma = np.full((540, 1920), 120, np.uint8)
    return DecodedPicture(av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), "yuv420p"), (False, None))


def elsewhere(place: Place, stack: ExitStack) -> dict[str, Seconds]:
    """The stage at a place, opened for as long as the stack; and how long items take there, by column."""
    calls = {}
    for draw in (False, True):
        at = replace(place, address=stack.enter_context(server())) if place.kind == "tcp" else place
        stage = placed(Echo(draw=draw), at)
        calls[draw] = [stack.enter_context(stage.open()) for _ in range(stage.workers)]
    return {
        "in a row": lambda items: by_callers(calls[False][:1], items),
        "as it runs": lambda items: by_callers(calls[False], items),
        "drawn back": lambda items: by_callers(calls[True], items),
    }


@contextmanager
def server() -> Iterator[str]:
    """The stage in a process of its own that stands for another host. Yields its address."""
    command = [sys.executable, "-m", "watchline", "stage", name_of(Echo()), "--listen", "tcp://127.0.0.1:0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def by_callers(calls: Sequence[Process], items: Sequence[Item]) -> float:
    """Seconds for all items; each caller takes the next one when it is done with the last."""
    turns = iter(items)
    lock = threading.Lock()

    def work(call: Process) -> None:
        while True:
            with lock:
                item = next(turns, None)
            if item is None:
                return
            call([item])

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    return timed(lambda: [thread.start() for thread in threads], lambda: [thread.join() for thread in threads])


def by_link(items: Sequence[Item]) -> float:
    """Seconds over a link, from one thread to another."""
    link: Link[Item] = Link("bench", threading.Event())

    def send() -> None:
        with link.sender() as sender:
            for item in items:
                sender.send(item)

    thread = threading.Thread(target=send)
    seconds = timed(thread.start, lambda: [link.receive() for _ in items])
    thread.join()
    link.close()
    return seconds


def by_queue(items: Sequence[Item]) -> float:
    """Seconds over a queue, to compare."""
    pipe: queue.Queue[Item] = queue.Queue(2)
    thread = threading.Thread(target=lambda: [pipe.put(item) for item in items])
    seconds = timed(thread.start, lambda: [pipe.get() for _ in items])
    thread.join()
    return seconds


def timed(begin: Callable[[], object], end: Callable[[], object]) -> float:
    """Seconds from the beginning of the one to the end of the other."""
    started = time.perf_counter()
    begin()
    end()
    return time.perf_counter() - started


if __name__ == "__main__":
    import links  # by its own name, so that the other process finds Echo

    links.main()
