"""A stage of one's own, between detector and annotator: heads of people are painted over with their mean colour.

    python examples/own_stage.py clip.mp4 private.mp4

A stage is settings that open into a function from items to items. Pixels are read-only, as all share them: copy first.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from watchline import Annotate, Annotator, ArrayPicture, Detector, FileSource, Item, Mp4Sink, Process


@dataclass(frozen=True)
class Privacy:
    """Hides the upper part of each person. One thread runs it, so it sees the frames in order."""

    part: float = 0.25
    name, workers, batch = "privacy", 1, 1

    @contextmanager
    def open(self) -> Iterator[Process]:
        yield lambda items: [self.hide(item) for item in items]

    def hide(self, item: Item) -> Item:
        pixels, found = item.frame.picture.bgr().copy(), item.detections
        for x1, y1, x2, y2 in found.boxes[found.classes == found.labels.index("person")]:
            head = pixels[int(y1) : int(y1 + self.part * (y2 - y1)) + 1, int(x1) : int(x2) + 1]
            head[:] = head.mean(axis=(0, 1))
        return replace(item, frame=replace(item.frame, picture=ArrayPicture(pixels)))


source, out = FileSource(Path(sys.argv[1])), Path(sys.argv[2])
job = Annotate([source], Detector(), Annotator(), out, Mp4Sink(), stages=[Privacy()])
frames = sum(1 for progress in job.run() if not progress.ended)
print(f"{out}: {frames} frames")
