"""How much time does a link cost per frame?

    python bench/links.py [--frames 300] [--rounds 5]

Decoded 1080p frames (YUV 4:2:0) are sent to a stage that does nothing, and back: over the link between threads, to a
process by shared memory, and over TCP on loopback, raw and as JPEG. The figures are milliseconds per frame, medians
over rounds in which the kinds take turns:

    in a row    one frame at a time, there and back
    as it runs  as in the runner: two workers there and three callers here; links between threads in one direction only
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
from pydantic import Field

from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.link import Link
from watchline.pipeline.message import Item
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.stages.registry import name_of
from watchline.pipeline.stages.stage import Process, Stage, work_of
from watchline.settings import settings
from watchline.streams.decoded import DecodedPicture
from watchline.streams.frame import Frame

COLUMNS = ("in a row", "as it runs", "drawn back")
PLACES = {
    "process": (Place("process"), "1"),
    "tcp, raw": (Place("tcp"), "4"),
    "tcp, jpeg": (Place("tcp", quality=90), ""),
}
PICTURES = 16  # different pictures, more than fit into a processor's cache
Seconds = Callable[[Sequence[Item]], float]


@settings
class Echo(Stage):
    """Gives back what it gets; with `draw`, a picture as well."""

    name = "echo"
    order = "any"
    gives = (DRAWN,)

    workers: int = Field(default=2, ge=1)
    draw: bool = False

    @contextmanager
    def open(self) -> Iterator[Process]:
        """There is nothing to load."""
        drawn = np.zeros((1080, 1920, 3), np.uint8)
        yield lambda items: [item.with_result(DRAWN, drawn) for item in items] if self.draw else list(items)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)  # as the runner does
    pictures = [picture(i) for i in range(PICTURES)]
    items = [Item(Frame("bench", i, i, Fraction(1, 25), pictures[i % PICTURES], 0.0)) for i in range(options.frames)]
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
    print(f"{'ms per 1080p frame':<18}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'goal':>8}")
    for row, ways in rows.items():
        cells = [f"{median(taken[row, column]):.3f}" if column in ways else "" for column in COLUMNS]
        print(f"{row:<18}" + "".join(f"{cell:>12}" for cell in cells) + f"{goals.get(row, ''):>8}")


def picture(index: int) -> DecodedPicture:
    """A picture with some detail, in the form of a decoder's output."""
    x, y = np.arange(1920), np.arange(1080)[:, None]
    luma = (np.sin((x + 3 * index) / 29) * 60 + np.cos(y / 17) * 50 + 128).astype(np.uint8)
    chroma = np.full((540, 1920), 120, np.uint8)
    return DecodedPicture(av.VideoFrame.from_ndarray(np.vstack([luma, chroma]), "yuv420p"), (False, None))


def elsewhere(place: Place, stack: ExitStack) -> dict[str, Seconds]:
    """Open the stage at an endpoint, until the stack closes. Returns the functions that measure it, by column."""
    calls = {}
    for draw in (False, True):
        at = replace(place, address=stack.enter_context(server())) if place.kind == "tcp" else place
        stage = placed(Echo(draw=draw), at)
        calls[draw] = [work_of(stack.enter_context(stage.open()))] * stage.workers
    return {
        "in a row": lambda items: by_callers(calls[False][:1], items),
        "as it runs": lambda items: by_callers(calls[False], items),
        "drawn back": lambda items: by_callers(calls[True], items),
    }


@contextmanager
def server() -> Iterator[str]:
    """Run the stage in a process of its own, in place of another host. Yields its address."""
    command = [sys.executable, "-m", "watchline", "stage", name_of(Echo()), "--listen", "tcp://127.0.0.1:0"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


def by_callers(calls: Sequence[Process], items: Sequence[Item]) -> float:
    """Seconds for all items. Each caller takes the next one when it has finished the last."""
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
    """Seconds for all items over a link, from one thread to another."""
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
    """Seconds for all items over a queue, for comparison."""
    pipe: queue.Queue[Item] = queue.Queue(2)
    thread = threading.Thread(target=lambda: [pipe.put(item) for item in items])
    seconds = timed(thread.start, lambda: [pipe.get() for _ in items])
    thread.join()
    return seconds


def timed(begin: Callable[[], object], end: Callable[[], object]) -> float:
    """Seconds from the start of `begin` to the end of `end`."""
    started = time.perf_counter()
    begin()
    end()
    return time.perf_counter() - started


if __name__ == "__main__":
    import links  # not as __main__, so that the other process can import Echo

    links.main()
