"""What does a link cost a frame?

    python bench/links.py [--frames 20000]

Frames of 1080p cross one link from thread to thread, as they come; printed are milliseconds a frame, medians of five
rounds, for the handles as they are sent and, to compare, for `queue.Queue`.
"""

import argparse
import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from statistics import median

import numpy as np

from watchline.pipeline.link import Link
from watchline.pipeline.message import Item
from watchline.streams.frame import ArrayPicture, Frame


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000)
    count = parser.parse_args().frames
    picture = ArrayPicture(np.zeros((1080, 1920, 3), np.uint8))
    items = [Item(i, Frame("bench", i, i, Fraction(1, 25), picture, 0.0)) for i in range(count)]
    for name, cross in (("zeromq inproc", _by_link), ("queue.Queue", _by_queue)):
        print(f"{name:<15}{median(cross(items) for _ in range(5)) / count * 1e3:.4f} ms a frame")


def _by_link(items: list[Item]) -> float:
    link = Link("bench", depth=4)

    def send() -> None:
        with link.sender() as sender:
            for item in items:
                sender.send(item)

    with link.receiver() as receiver:
        seconds = _timed(send, lambda: [receiver.receive() for _ in items])
    link.close()
    return seconds


def _by_queue(items: list[Item]) -> float:
    pipe: queue.Queue[Item] = queue.Queue(4)
    return _timed(lambda: [pipe.put(item) for item in items], lambda: [pipe.get() for _ in items])


def _timed(send: Callable[[], object], receive: Callable[[], object]) -> float:
    thread = threading.Thread(target=send)
    started = time.perf_counter()
    thread.start()
    receive()
    thread.join()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
