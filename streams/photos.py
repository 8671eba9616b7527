"""Photos as a source: a folder, a file or a glob, in order of their names."""

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
    """Photos, one a second on the stream's clock.

    Attributes:
        paths: folders (their photos, not those of folders inside), files and globs (`**` for any depth).
        stream: its name in every output; if empty, the name of the first folder, or the stem of the only file.
    """

    paths: tuple[Path, ...] = Field(min_length=1)
    stream: str = ""

    def __post_init__(self) -> None:
        if not self.stream:
            object.__setattr__(self, "stream", _name(self.paths))

    def files(self) -> list[Path]:
        """The photos that `paths` lead to, by name within each path, each once.

        Raises:
            SourceNotFound: a path leads to no photo.
        """
        found = {photo: None for path in self.paths for photo in _expand(path)}
        return list(found)

    @contextmanager
    def open(self) -> Iterator["PhotosReader"]:
        """Reads up to the first photo that can be read.

        Raises:
            SourceNotFound: a path leads to no photo.
            SourceUnreadable: none of the photos can be read.
        """
        yield PhotosReader(self, self.files())


class PhotosReader:
    """Photos being read. One that cannot be read is left out, and does not stop the rest.

    `Frame.file` is the photo's name; with photos of several folders, its path from the folder that holds them all.

    Attributes:
        about: with the size of the first photo that can be read.
        skipped: one line for each photo so far that was left out: which, and why.
        notes: nothing; a photo that was left out is an error, raised after the last one.
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
        """The photos, once. The index counts those that could be read, and is the time in seconds.

        Raises:
            SourceUnreadable: after the last photo, if some were left out.
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
    """A photo (H, W, 3) uint8 BGR, turned as its EXIF orientation says; alpha dropped, grey and 16 bit converted.

    Raises:
        SourceUnreadable: it may not be read, or is no whole picture.
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
        raise SourceUnreadable(f"{path} is no picture, or a damaged one: expected {', '.join(sorted(SUFFIXES))}")
    return np.asarray(image, np.uint8)


def photos_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name; hidden files and folders inside are left alone."""
    return sorted(file for file in folder.iterdir() if _is_photo(file))


def matches(pattern: Path) -> list[Path]:
    """The files that a glob leads to, by name; `**` stands for folders of any depth."""
    # Path.glob takes no pattern that is absolute.
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
