"""A sink of one's own: the most people seen at once in each second, as CSV.

    python examples/own_sink.py clip.mp4 people.csv

Whoever loops over the detections writes them. As Watchline's own sinks, this one is a context manager, so that its file
is finished however the loop ends.
"""

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Self

import watchline


class PeopleCsv:
    """Rows of `second,people`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.most = Counter[int]()  # by second

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows([("second", "people"), *sorted(self.most.items())])

    def write(self, frame: watchline.Frame, detections: watchline.Detections) -> None:
        second = int(frame.seconds)
        self.most[second] = max(self.most[second], detections.names.count("person"))


with PeopleCsv(Path(sys.argv[2])) as sink:
    for frame, detections in watchline.detect(sys.argv[1]):
        sink.write(frame, detections)
print(f"{len(sink.most)} seconds, at most {max(sink.most.values())} people at once")
