"""A clip to measure with where nobody gives one: a test pattern, encoded as H.264."""

from pathlib import Path

from watchline.streams.synthetic import SyntheticSource
from watchline.streams.write.mp4 import Mp4Sink

MADE = SyntheticSource(width=1280, height=720, frames=150, boxes=5)


def made(path: Path, source: SyntheticSource = MADE) -> Path:
    """Write the pattern. Raises SinkError: it cannot be written."""
    with source.open() as reader, Mp4Sink().open(path, reader.about) as video:
        for frame in reader:
            video.write(frame.image, frame.pts, frame.time_base)
        video.end()
    return path
