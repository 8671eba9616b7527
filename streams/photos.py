"""Photos as a source: folders, files and globs, in order of their names."""

import glob
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from pydantic import Field

from watchline.files import shortened
from watchline.settings import settings
from watchline.streams.errors import SourceNotFound, SourceUnreadable
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.limits import MAX_PIXELS
from watchline.streams.photo import SUFFIXES, UNREAD, Photo, read_photo
from watchline.streams.source import About

SECOND = Fraction(1)


@settings
class PhotosSource:
    """Photos, one per second of the stream's time.

    Attributes:
        paths: folders (their photos, not those of subfolders), files and globs (`**` for any depth).
        stream: its name in every output; by default the name of the first folder, or the stem of the only file.
        max_pixels: of a photo; larger ones are refused before memory is allocated for them.
    """

    paths: tuple[Path, ...] = Field(min_length=1)
    stream: str = ""
    max_pixels: int = Field(default=MAX_PIXELS, ge=1)

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", shortened(_name(self.paths)))

    def files(self) -> list[Path]:
        """The photos of `paths`, sorted by name within each path, each once.

        Raises:
            SourceNotFound: there is no photo at a path.
        """
        found = {photo: None for path in self.paths for photo in _expand(path)}
        return list(found)

    @contextmanager
    def open(self) -> Iterator["PhotosReader"]:
        """Opens the stream, and reads the first photo that can be read.

        Raises:
            SourceNotFound: there is no photo at a path.
            SourceUnreadable: none of the photos can be read.
        """
        yield PhotosReader(self, self.files())


class PhotosReader:
    """Reads the photos. A photo that cannot be read is skipped, and does not stop the others.

    `Frame.file` is the photo's name. With photos of several folders, it is the path from their common folder.

    Attributes:
        about: the stream, with the size of the first photo that can be read.
        skipped: one line per photo that was skipped so far: which, and why.
        notes: lines about photos that were read so far. (A skipped photo is an error, raised after the last photo.)
    """

    def __init__(self, source: PhotosSource, files: list[Path]) -> None:
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self._max_pixels = source.max_pixels
        self._stream = source.stream
        self._home = Path(os.path.commonpath([file.parent.absolute() for file in files]))
        self._read = self._photos(files)
        self._first = next(self._read, None)
        if self._first is None:
            raise SourceUnreadable(f"none of the photos of {source.stream} can be read: " + "; ".join(self.skipped))
        height, width, _ = self._first[1].pixels.shape
        self.about = About(
            name=source.stream,
            width=width,
            height=height,
            time_base=SECOND,
            rate=SECOND,
            frames=len(files),
            codec=self._first[1].format,
        )

    def __iter__(self) -> Iterator[Frame]:
        """The photos, once. The index counts the photos that could be read; it is also the time in seconds.

        Raises:
            SourceUnreadable: after the last photo, if some were skipped.
        """
        index = 0
        read, self._first = self._first, None
        while read is not None:
            file, photo = read
            name = file.absolute().relative_to(self._home).as_posix()
            picture = ArrayPicture(photo.pixels)
            yield Frame(self._stream, index, index, SECOND, picture, time.monotonic(), name, profile=photo.profile)
            index += 1
            read = next(self._read, None)
        if self.skipped:
            raise SourceUnreadable(f"{len(self.skipped)} of the photos could not be read: " + "; ".join(self.skipped))

    def _photos(self, files: list[Path]) -> Iterator[tuple[Path, Photo]]:
        for file in files:
            try:
                photo = read_photo(file, self._max_pixels)
            except SourceUnreadable as error:
                self.skipped.append(str(error))
                continue
            self.notes += photo.notes
            yield file, photo


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name, with those that cannot be read. Hidden files and subfolders are ignored."""
    return sorted(file for file in folder.iterdir() if _is_photo(file, SUFFIXES | UNREAD))


def matches(pattern: Path) -> list[Path]:
    """The files that match a glob, by name; `**` matches folders of any depth."""
    # Path.glob does not accept absolute patterns.
    return sorted(file for name in glob.glob(str(pattern), recursive=True) if (file := Path(name)).is_file())  # noqa: PTH207


def _is_photo(file: Path, suffixes: Collection[str] = SUFFIXES) -> bool:
    return file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        photos = photos_in(path)
    elif path.exists():
        return [path]
    else:
        photos = [file for file in matches(path) if _is_photo(file)]
    if not photos:
        raise SourceNotFound(f"{path}: there are no photos there; expected {', '.join(sorted(SUFFIXES))}")
    return photos


def _name(paths: tuple[Path, ...]) -> str:
    first = paths[0]
    if len(paths) == 1 and first.suffix.lower() in SUFFIXES and not glob.has_magic(first.name):
        return first.stem
    folder = first if first.is_dir() else first.parent
    while glob.has_magic(folder.name):
        folder = folder.parent
    return folder.absolute().name or "photos"
