"""Photos as a source: folders, files and globs, in order of their names."""

import glob
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field

from watchline.settings import settings
from watchline.streams.errors import SourceNotFound, SourceUnreadable
from watchline.streams.frame import ArrayPicture, Frame, Image
from watchline.streams.source import About

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
SECOND = Fraction(1)


@settings
class PhotosSource:
    """Photos, one per second of the stream's time.

    Attributes:
        paths: folders (their photos, not those of subfolders), files and globs (`**` for any depth).
        stream: its name in every output; by default the name of the first folder, or the stem of the only file.
    """

    paths: tuple[Path, ...] = Field(min_length=1)
    stream: str = ""

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", _name(self.paths))

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
        notes: always empty, because a skipped photo is an error, raised after the last photo.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, source: PhotosSource, files: list[Path]) -> None:
        self.skipped: list[str] = []
        self._stream = source.stream
        self._home = Path(os.path.commonpath([file.parent.absolute() for file in files]))
        self._read = self._photos(files)
        self._first = next(self._read, None)
        if self._first is None:
            raise SourceUnreadable(f"none of the photos of {source.stream} can be read: " + "; ".join(self.skipped))
        _, image = self._first
        self.about = About(
            name=source.stream,
            width=image.shape[1],
            height=image.shape[0],
            time_base=SECOND,
            rate=SECOND,
            frames=len(files),
            codec=files[0].suffix[1:].lower().replace("jpg", "jpeg"),
        )

    def __iter__(self) -> Iterator[Frame]:
        """The photos, once. The index counts the photos that could be read; it is also the time in seconds.

        Raises:
            SourceUnreadable: after the last photo, if some were skipped.
        """
        index = 0
        photo, self._first = self._first, None
        while photo is not None:
            file, image = photo
            name = file.absolute().relative_to(self._home).as_posix()
            yield Frame(self._stream, index, index, SECOND, ArrayPicture(image), time.monotonic(), name)
            index += 1
            photo = next(self._read, None)
        if self.skipped:
            raise SourceUnreadable(f"{len(self.skipped)} of the photos could not be read: " + "; ".join(self.skipped))

    def _photos(self, files: list[Path]) -> Iterator[tuple[Path, Image]]:
        for file in files:
            try:
                yield file, read_photo(file)
            except SourceUnreadable as error:
                self.skipped.append(str(error))


def read_photo(path: Path) -> Image:
    """Read a photo (H, W, 3) uint8 BGR, rotated by its EXIF orientation.

    Alpha is dropped; grey and 16 bit are converted.

    Raises:
        SourceUnreadable: the file cannot be read, or is not a complete picture.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}; check its owner and rights") from error
    if not len(data):
        raise SourceUnreadable(f"{path} is empty (0 bytes): expected a picture; copy it again")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise SourceUnreadable(f"{path} cannot be decoded: {error.err}; expected a picture") from error
    if image is None:
        raise SourceUnreadable(f"{path} is not a picture, or is damaged: expected {', '.join(sorted(SUFFIXES))}")
    return np.asarray(image, np.uint8)


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name. Hidden files and subfolders are ignored."""
    return sorted(file for file in folder.iterdir() if _is_photo(file))


def matches(pattern: Path) -> list[Path]:
    """The files that match a glob, by name; `**` matches folders of any depth."""
    # Path.glob does not accept absolute patterns.
    return sorted(file for name in glob.glob(str(pattern), recursive=True) if (file := Path(name)).is_file())  # noqa: PTH207


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


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
