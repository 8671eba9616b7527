import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import picture, write_photo
from PIL import Image, ImageCms

from watchline.streams.errors import SinkError
from watchline.streams.write.photo_files import PhotoFilesSink


def test_each_photo_keeps_its_name_and_format(tmp_path):
    names = [
        "a.jpg",
        "b.JPEG",
        "c.png",
        "d.bmp",
        "e.webp",
        "f.tif",
        "deep/er/g.png",
        "h.jfif",
        "i.jp2",
        "j.ppm",
        "k.avif",
    ]
    with PhotoFilesSink().open(tmp_path / "new" / "out") as photos:
        for number, name in enumerate(names):
            path = photos.write(name, picture(number))
            assert path == tmp_path / "new" / "out" / name
            with Image.open(path) as image:
                assert abs(np.asarray(image)[..., ::-1].astype(int) - picture(number)).mean() < 2
    assert (tmp_path / "new" / "out" / "a.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert (cv2.imread(str(tmp_path / "new" / "out" / "c.png")) == picture(2)).all()
    assert not list(tmp_path.rglob("*.part"))


def test_quality(tmp_path):
    sizes = []
    for quality in (30, 95):
        with PhotoFilesSink(quality=quality).open(tmp_path) as photos:
            sizes.append(photos.write("a.jpg", picture(0, 300, 200)).stat().st_size)
    assert sizes[0] < sizes[1]


def test_an_input_is_never_overwritten(tmp_path):
    (tmp_path / "photos").mkdir()
    source = write_photo(tmp_path / "photos" / "a.png")
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for folder in (tmp_path / "photos", tmp_path / "link"):
        with (
            pytest.raises(SinkError, match=r"is where the photo a.png comes from"),
            PhotoFilesSink().open(folder, [source]),
        ):
            pass
    out = tmp_path / "out"
    out.mkdir()
    os.link(source, out / "b.png")
    with (
        PhotoFilesSink().open(out, [source]) as photos,
        pytest.raises(SinkError, match="is an input"),
    ):
        photos.write("b.png", picture(5))
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["../a.png", "/tmp/a.png", "x/../../a.png"])
def test_a_name_that_leads_out_of_the_folder(tmp_path, name):
    with PhotoFilesSink().open(tmp_path / "out") as photos, pytest.raises(SinkError, match="leads out of the folder"):
        photos.write(name, picture(0))


@pytest.mark.parametrize("name", ["a.heic", "a.HIF", "a.mpo", "a.pgm", "a"])
def test_what_cannot_be_written_in_its_own_format_becomes_a_jpeg(tmp_path, name):
    with PhotoFilesSink().open(tmp_path) as photos:
        path = photos.write(name, picture(0))
    assert path.name == f"{name}.jpg"
    assert path.read_bytes()[:2] == b"\xff\xd8"


def test_no_two_photos_are_written_under_one_name(tmp_path):
    with PhotoFilesSink().open(tmp_path, [Path("in/a.heic"), Path("in/a.heic.jpg")]) as photos:
        paths = [photos.write(name, picture(0)) for name in ("a.heic", "a.heic.jpg")]
    assert [path.name for path in paths] == ["a.heic.annotated.jpg", "a.heic.jpg"]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic"])
def test_the_colour_profile_is_kept(tmp_path, name):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with PhotoFilesSink().open(tmp_path) as photos:
        for given in (profile, None):
            with Image.open(photos.write(name, picture(0), given)) as image:
                assert image.info.get("icc_profile") == given


@pytest.mark.parametrize(("name", "width"), [("a.jpg", 70_000), ("a.webp", 20_000)])
def test_a_picture_too_large_for_its_format(tmp_path, name, width):
    with (
        PhotoFilesSink().open(tmp_path) as photos,
        pytest.raises(SinkError, match=rf"{name} cannot be encoded: {width} x 2 pixels are too many"),
    ):
        photos.write(name, np.zeros((2, width, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_two_streams_of_one_job_have_a_folder_each(tmp_path):
    for stream in "xy":
        (tmp_path / stream).mkdir()
    sources = [write_photo(tmp_path / stream / "a.png", picture(n)) for n, stream in enumerate("xy")]
    for number, stream in enumerate("xy"):
        with PhotoFilesSink().open(tmp_path / "out" / stream, sources) as photos:
            photos.write("a.png", picture(number + 2))
    for number, stream in enumerate("xy"):
        assert (cv2.imread(str(tmp_path / "out" / stream / "a.png")) == picture(number + 2)).all()


def test_a_full_disk_leaves_whole_photos(small_disk):
    folder = small_disk("256k")
    with PhotoFilesSink().open(folder) as photos, pytest.raises(SinkError, match="disk full"):
        list(map(photos.write, [f"{n}.bmp" for n in range(100)], [picture(0, 160, 100)] * 100))
    assert 2 < len(list(folder.iterdir())) < 100
    assert all((cv2.imread(str(path)) == picture(0, 160, 100)).all() for path in folder.iterdir())


def test_a_folder_that_may_not_be_written(public, as_nobody):
    with as_nobody(), pytest.raises(SinkError, match="may not be written"), PhotoFilesSink().open(public / "new"):
        pass
    with (
        as_nobody(),
        PhotoFilesSink().open(public) as photos,
        pytest.raises(SinkError, match="may not be written"),
    ):
        photos.write("a.png", picture(0))


@pytest.mark.parametrize("suffix", [".jpg", ".heic"])
def test_the_longest_names(tmp_path, suffix):
    with PhotoFilesSink().open(tmp_path) as photos:
        path = photos.write("a" * (255 - len(suffix)) + suffix, picture(0))
    assert [path] == list(tmp_path.iterdir())
    assert path.suffix == ".jpg"
