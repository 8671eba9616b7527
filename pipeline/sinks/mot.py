"""The tracks of each stream as NAME.txt in the format of MOT Challenge's results, see streams/formats/mot.py.

A detection without a track is left out.
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
from watchline.streams.formats.mot import Numbers, row
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
        self._numbers = Numbers()

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        if isinstance(message, Begin):
            self._numbers.begin()
        if not isinstance(message, Item) or message.detections is None:
            return
        rows = [
            row(message.frame.index, self._numbers.of(one.tracker_id), one.xyxy, one.confidence)
            for one in message.detections
            if one.tracker_id is not None
        ]
        try:
            self._file.write("".join(rows).encode())
        except OSError as error:
            raise refused(self._file.path, error) from error
