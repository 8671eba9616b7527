"""What is in a photo's file: formats, several pictures, profiles, damage, sizes."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from clips import picture, write_clip, write_photo
from heic import write_heic
from PIL import ExifTags, Image, ImageCms

from watchline.streams.errors import SourceUnreadable
from watchline.streams.file import FileSource
from watchline.streams.inputs import find_sources
from watchline.streams.photo import photo_size, read_photo

RED, GREEN, BLUE, WHITE = (0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)
TEXTURE = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)


def rgb(image):
    return Image.fromarray(np.ascontiguousarray(image[..., ::-1]))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [(0, (RED, GREEN, BLUE, WHITE)), (1, (GREEN, WHITE, RED, BLUE)), (2, (WHITE, BLUE, GREEN, RED))],
)
def test_a_heic_photo_is_complete_and_upright(tmp_path, turns, expected):
    photo = read_photo(write_heic(tmp_path / "a.heic", [RED, GREEN, BLUE, WHITE], 2, (200, 180), turns))
    height, width, _ = photo.pixels.shape
    assert (width, height) == ((180, 200) if turns % 2 else (200, 180))
    corners = [photo.pixels[y, x].astype(int) for y in (5, height - 5) for x in (5, width - 5)]
    assert abs(np.array(corners) - np.array(expected)).max() < 6
    assert photo.notes == ()


@pytest.mark.parametrize("name", ["a.mp4", "a", "a.dat"])
def test_a_heic_photo_is_no_video_under_any_name(tmp_path, name):
    write_heic(tmp_path / name, [RED], 1, (128, 128))
    with (
        pytest.raises(SourceUnreadable, match=r"is a photo \(HEIC or AVIF\).*name it \.heic"),
        FileSource(tmp_path / name).open(),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.ppm", "PPM"),
        ("a.avif", "AVIF"),
        ("a.heic", "JPEG"),
    ],
)
def test_formats_by_their_first_bytes(tmp_path, name, format):
    rgb(picture(3)).save(tmp_path / name, format)
    photo = read_photo(tmp_path / name)
    assert photo.format == format.lower()
    assert abs(photo.pixels.astype(int) - picture(3)).mean() < 3


@pytest.mark.parametrize(
    ("name", "settings", "what"),
    [
        ("a.webp", {"format": "WEBP", "lossless": True}, "3 pictures"),
        ("a.png", {"format": "PNG"}, "3 pictures"),
        ("a.avif", {"format": "AVIF"}, "3 pictures"),
        ("a.tif", {"format": "TIFF"}, "3 pages"),
    ],
)
def test_of_several_pictures_the_first_is_read_and_the_others_are_noted(tmp_path, name, settings, what):
    first, *others = [rgb(picture(index)) for index in range(3)]
    first.save(tmp_path / name, save_all=True, append_images=others, **settings)
    photo = read_photo(tmp_path / name)
    assert abs(photo.pixels.astype(int) - picture(0)).mean() < 3
    [note] = photo.notes
    assert note.startswith(f"{name} has {what} (animated?): only the first is read")


def test_a_preview_in_a_jpeg_is_no_second_picture(tmp_path):
    rgb(picture(0)).save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[rgb(picture(1))])
    assert read_photo(tmp_path / "a.jpg").notes == ()


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_the_profile_of_rgb_colours(tmp_path, mode):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    given = profile if mode == "RGB" else profile[:16] + b"CMYK" + profile[20:]
    rgb(picture(0)).convert(mode).save(tmp_path / "a.jpg", icc_profile=given)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.profile == (profile if mode == "RGB" else None)
    assert photo.notes == ()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tail", [b"", bytes(100)])
def test_a_jpeg_without_its_end_marker_is_read(tmp_path, progressive, tail):
    rgb(TEXTURE).save(tmp_path / "a.jpg", progressive=progressive)
    whole = (tmp_path / "a.jpg").read_bytes()
    expected = cv2.imread(str(tmp_path / "a.jpg"))
    (tmp_path / "a.jpg").write_bytes(whole[:-2] + tail)
    photo = read_photo(tmp_path / "a.jpg")
    assert (photo.pixels == expected).all()
    assert photo.notes == ()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_damaged_jpeg_is_named(tmp_path, progressive):
    rgb(TEXTURE).save(tmp_path / "a.jpg", progressive=progressive)
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = b"\xff\x00" * 100
    (tmp_path / "a.jpg").write_bytes(data)
    photo = read_photo(tmp_path / "a.jpg")
    assert photo.pixels.shape == (200, 200, 3)
    assert photo.notes == ("a.jpg is damaged: parts of it may be wrong; copy it again",)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow's; the command line does not show it
def test_damaged_exif_does_not_hurt(tmp_path):
    raw = write_photo(tmp_path / "a.jpg").read_bytes()
    body = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)
    (tmp_path / "a.jpg").write_bytes(raw[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + raw[2:])
    assert read_photo(tmp_path / "a.jpg").pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG2000", "AVIF", "BMP", "PPM"])
def test_what_is_cut_off_is_refused_in_a_line(tmp_path, format):
    data = io.BytesIO()
    rgb(TEXTURE).save(data, format)
    (tmp_path / "a.png").write_bytes(data.getvalue()[: len(data.getvalue()) // 2])
    with pytest.raises(SourceUnreadable) as told:
        read_photo(tmp_path / "a.png")
    assert str(told.value).startswith(f"{tmp_path / 'a.png'} is damaged or cut off (")
    assert "\n" not in str(told.value)


def test_grey_of_16_bit_and_floating_point(tmp_path):
    cv2.imwrite(str(tmp_path / "a.pgm"), np.full((4, 6), 200 * 257, np.uint16))
    assert (read_photo(tmp_path / "a.pgm").pixels == 200).all()
    Image.fromarray(np.full((4, 6), 0.5, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(SourceUnreadable, match="floating point"):
        read_photo(tmp_path / "a.tif")


def png(width, height):
    """A small PNG that declares so many grey pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(1000)))]
    packed = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*chunks, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(png(20_000, 20_000), id="png"),
        pytest.param(b"P6 20000 20000 255\n" + bytes(99), id="ppm"),
        pytest.param(b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, 20_000, 20_000, 1, 24) + bytes(99), id="bmp"),
    ],
)
def test_a_bomb_is_refused_by_its_header(tmp_path, bomb):
    (tmp_path / "a.png").write_bytes(bomb)
    with pytest.raises(SourceUnreadable, match=r"declares 20000 x 20000 pixels: expected 200000000 at most"):
        read_photo(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif", "a.jp2", "a.avif", "a.heic"])
def test_the_limit_can_be_set(tmp_path, name):
    if name == "a.heic":
        write_heic(tmp_path / name, [RED], 1, (64, 48))
    else:
        rgb(picture(0)).save(tmp_path / name)
    assert read_photo(tmp_path / name, 64 * 48).pixels.shape == (48, 64, 3)
    with pytest.raises(SourceUnreadable, match="declares 64 x 48 pixels: expected 3071 at most"):
        read_photo(tmp_path / name, 64 * 48 - 1)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("a.mkv", {"codec": "ffv1"}),
        ("a.gif", {"codec": "gif", "pix_fmt": "rgb8"}),
        ("a.mjpeg", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
        ("a.y4m", {"codec": "wrapped_avframe", "format": "yuv4mpegpipe"}),
    ],
)
def test_the_limit_of_videos(tmp_path, name, settings):
    clip = write_clip(tmp_path / name, 2, **settings)
    with FileSource(clip, max_pixels=64 * 48).open() as reader:
        assert len(list(reader)) == 2
    with pytest.raises(SourceUnreadable, match=r"3071|too large"), FileSource(clip, max_pixels=64 * 48 - 1).open():
        pass


def test_an_animation_that_is_called_one_is_a_video(tmp_path):
    first, *others = [rgb(picture(index)) for index in range(3)]
    first.save(tmp_path / "a.apng", "PNG", save_all=True, append_images=others, duration=100)
    [source] = find_sources([tmp_path]).sources
    with source.open() as reader:
        assert len(list(reader)) == 3


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(SourceUnreadable, match="has more than 1024 MiB: expected a photo"):
        read_photo(tmp_path / "huge.jpg")


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_in_the_header_is_that_of_the_photo_as_it_is_read(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (40, 30)).save(tmp_path / "a.jpg", exif=exif)
    assert photo_size(tmp_path / "a.jpg") == read_photo(tmp_path / "a.jpg").pixels.shape[1::-1]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"<html>", "is not a picture"), (b"\x89PNG\r\n\x1a\nIHDR", "a.jpg"), (None, "cannot be read")],
)
def test_a_header_that_is_none_is_named(tmp_path, content, says):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(SourceUnreadable, match=says):
        photo_size(tmp_path / "a.jpg")


def test_the_limit_holds_for_headers_too(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    with pytest.raises(SourceUnreadable, match="declares 40 x 30 pixels"):
        photo_size(tmp_path / "a.png", 1199)
