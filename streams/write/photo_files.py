"""Annotated copies of photos: each under its own name, in the output folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
from pydantic import Field

from watchline.files import replacing
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Image
from watchline.streams.write.paths import is_same_file, make_folder, prepare, refused


@settings
class PhotoFilesSink:
    """Writes pictures in the format of their suffix.

    Attributes:
        quality: of JPEG and WebP, 1 to 100.
    """

    quality: int = Field(default=95, ge=1, le=100)

    @contextmanager
    def open(self, folder: Path, inputs: Sequence[Path] = ()) -> Iterator["PhotoFilesWriter"]:
        """Creates the folder if there is none.

        Raises:
            SinkError: the folder is the one that the photos are in, or cannot be created.
        """
        for source in inputs:
            if is_same_file(folder / source.name, source):
                raise SinkError(
                    f"{folder} is where the photo {source.name} comes from: the copy would destroy it; "
                    "choose another folder with --out"
                )
        make_folder(folder)
        yield PhotoFilesWriter(self.quality, folder, tuple(inputs))


class PhotoFilesWriter:
    """Writes photos into a folder. A photo is written under another name and then renamed, so no file is incomplete."""

    def __init__(self, quality: int, folder: Path, inputs: tuple[Path, ...]) -> None:
        lossy = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}
        self._options = {suffix: [key, quality] for suffix, key in lossy.items()}
        self._folder = folder
        self._inputs = inputs

    def write(self, name: str, pixels: Image) -> Path:
        """Args: name of the photo as in `Frame.file`; pixels (H, W, 3) uint8 BGR. Returns: the file.

        Raises:
            SinkError: the name is outside of the folder or is an input, its suffix is not a picture's, or the file
                cannot be written.
        """
        path = self._folder / name
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise SinkError(f"{name} leads out of the folder {self._folder}: expected a plain file name")
        prepare(path, self._inputs)
        try:
            encoded, data = cv2.imencode(path.suffix, pixels, self._options.get(path.suffix.lower(), []))
        except cv2.error as error:
            raise SinkError(f"{path} cannot be encoded: no writer for a picture of {pixels.shape} there") from error
        if not encoded:
            height, width = pixels.shape[:2]
            raise SinkError(
                f"{path} cannot be encoded: {width} x {height} pixels are too many for {path.suffix}; "
                "make the photo smaller, or a .png"
            )
        try:
            with replacing(path, synced=False) as part:  # the photo itself is still there
                part.write_bytes(data.tobytes())
        except OSError as error:
            raise refused(path, error) from error
        return path
