"""A source of your own: a folder of .npy files, each a picture (height, width, 3) uint8 BGR.

    python examples/own_source.py FOLDER

A source opens into a reader, which has `about` (the stream) and yields frames. An error ends the stream, not the run.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import numpy as np

import watchline

if len(sys.argv) < 2 or "--help" in sys.argv:
    print(__doc__)
    sys.exit("--help" not in sys.argv)


class ArraysSource:
    """The pictures of a folder in order of their names, 25 per second. It opens no file, so it is its own reader."""

    def __init__(self, folder: Path) -> None:
        self.stream, self.files = folder.name, sorted(folder.glob("*.npy"))

    def open(self) -> nullcontext["ArraysSource"]:
        height, width, _ = np.load(self.files[0]).shape
        self.about = watchline.About(self.stream, width, height, time_base=Fraction(1, 25), frames=len(self.files))
        return nullcontext(self)

    def __iter__(self) -> Iterator[watchline.Frame]:
        for i, file in enumerate(self.files):
            yield watchline.Frame(self.stream, i, i, self.about.time_base, watchline.ArrayPicture(np.load(file)))


found = Counter(name for _, seen in watchline.detect(ArraysSource(Path(sys.argv[1]))) for name in seen.names)
print(", ".join(f"{name} {count}" for name, count in sorted(found.items())))
