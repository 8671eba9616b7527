"""A sink of your own, in addition to the annotated videos: the most people seen at once in each second, as CSV.

    python examples/own_sink.py clip.mp4 FOLDER

In a config, [sinks.people] has use = "own_sink:People" and folder = "…".
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from watchline import Annotate, Files, FileSource, Item, Job, Message, Opening, Sink, Writer
from watchline.settings import settings


@settings
class People(Sink):
    """NAME.csv with rows of `second,people`."""

    name = "people"
    folder: Path

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        people = _Writer()
        try:
            yield people
        finally:  # also where the stream breaks off
            with (self.folder / f"{opening.stream}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("second", "people"), *sorted(people.most.items())])


class _Writer:
    def __init__(self) -> None:
        self.most = Counter[int]()  # people at once, by second

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        if isinstance(message, Item) and message.detections is not None:
            second = int(message.frame.seconds)
            self.most[second] = max(self.most[second], int((message.detections.names == "person").sum()))


if __name__ == "__main__":
    if len(sys.argv) < 3 or "--help" in sys.argv:
        print(__doc__)
        sys.exit("--help" not in sys.argv)
    folder = Path(sys.argv[2])
    work = Annotate(Job([FileSource(Path(sys.argv[1]))], sinks=[Files(folder, overwrite=True), People(folder)]))
    list(work.run())
    sys.exit(work.outcomes[0].error or print(f"{work.outcomes[0].stream}: {work.outcomes[0].frames} frames"))
