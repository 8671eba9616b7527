"""Annotated copies of photos: each under its own name, in the output folder."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL.Image import frombytes
from pydantic import Field

from watchline.files import replacing
from watchline.settings import settings
from watchline.streams.errors import SinkError
from watchline.streams.frame import Image
from watchline.streams.write.paths import is_same_file, make_folder, prepare, refused

# Suffix -> Pillow's format. (Pillow loads the writers itself.)
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".bmp", ".dib"), "BMP"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".jp2", ".j2k"), "JPEG2000"),
    **dict.fromkeys((".ppm", ".pnm"), "PPM"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
}
LOSSY = ("JPEG", "WEBP", "AVIF")
OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 2},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "AVIF": {"speed": 10},
}


@settings
class PhotoFilesSink:
    """Writes pictures in the format of their suffix.

    Attributes:
        quality: of formats that lose pixels (JPEG, WebP, AVIF), 1 to 100.
    """

    quality: int = Field(default=95, ge=1, le=100)

    @contextmanager
    def open(self, folder: Path, inputs: Sequence[Path] = ()) -> Iterator["PhotoFilesWriter"]:
        """Creates the folder if there is none.

        Raises:
            SinkError: the folder is the one that the photos are in, or cannot be created.
        """
        real = folder.resolve()
        for source in inputs:
            if (real / source.name).exists() and is_same_file(real / source.name, source):
                raise SinkError(
                    f"{folder} is where the photo {source.name} comes from: the copy would destroy it; "
                    "choose another folder with --out"
                )
        make_folder(folder)
        yield PhotoFilesWriter(self.quality, folder, tuple(inputs))


class PhotoFilesWriter:
    """Writes photos into a folder. A photo is written under another name and then renamed, so no file is incomplete."""

    def __init__(self, quality: int, folder: Path, inputs: tuple[Path, ...]) -> None:
        self._quality = quality
        self._folder = folder
        self._inputs = inputs
        self._names = {path.name for path in inputs}

    def path_of(self, name: str) -> Path:
        """The file that a photo becomes: its own name or, where its format is not written, one that no photo has."""
        path = self._folder / name
        if path.suffix.lower() in FORMATS:
            return path
        others = [f"{path.name}.jpg", f"{path.name}.annotated.jpg", f"{path.stem}.jpg"]  # the last is not longer
        free = [other for other in others if other not in self._names and len(os.fsencode(other)) < 256]
        return path.with_name(free[0] if free else others[0])

    def write(self, name: str, pixels: Image, profile: bytes | None = None) -> Path:
        """Args: name of the photo as in `Frame.file`; pixels (H, W, 3) uint8 BGR; the ICC profile of their colours.

        Returns: the file. A photo whose format is not written (HEIC) becomes a JPEG, NAME.heic.jpg.

        Raises:
            SinkError: the name is outside of the folder or is an input, or the file cannot be written.
        """
        path = self.path_of(name)
        if not path.resolve().is_relative_to(self._folder.resolve()):
            raise SinkError(f"{name} leads out of the folder {self._folder}: expected a plain file name")
        prepare(path, self._inputs)
        data = self._encoded(path, pixels, profile)
        try:
            with replacing(path, synced=False) as part:  # the photo itself is still there
                part.write_bytes(data)
        except OSError as error:
            raise refused(path, error) from error
        return path

    def _encoded(self, path: Path, pixels: Image, profile: bytes | None) -> bytes:
        height, width = pixels.shape[:2]
        image = frombytes("RGB", (width, height), pixels.tobytes(), "raw", "BGR")
        format = FORMATS[path.suffix.lower()]
        data = io.BytesIO()
        lossy = {"quality": self._quality} if format in LOSSY else {}
        try:
            image.save(data, format, icc_profile=profile, **lossy, **OPTIONS.get(format, {}))
        except Exception as error:  # each of Pillow's writers raises errors of its own
            raise SinkError(
                f"{path} cannot be encoded: {width} x {height} pixels are too many for {path.suffix}; "
                "make the photo smaller, or a .png"
            ) from error
        return data.getvalue()
