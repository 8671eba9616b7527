"""One photo, from a file to pixels. Pillow reads it. The first bytes decide the format, not the suffix."""

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from pi_heif import HeifImageFile
from PIL import ExifTags, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Image import Image as PillowImage
from PIL.Image import Transpose
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from watchline.streams.errors import SourceUnreadable
from watchline.streams.frame import Image
from watchline.streams.limits import MAX_PIXELS, check_pixels

# The suffix of a photo that is taken from a folder.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .bmp .dib .webp .tif .tiff .jp2 .j2k .ppm .pgm .pbm .pnm .avif .heic .heif "
    ".hif".split()
)
# Pictures of other kinds: those of a folder are named as unread, as they would be missed.
UNREAD = frozenset(
    ".jxl .jxr .psd .tga .exr .hdr .pcx .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .raf .orf .rw2 .pef .srw .3fr "
    ".iiq .x3f".split()
)
_FORMATS: dict[bytes, type[ImageFile.ImageFile]] = {  # the first bytes, as a regular expression
    rb"\xff\xd8": JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImageFile,
    rb"RIFF....WEBP": WebPImageFile,
    rb"II[*+]\0|MM\0[*+]": TiffImageFile,
    rb"BM": BmpImageFile,
    rb"P[1-6]\s": PpmImageFile,
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": Jpeg2KImageFile,
    rb"....ftyp(avi[fs]|mif1.{4,40}avif)": AvifImageFile,
    rb"....ftyp(he[iv][cxms]|mif[123]|msf1)": HeifImageFile,
}
_UPRIGHT = {  # by EXIF orientation
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_ACROSS = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
MOST_BYTES = 1 << 30  # of a file; photos of 200 million pixels have less
END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that was read.

    Attributes:
        pixels: (H, W, 3) uint8 BGR, read-only, rotated by its EXIF orientation. Alpha is dropped; grey and 16 bit are
            converted. Colours are as in the file, for `profile`.
        format: its format in small letters, e.g. "jpeg".
        profile: the ICC profile of its RGB colours, None if it has none.
        notes: what somebody who looks at it should know, a line each.
    """

    pixels: Image
    format: str = ""
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def read_photo(path: Path, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read a photo: JPEG, PNG, WebP, TIFF, BMP, PPM, JPEG 2000, AVIF or HEIC. Of several pictures in it, the first.

    Args:
        max_pixels: a photo that declares more is refused before memory is allocated for them.

    Raises:
        SourceUnreadable: the file cannot be read, is not a complete photo, or is too large.
    """
    data = _bytes_of(path)
    try:
        return _decoded(path, data, max_pixels)
    except SourceUnreadable:
        raise
    except Exception as error:  # on damaged files Pillow raises errors of any class
        raise SourceUnreadable(f"{path} is damaged or cut off ({_why(error)}); copy it again") from error


def photo_size(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(width, height) in pixels of a photo as `read_photo` returns it. Only the header of the file is read.

    Raises:
        SourceUnreadable: the file is missing, is not a photo, or is too large.
    """
    try:
        with path.open("rb") as file:
            kind = _format_of(file.read(64))
            if kind is None:
                raise SourceUnreadable(f"{path} is not a picture that can be read: expected {_known()}")
            file.seek(0)
            image = kind(file)
            check_pixels(path, image.width, image.height, max_pixels)
            turned = _turn(image) in _ACROSS
    except SourceUnreadable:
        raise
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # on damaged files Pillow raises errors of any class
        raise SourceUnreadable(f"{path} is damaged ({_why(error)}); copy it again") from error
    return (image.height, image.width) if turned else (image.width, image.height)


def _bytes_of(path: Path) -> bytes:
    if path.suffix.lower() in UNREAD:
        raise SourceUnreadable(f"{path}: photos of this kind are not read; convert it to JPEG or PNG")
    try:
        is_huge = path.stat().st_size > MOST_BYTES
        data = b"" if is_huge else path.read_bytes()
    except OSError as error:
        raise SourceUnreadable(f"{path} cannot be read: {error.strerror}; check its owner and rights") from error
    if is_huge:
        raise SourceUnreadable(f"{path} has more than {MOST_BYTES >> 20} MiB: expected a photo")
    if not data:
        raise SourceUnreadable(f"{path} is empty (0 bytes): expected a picture; copy it again")
    return data


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _known() -> str:
    return ", ".join(sorted(SUFFIXES))


def _format_of(head: bytes) -> type[ImageFile.ImageFile] | None:
    return next((kind for start, kind in _FORMATS.items() if re.match(start, head, re.DOTALL)), None)


def _decoded(path: Path, data: bytes, max_pixels: int) -> Photo:
    kind = _format_of(data[:64])
    if kind is None:
        raise SourceUnreadable(f"{path} is not a picture that can be read: expected {_known()}")
    image = kind(io.BytesIO(data))  # reads the header only
    check_pixels(path, image.width, image.height, max_pixels)
    notes = []
    if kind is JpegImageFile:
        if _is_sound(data, max_pixels):
            image = kind(io.BytesIO(data + END_OF_JPEG))  # which some cameras leave out
        else:
            notes.append(f"{path.name} is damaged: parts of it may be wrong; copy it again")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        what = "pages" if kind is TiffImageFile else "pictures"
        notes.append(
            f"{path.name} has {frames} {what} (animated?): only the first is read; convert it to a video for all"
        )
    image.load()
    profile = image.info.get("icc_profile")
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    format = (image.format or "").lower()
    return Photo(_bgr(path, _upright(image)), format, profile if is_rgb else None, tuple(notes))


def _is_sound(jpeg: bytes, max_pixels: int) -> bool:
    """Whether a JPEG decodes to its last block. libjpeg only warns, and Pillow does not pass the warning on."""
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
    decoder.thread_count = 1
    try:
        decoder.decode(av.Packet(jpeg))
    except av.error.InvalidDataError:
        return False
    except av.error.FFmpegError:  # a rare kind of JPEG, which FFmpeg does not know
        return True
    return True


def _upright(image: PillowImage) -> PillowImage:
    turn = _turn(image)
    return image if turn is None else image.transpose(turn)


def _turn(image: PillowImage) -> Transpose | None:
    """What makes the photo upright, by its EXIF orientation; None if nothing is to be done."""
    with suppress(Exception):  # damaged EXIF
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _bgr(path: Path, image: PillowImage) -> Image:
    """(H, W, 3) uint8, read-only."""
    if image.mode == "F":
        raise SourceUnreadable(f"{path} has pixels of floating point: expected 8 or 16 bits; convert it to PNG")
    if image.mode.startswith("I"):  # 16 bits of grey
        grey = np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
    else:
        raw = (image if image.mode == "RGB" else image.convert("RGB")).tobytes("raw", "BGR")
        pixels = np.frombuffer(raw, np.uint8).reshape(image.height, image.width, 3)
    pixels.flags.writeable = False
    return pixels
