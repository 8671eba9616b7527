import numpy as np
import pytest
from clips import picture, write_photo
from PIL import Image, ImageCms

from watchline.streams.errors import SourceNotFound, SourceUnreadable
from watchline.streams.photos import PhotosSource


def read(*paths):
    """All photos that can be read, and the reader; what was left out has to be said at the end."""
    frames, said = [], ""
    with PhotosSource(paths).open() as reader:
        try:
            for frame in reader:
                frames.append(frame)
        except SourceUnreadable as error:
            said = str(error)
    assert bool(said) == bool(reader.skipped)
    assert all(line in said for line in reader.skipped)
    return frames, reader


def test_a_folder_by_name_one_a_second(tmp_path):
    for number, name in enumerate(["b.png", "a.bmp", "C.PNG", "d.webp", "e.tif", "f.jpg", "g.JPEG", "h.tiff"]):
        write_photo(tmp_path / name.lower(), picture(number)).rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / ".hidden.jpg").write_text("no photo")
    (tmp_path / "inner.jpg").mkdir()
    frames, reader = read(tmp_path)
    assert [f.file for f in frames] == ["C.PNG", "a.bmp", "b.png", "d.webp", "e.tif", "f.jpg", "g.JPEG", "h.tiff"]
    assert [(f.index, f.seconds) for f in frames] == [(i, i) for i in range(8)]
    assert {f.stream for f in frames} == {tmp_path.name}
    assert reader.skipped == []
    assert (reader.about.width, reader.about.height, reader.about.frames) == (64, 48, 8)
    for frame, number in zip(frames[:3], (2, 1, 0), strict=True):
        assert (frame.picture.bgr() == picture(number)).all()


def test_one_file_and_globs(tmp_path):
    for name in ("x1.png", "x2.png", "y1.png"):
        write_photo(tmp_path / name)
    assert [f.file for f in read(tmp_path / "x1.png")[0]] == ["x1.png"]
    assert PhotosSource([tmp_path / "x1.png"]).stream == "x1"
    assert [f.file for f in read(tmp_path / "x*.png")[0]] == ["x1.png", "x2.png"]
    assert [f.file for f in read(tmp_path / "y*", tmp_path / "x1.png", tmp_path / "x?.png")[0]] == [
        "y1.png", "x1.png", "x2.png",
    ]  # fmt: skip


def test_photos_of_several_folders_keep_apart(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_photo(tmp_path / folder / "a.png")
    assert [f.file for f in read(tmp_path / "**" / "*.png")[0]] == ["one/a.png", "two/a.png"]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: np.rot90(p.transpose(1, 0, 2), 2)),
        (8, lambda p: np.rot90(p, 1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    [frame], reader = read(write_photo(tmp_path / "a.jpg", exif_orientation=orientation))
    expected = turn(picture(0)).astype(int)
    assert (reader.about.height, reader.about.width) == expected.shape[:2]
    assert abs(frame.picture.bgr() - expected).mean() < 4


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param(np.full((4, 6), 200, np.uint8), (200, 200, 200), id="grey"),
        pytest.param(np.full((4, 6), 200 * 257, np.uint16), (200, 200, 200), id="grey of 16 bit"),
        pytest.param(np.full((4, 6, 3), (10 * 257, 20 * 257, 30 * 257), np.uint16), (10, 20, 30), id="16 bit"),
        pytest.param(np.full((4, 6, 4), (10, 20, 30, 0), np.uint8), (10, 20, 30), id="alpha"),
        pytest.param(np.full((1, 1, 3), 7, np.uint8), (7, 7, 7), id="one pixel"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_everything_becomes_bgr_of_8_bit(tmp_path, name, image, expected):
    [frame], _ = read(write_photo(tmp_path / name, image))
    pixels = frame.picture.bgr()
    assert pixels.dtype == np.uint8
    assert pixels.shape == (*image.shape[:2], 3)
    assert abs(pixels[0, 0].astype(int) - expected).max() <= 1


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    write_photo(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"")
    (tmp_path / "c.jpg").write_text("no photo")
    whole = write_photo(tmp_path / "d.png", picture(0, 200, 200)).read_bytes()
    (tmp_path / "d.png").write_bytes(whole[: len(whole) // 2])
    jpeg = write_photo(tmp_path / "e.jpg", picture(0, 200, 200)).read_bytes()
    (tmp_path / "e.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    write_photo(tmp_path / "f.png", picture(5))
    write_photo(tmp_path / "g.tif").rename(tmp_path / "g.nef")  # raw photos begin as TIFF does
    frames, reader = read(tmp_path)
    assert [(f.index, f.pts, f.file) for f in frames] == [(0, 0, "a.png"), (1, 1, "f.png")]
    assert [line.split("/")[-1].split()[0] for line in reader.skipped] == [
        "b.jpg", "c.jpg", "d.png", "e.jpg", "g.nef:",
    ]  # fmt: skip
    assert (frames[1].picture.bgr() == picture(5)).all()


def test_a_photo_without_the_right_to_read_it(public, as_nobody):
    write_photo(public / "a.png")
    write_photo(public / "b.png").chmod(0)
    with as_nobody():
        frames, reader = read(public)
    assert [f.file for f in frames] == ["a.png"]
    assert "b.png cannot be read: Permission denied" in reader.skipped[0]


def test_no_photo_at_all_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_text("no photo")
    with pytest.raises(SourceUnreadable, match=r"none of the photos of .*a.jpg is not a picture"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "x*.jpg", tmp_path / "missing.jpg"):
        with pytest.raises(SourceNotFound, match="there are no photos there"):
            read(path)


def test_notes_and_profiles_reach_the_reader_and_the_frames(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    first, second = (Image.fromarray(picture(index)) for index in range(2))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], icc_profile=profile)
    write_photo(tmp_path / "b.png")
    frames, reader = read(tmp_path)
    assert [frame.profile for frame in frames] == [profile, None]
    [note] = reader.notes
    assert note.startswith("a.webp has 2 pictures")


def test_a_photo_that_is_too_large_does_not_stop_the_others(tmp_path):
    write_photo(tmp_path / "a.png", picture(0, 100, 100))
    write_photo(tmp_path / "b.png")
    with PhotosSource((tmp_path,), max_pixels=5000).open() as reader, pytest.raises(SourceUnreadable, match="1 of the"):
        assert [frame.file for frame in reader] == ["b.png"]
    assert (
        "declares 100 x 100 pixels: expected 5000 at most; if you trust it, set --max-pixels 10000" in reader.skipped[0]
    )
