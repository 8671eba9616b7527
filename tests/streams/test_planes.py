import av
import numpy as np
import pytest
from clips import write_clip

from watchline.streams.decoded import DecodedPicture
from watchline.streams.file import FileSource
from watchline.streams.planes import Planes, is_plain, least_shapes

FAMILIES = {
    "yuv420p": ("libx264", "a.mp4", {}),
    "yuv422p": ("libx264", "a.mp4", {}),
    "yuv444p": ("libx264", "a.mp4", {}),
    "yuv420p10le": ("libx264", "a.mp4", {}),
    "yuv422p10le": ("libx264", "a.mp4", {}),
    "yuvj420p": ("mjpeg", "a.avi", {}),
    "yuva420p": ("ffv1", "a.mkv", {}),
    "yuv410p": ("ffv1", "a.mkv", {}),
    "gray": ("ffv1", "a.mkv", {}),
    "gray16le": ("ffv1", "a.mkv", {}),
    "bgra": ("ffv1", "a.mkv", {}),
    "bgr24": ("rawvideo", "a.avi", {}),
    "nv12": ("rawvideo", "a.nut", {}),
    "yuyv422": ("rawvideo", "a.avi", {}),
    "interlaced": ("mpeg2video", "a.mpg", {"flags": "+ilme+ildct"}),
}


def elsewhere(picture):
    """The picture as another process makes it, from nothing but bytes and numbers."""
    planes = picture.planes
    arrays = tuple(np.frombuffer(a.tobytes(), np.uint8).reshape(a.shape) for a in planes.arrays)
    again = Planes(planes.format, planes.width, planes.height, planes.colorspace, planes.color_range, arrays)
    return DecodedPicture.of_planes(again, picture.orientation)


SIZES = [(64, 48), (130, 98), (33, 21)]


@pytest.mark.parametrize(  # x264 takes even sides only
    ("family", "size"), [(f, s) for f in FAMILIES for s in SIZES if FAMILIES[f][0] != "libx264" or s[0] % 2 == 0]
)
def test_planes_alone_give_the_same_pixels(tmp_path, family, size):
    codec, name, options = FAMILIES[family]
    form = "yuv420p" if family == "interlaced" else family
    clip = write_clip(tmp_path / name, 2, size, codec=codec, pix_fmt=form, options=options, draw=noise(size))
    with FileSource(clip).open() as reader:
        for frame in reader:
            here, there = frame.picture, elsewhere(frame.picture)
            assert (there.width, there.height) == (here.width, here.height)
            assert (there.bgr() == here.bgr()).all()
            for width, height in ((40, 30), (97, 61), (1, 1)):
                assert (there.scaled(width, height) == here.scaled(width, height)).all()


def noise(size):
    """Sharp edges in every direction, so that a shift of a quarter of a pixel is seen."""
    width, height = size
    pixels = np.random.default_rng(1).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3), np.uint8)
    return lambda _: np.ascontiguousarray(pixels.repeat(3, 0).repeat(3, 1)[:height, :width])


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("form", ["yuv420p", "yuv420p10le"])
def test_a_turned_picture_stays_turned(tmp_path, rotation, form):
    clip = write_clip(tmp_path / "a.mp4", 1, rotation=rotation, pix_fmt=form)
    with FileSource(clip).open() as reader:
        [frame] = reader
    there = elsewhere(frame.picture)
    assert there.turned == (rotation != 180)
    assert (there.bgr() == frame.picture.bgr()).all()
    assert (there.scaled(20, 30) == frame.picture.scaled(20, 30)).all()


def test_a_frame_whose_look_depends_on_more_than_its_planes_is_no_plain_one(tmp_path):
    plain = av.VideoFrame(64, 48, "yuv420p")
    assert is_plain(plain)
    assert is_plain(av.VideoFrame(33, 21, "bgr24"))
    assert not is_plain(av.VideoFrame(33, 21, "yuv420p"))
    assert not is_plain(av.VideoFrame(64, 48, "yuv420p10le"))
    clip = write_clip(tmp_path / "a.mpg", 1, codec="mpeg2video", options={"flags": "+ilme+ildct"})
    with av.open(str(clip)) as container:
        assert not is_plain(next(container.decode(video=0)))


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("yuv420p", ((49, 65), (25, 33), (25, 33))),
        ("yuva420p", ((49, 65), (25, 33), (25, 33), (49, 65))),
        ("yuv420p10le", ((49, 130), (25, 66), (25, 66))),
        ("nv12", ((49, 65), (25, 66))),
        ("bgr24", ((49, 195),)),
        ("pal8", ((49, 65), (1, 1024))),
        ("monow", ((49, 9),)),
        ("yuyv422", ((49, 130),)),
    ],
)
def test_the_sizes_of_planes_are_known_before_there_are_any(name, shapes):
    assert least_shapes(name, 65, 49, 100_000) == shapes
    real = Planes.of(av.VideoFrame(65, 49, name)).arrays
    assert all(rows == a.shape[0] and width <= a.shape[1] for (rows, width), a in zip(shapes, real, strict=True))


@pytest.mark.parametrize(
    ("name", "width", "height", "size"),
    [
        ("yuv420p", 64, 48, 64 * 48 * 3 // 2 - 1),  # a byte too few
        ("yuv420p", 32_768, 32_768, 1 << 20),  # huge, and nothing there
        ("yuv420p", 1 << 40, 1, 1 << 50),
        ("yuv420p", 0, 48, 100),
        ("bgr24", -5, 48, 100),
        ("vaapi", 64, 48, 1 << 20),  # no picture in memory
        ("no such", 64, 48, 1 << 20),
        ("", 64, 48, 1 << 20),
    ],
)
def test_what_is_no_picture_is_refused_before_anything_is_made_of_its_size(name, width, height, size):
    with pytest.raises(ValueError):  # noqa: PT011  # each says what in words of its own
        least_shapes(name, width, height, size)


def test_a_matrix_that_no_picture_has_is_refused():
    planes = Planes("yuv420p", 2, 2, 3, 0, tuple(np.zeros(s, np.uint8) for s in ((2, 2), (1, 1), (1, 1))))
    with pytest.raises(ValueError, match="matrix 3"):
        DecodedPicture.of_planes(planes, (False, None))
