"""The tracks of each stream as NAME.txt in the format of MOT Challenge's results, which its programs read.

A row is frame (from 1), track, left, top, width, height, score and -1 three times. Of a camera, the numbers of each
connection go on behind those of the one before.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from watchline.files import PartialFile
from watchline.pipeline.message import Begin, Item, Message
from watchline.pipeline.sinks.sink import Opening, Sink, Writer
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.write.paths import finish, make_folder, opened, prepare, refused


@settings
class Mot(Sink):
    """Settings: the folder for the files."""

    name = "mot"

    folder: Path = Field(description="for the tracks of each stream, NAME.txt")
    overwrite: bool = Field(default=False, description="replace files that are there")

    def check(self, inputs: Sequence[Path]) -> None:
        make_folder(self.folder)

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        """A file appears when its stream ends, however it ends. Raises SinkError: it cannot be written."""
        path = self.folder / f"{opening.stream}.txt"
        prepare(path, opening.inputs)
        if path.exists() and not self.overwrite:
            raise SinkError(f"{path} is there already: name another folder, or say overwrite = true")
        file = opened(path)
        try:
            yield _Writer(file)
            finish(file)
        finally:
            file.close()


class _Writer:
    """Attributes: paths, of what was written."""

    def __init__(self, file: PartialFile) -> None:
        self.paths = [file.path]
        self._file = file
        self._most = self._before = 0  # the largest number so far, and that of the connections before

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        if isinstance(message, Begin):
            self._before = self._most
        if not isinstance(message, Item) or message.detections is None:
            return
        rows = []
        for one in message.detections:
            if one.tracker_id is not None:
                x1, y1, x2, y2 = one.xyxy
                number = self._before + one.tracker_id
                self._most = max(self._most, number)
                box = f"{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f}"
                rows.append(f"{message.frame.index + 1},{number},{box},{one.confidence:.4f},-1,-1,-1\n")
        try:
            self._file.write("".join(rows).encode())
        except OSError as error:
            raise refused(self._file.path, error) from error
