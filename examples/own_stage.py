"""A stage of your own, between detector and annotator: it paints over the heads of people with their mean colour.

    python examples/own_stage.py clip.mp4 private.mp4

A stage is settings that open into a function from items to items. Pixels are read-only, as all share them: copy first.
`watchline run … --stage own_stage:Privacy` runs it as well, and [stages.privacy] in a config has its settings.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pydantic import Field

from watchline import Annotate, Annotator, ArrayPicture, Detector, Files, FileSource, Item, Job, Process, Stage
from watchline.settings import settings


@settings
class Privacy(Stage):
    """Hides the upper part of each person."""

    name = "privacy"
    order = "any"  # no frame needs another one
    changes_picture = True

    part: float = Field(default=0.25, gt=0, le=1, description="of a person's height that is hidden")

    @contextmanager
    def open(self) -> Iterator[Process]:
        yield lambda items: [self.hide(item) for item in items]

    def hide(self, item: Item) -> Item:
        pixels, found = item.frame.image.copy(), item.detections
        for x1, y1, x2, y2 in () if found is None else found.xyxy[found.names == "person"]:  # with --every N
            head = pixels[int(y1) : int(y1 + self.part * (y2 - y1)) + 1, int(x1) : int(x2) + 1]
            head[:] = head.mean(axis=(0, 1))
        return replace(item, frame=replace(item.frame, picture=ArrayPicture(pixels)))


if __name__ == "__main__":
    if len(sys.argv) < 3 or "--help" in sys.argv:
        print(__doc__)
        sys.exit("--help" not in sys.argv)
    chain, sinks = [Detector(), Privacy(), Annotator()], [Files(Path(sys.argv[2]), overwrite=True)]
    work = Annotate(Job([FileSource(Path(sys.argv[1]))], chain, sinks))
    list(work.run())
    sys.exit(work.outcomes[0].error or print(f"{sys.argv[2]}: {work.outcomes[0].frames} frames"))
