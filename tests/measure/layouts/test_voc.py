"""VOC's layout: what is read, which split, and what is refused with which words."""

import time
from pathlib import Path

import numpy as np
import pytest
import voc_set

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts import voc
from watchline.ops.voc import VOC
from watchline.streams.errors import SourceUnreadable


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three pictures: a, b and c; b and c are `val`."""
    voc_set.add(tmp_path, "a", [("person", 0, 0)])
    voc_set.add(tmp_path, "b", [("person", 1, 0), ("car", 5, 7)], [voc_set.thing("person", 1, 0, "1")])
    voc_set.add(tmp_path, "c", [])
    voc_set.split(tmp_path, "val", ["c", "b"])
    return tmp_path


def read(folder, split=None, every=1):
    return voc.open_set(folder, split, every).read()


def annotation(data: Path, xml: str) -> None:
    (data / "Annotations" / "b.xml").write_text(xml)


def test_a_picture_comes_with_its_boxes(data: Path) -> None:
    empty, full = read(data)
    assert (empty.name, full.name) == ("c", "b")  # in the order of the list
    assert full.image.shape == (64, 64, 3)
    assert full.image[0, 8].tolist() == [0, 0, 255]  # BGR
    assert full.boxes.tolist() == [[8, 0, 16, 8]]  # of VOC's 9, 1, 16, 8
    assert full.boxes.dtype == np.float32
    assert full.names == ("person",)
    assert full.difficult.tolist() == [True]
    assert empty.boxes.shape == (0, 4)
    assert empty.difficult.shape == (0,)


@pytest.mark.parametrize(
    ("lists", "asked", "given"),
    [
        ({"val": "a", "test": "a"}, None, "val"),
        ({"train": "a", "test": "a"}, None, "test"),
        ({"train": "a"}, None, "all"),
        ({}, None, "all"),
        ({"train": "a"}, "train", "train"),
        ({"val": "a"}, "all", "all"),
    ],
)
def test_the_split(tmp_path: Path, lists: dict[str, str], asked: str | None, given: str) -> None:
    voc_set.add(tmp_path, "a", [])
    voc_set.add(tmp_path, "b", [])
    for name, picture in lists.items():
        voc_set.split(tmp_path, name, [picture])
    assert voc.find_split(tmp_path, asked) == given
    assert [picture.name for picture in read(tmp_path, asked)] == (["a", "b"] if given == "all" else ["a"])


def test_every_nth(data: Path) -> None:
    assert [picture.name for picture in read(data, "all", every=2)] == ["a", "c"]


def test_a_list_of_one_class_has_a_second_word(data: Path) -> None:
    voc_set.split(data, "cat_val", ["a -1", "b  1"])
    assert voc.names(data, "cat_val") == ["a", "b"]


def test_parts_of_an_object_are_no_objects(data: Path) -> None:
    head = "<part><name>head</name><bndbox><xmin>3</xmin></bndbox></part></object>"
    annotation(data, f"<annotation>{voc_set.thing('person', 0, 0).replace('</object>', head)}</annotation>")
    _, picture = read(data)
    assert picture.names == ("person",)
    assert picture.boxes.tolist() == [[0, 0, 8, 8]]


BOX = "<object><name>cat</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("", "is no annotation: no element found"),
        ("<annotation><object>", "is no annotation: no element found"),
        ("<html><body>404</body></html>", r"begins with <html>: expected <annotation>"),
        ("<!DOCTYPE html><html></html>", "it has a DOCTYPE"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unknown encoding"),
        ("<annotation><object/></annotation>", "an object without a name"),
        (f"<annotation>{BOX.format('', 1, 2, 3)}</annotation>", "has the box xmin , ymin 1, .*: expected four numbers"),
        (f"<annotation>{BOX.format('x', 1, 2, 3)}</annotation>", "xmin x, ymin 1"),
        (f"<annotation>{BOX.format('nan', 1, 2, 3)}</annotation>", r"xmin nan.*: expected xmin <= xmax"),
        (f"<annotation>{BOX.format(1, 1, 'inf', 3)}</annotation>", "xmax inf"),
        (f"<annotation>{BOX.format(9, 1, 2, 3)}</annotation>", r"inside 1\.\.64 x 1\.\.64"),
        (f"<annotation>{BOX.format(1, 1, 99, 3)}</annotation>", "xmax 99"),
        (f"<annotation>{BOX.format(1, -5, 9, 9)}</annotation>", "ymin -5"),
        ("<annotation><object><name>cat</name></object></annotation>", "the box xmin nothing"),
        (f"<annotation>{voc_set.thing('cat', 0, 0, 'yes')}</annotation>", "difficult is 'yes'"),
        (
            "<annotation><size><width>99</width><height>64</height></size></annotation>",
            "about a picture of 99 x 64 pixels, the photo has 64 x 64",
        ),
    ],
)
def test_a_broken_annotation_is_named(data: Path, xml: str, says: str) -> None:
    annotation(data, xml)
    with pytest.raises(DataRefused, match=says) as caught:
        list(read(data))
    assert str(data / "Annotations" / "b.xml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_entities_are_not_expanded(data: Path) -> None:
    """Nine levels of ten: a thousand million letters. And a file of the machine is not read into a label."""
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    annotation(data, f'<!DOCTYPE a [<!ENTITY l0 "ha">{levels}]><annotation>&l9;</annotation>')
    started = time.monotonic()
    with pytest.raises(DataRefused, match="DOCTYPE"):
        list(read(data))
    assert time.monotonic() - started < 1
    annotation(data, '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><annotation>&f;</annotation>')
    with pytest.raises(DataRefused, match="DOCTYPE"):
        list(read(data))


def test_what_is_missing_is_named(data: Path) -> None:
    with pytest.raises(DataNotFound, match="nowhere: there is no such folder"):
        list(read(data / "nowhere"))
    with pytest.raises(DataNotFound, match="has no folder Annotations"):
        list(read(data / "JPEGImages"))
    with pytest.raises(DataNotFound, match="no split 'tset': expected one of val, all"):
        list(read(data, "tset"))
    (data / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DataNotFound, match=r"b\.xml has no photo: expected .*b\.jpg"):
        list(read(data))
    (data / "Annotations" / "c.xml").unlink()
    with pytest.raises(DataNotFound, match=r"c\.xml is missing"):
        list(read(data))


def test_a_photo_that_is_none_is_named(data: Path) -> None:
    (data / "JPEGImages" / "b.jpg").write_text("<html>404</html>")
    with pytest.raises(SourceUnreadable, match=r"b\.jpg is not a picture"):
        list(read(data))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "names no picture"),
        (b"../../etc/passwd\n", "leads out"),
        (b"/etc/passwd\n", "leads out"),
        (b"\xff\xd8", "cannot be read as text"),
    ],
)
def test_a_broken_list_is_named(data: Path, content: bytes, says: str) -> None:
    listing = data / "ImageSets" / "Main" / "val.txt"
    listing.write_bytes(content)
    with pytest.raises(DataRefused, match=says) as caught:
        list(read(data))
    assert str(listing) in str(caught.value)


@pytest.mark.parametrize("name", ["Annotations/b.xml", "ImageSets/Main/val.txt"])
def test_a_file_that_is_too_large_does_not_fill_the_memory(data: Path, name: str) -> None:
    with (data / name).open("r+b") as file:
        file.truncate(1 << 33)  # a hole: nothing is on the disk
    with pytest.raises(DataRefused, match="more than 16 MiB"):
        list(read(data))


@pytest.mark.parametrize("suffix", [".webp", ".bmp"])
def test_a_photo_may_be_of_any_kind_that_training_reads(data: Path, suffix: str) -> None:
    (data / "JPEGImages" / "b.jpg").rename(data / "JPEGImages" / f"b{suffix}")
    assert [picture.name for picture in read(data)] == ["c", "b"]


def test_a_split_may_not_lead_out_of_the_folder(data: Path) -> None:
    (data / "secret.txt").write_text("a\n")
    with pytest.raises(DataNotFound, match="no split"):
        list(read(data, "../../secret"))


@pytest.mark.shared
def test_a_real_set(shared: Path) -> None:
    pictures = list(read(shared / "voc2012-animals", every=4))
    assert len(pictures) == 120  # of 479 in val
    assert {name for picture in pictures for name in picture.names} <= set(VOC)
    assert all((picture.boxes >= 0).all() and len(picture.boxes) == len(picture.names) for picture in pictures)
