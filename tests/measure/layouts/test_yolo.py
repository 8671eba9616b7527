"""YOLO's layout in its three forms: the same boxes, and what is refused."""

import sys

import cv2
import numpy as np
import pytest

from watchline.measure.errors import DataNotFound, DataRefused, LibraryNotInstalled
from watchline.measure.layouts.known import open_data
from watchline.train.own_data import dataset, yolo

ROWS = "1 0.5 0.25 0.2 0.5\n0 0.1 0.1 0.2 0.2 0.3 0.5\n\n"  # a box, and a polygon of three corners
BOXES = [[40, 0, 60, 20], [10, 4, 30, 20]]  # of 100 x 40 pixels


def photo(file, grey=0):
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), np.full((40, 100, 3), grey, np.uint8))


def text(file, content):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def check(data):
    assert data.rule == "coco"
    full, empty = data.read()
    assert (full.name, empty.name) == ("a", "b")
    np.testing.assert_allclose(full.boxes, BOXES, atol=1e-4)
    assert full.names == ("cat", "dog")
    assert empty.boxes.shape == (0, 4)
    assert empty.names == ()


@pytest.fixture
def listed(tmp_path):
    """`data.yaml`, with a folder for val and a list for test; one photo has no text."""
    for name in ("a.jpg", "b.jpg"):
        photo(tmp_path / "images" / "val" / name)
    text(tmp_path / "labels" / "val" / "a.txt", ROWS)
    text(tmp_path / "some.txt", "images/val/b.jpg\n")
    names = "names: {0: dog, 1: cat}\n"
    text(tmp_path / "data.yaml", f"path: /where/it/was/made\nval: images/val\ntest: some.txt\n{names}")
    return tmp_path


def test_a_yaml_names_the_photos(listed):
    check(open_data(listed))
    check(open_data(listed / "data.yaml", "val"))
    assert [picture.name for picture in open_data(listed, "test").read()] == ["b"]
    assert [picture.name for picture in open_data(listed, every=2).read()] == ["a"]


def test_a_list_without_photos_is_refused(listed):
    text(listed / "some.txt", "\n")
    with pytest.raises(DataRefused, match="the list of test is empty: expected a photo in each line"):
        open_data(listed, "test")


def test_paths_of_roboflow_lead_to_folders_next_to_the_file(listed):
    text(listed / "data.yaml", "val: ../images/val\nnames: [dog, cat]\n")
    check(open_data(listed))


def test_without_its_library_a_yaml_is_refused_in_a_line(listed, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(LibraryNotInstalled, match=r"YAML needs PyYAML: pip install pyyaml"):
        open_data(listed)


def test_folders_with_names(listed):
    (listed / "data.yaml").unlink()
    text(listed / "names.txt", "dog\ncat\n")
    data = open_data(listed)
    assert data.split == "val"
    check(data)


def test_a_list_of_names_is_a_split(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        photo(tmp_path / "images" / name)
    text(tmp_path / "labels" / "a.txt", ROWS)
    text(tmp_path / "classes.txt", "dog\ncat\n")
    text(tmp_path / "test.txt", "a\nb\n")
    check(open_data(tmp_path))
    text(tmp_path / "test.txt", "z\n")
    with pytest.raises(DataNotFound, match=r"test.txt names 'z': there is no such photo"):
        open_data(tmp_path)


def test_coco128_has_cocos_names(tmp_path):
    photo(tmp_path / "images" / "val2017" / "a.jpg")
    text(tmp_path / "object_detection" / "labels" / "val2017" / "a.txt", "79 0.5 0.5 0.5 0.5\n")
    [picture] = open_data(tmp_path).read()
    assert picture.names == ("toothbrush",)
    photo(tmp_path / "images" / "val2017" / "a.png")
    two = list(open_data(tmp_path).read())
    assert [(picture.name, picture.names) for picture in two] == [
        ("a.jpg", ("toothbrush",)),
        ("a.png", ("toothbrush",)),
    ]


def test_a_list_may_name_one_of_two_photos_that_differ_in_their_suffix(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        photo(tmp_path / "images" / name)
    (tmp_path / "labels").mkdir()
    text(tmp_path / "classes.txt", "dog\n")
    for line in ("a.jpg", "a.png"):
        text(tmp_path / "test.txt", f"{line}\nb\n")
        assert [picture.name for picture in open_data(tmp_path).read()] == [line, "b"]


def test_the_photos_are_those_that_training_reads(listed):
    for name in ("day/a.webp", "night/c.bmp"):
        photo(listed / "images" / "val" / name)
    text(listed / "data.yaml", "train: images/val\nval: images/val\nnames: [dog, cat]\n")
    text(listed / "labels" / "val" / "day" / "a.txt", "0 0.5 0.5 1 1\n")
    measured = {picture.name: picture.boxes.tolist() for picture in open_data(listed).read()}
    assert list(measured) == ["a", "b", "day/a", "night/c"], "two of one stem have two names"
    assert measured["day/a"] == [[0, 0, 100, 40]]
    trained = yolo.read(listed / "data.yaml").val
    assert len(trained) == len(measured), "the same data.yaml, measured and trained on"


@pytest.mark.parametrize("path", ["", "path: /where/it/was/made\n"])
@pytest.mark.parametrize(
    "said", ["", "train: lists/train.txt\nval: [images/val]\n", "train: images/train\nval: some.txt\n"]
)
def test_training_and_measuring_read_the_same_pictures(listed, path, said):
    """Also where a YAML names none, has the `path` of another machine, or lists that are relative to itself."""
    for number, name in enumerate(("train/1", "train/2", "val/a", "val/b"), 1):
        photo(listed / "images" / f"{name}.jpg", 20 * number)
        text(listed / "labels" / f"{name}.txt", "0 0.5 0.5 0.5 0.5\n")
    text(listed / "lists" / "train.txt", "images/train/1.jpg\nimages/train/2.jpg\n")
    text(listed / "data.yaml", f"{path}{said}names: [dog]\n")
    trained = dataset.read([listed])
    for split, files in (("train", trained.train), ("val", trained.val)):
        measured = list(open_data(listed, split).read())
        assert [one.name for one in measured] == [file.path.stem for file in files]
        assert [one.boxes.tolist() for one in measured] == [file.boxes.tolist() for file in files]
    assert open_data(listed).split == "val"


def test_several_folders_are_read_as_one_with_their_names(listed):
    photo(listed / "more" / "images" / "a.png")
    text(listed / "data.yaml", "val: [images/val, more/images, images/val]\nnames: [dog, cat]\n")
    assert [picture.name for picture in open_data(listed).read()] == ["images/val/a", "images/val/b", "more/images/a"]


def test_a_list_may_name_photos_with_their_folders(tmp_path):
    for name in ("x/a.jpg", "y/a.jpg", "y/b.jpg"):
        photo(tmp_path / "images" / name)
    text(tmp_path / "labels" / "x" / "a.txt", ROWS)
    text(tmp_path / "classes.txt", "dog\ncat\n")
    (tmp_path / "labels" / "x").rename(tmp_path / "labels" / "z")  # so the folders are not splits
    text(tmp_path / "test.txt", "y/a.jpg\nb\n")
    assert [picture.name for picture in open_data(tmp_path).read()] == ["y/a", "y/b"]


def test_boxes_that_are_not_sure_need_not_be_found(listed):
    text(listed / "unsure" / "val" / "a.txt", "0 0.5 0.5 1 1\n")
    full, _ = open_data(listed).read()
    assert full.difficult.tolist() == [False, False, True]
    assert full.boxes[2].tolist() == [0, 0, 100, 40]


def test_aliases_of_a_yaml_are_never_written_out(listed):
    """Nine lists of nine lists of …: as text some gigabytes."""
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    text(listed / "data.yaml", f"a0: &a0 [x]\n{levels}path: *a11\nval: images/val\nnames: [dog, cat]\n")
    check(open_data(listed))
    text(listed / "data.yaml", f"a0: &a0 [x]\n{levels}val: *a11\nnames: [dog, cat]\n")
    with pytest.raises(DataRefused, match="val is not a text"):
        open_data(listed)


def test_a_yaml_that_is_too_large_is_refused_before_it_is_read(listed):
    text(listed / "data.yaml", "val: images/val\nnames: [dog, cat]\n" + "#" * (1 << 20))
    with pytest.raises(DataRefused, match="it has more than 1048576 bytes"):
        open_data(listed)


@pytest.mark.parametrize(
    "row",
    [
        "2 0.5 0.5 0.1 0.1",
        "0.5 0.5 0.5 0.1 0.1",
        "0 0.5 0.5 0.1",
        "0 a b c d",
        "0 nan 0 0 0",
        "0 50 50 9 9",
        "-1 0 0 0 0",
        "0 0.5 0.5",
        "0",
    ],
)
def test_rows_that_cannot_be_are_refused(listed, row):
    text(listed / "labels" / "val" / "a.txt", row)
    with pytest.raises(
        DataRefused, match=r"a.txt line 1: .*expected (0 to 1|a class number|class, x, y, width and height|shares of)"
    ):
        list(open_data(listed).read())


def test_a_yaml_without_pictures_anywhere_is_refused(tmp_path):
    text(tmp_path / "data.yaml", "names: [a]\n")
    with pytest.raises(DataRefused, match=r"lists no photos: expected val, .*, or a folder images in"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        ("val: nowhere\nnames: [a]\n", DataNotFound, "names 'nowhere', which is not there"),
        ("val: images/val\n", DataRefused, "expected a class name"),
        ("val: [\n", DataRefused, "it is no YAML"),
        ("- a\n", DataRefused, "it has no keys"),
        ("val: {a: b}\nnames: [a]\n", DataRefused, "val is not a text: expected a folder"),
        ("val: [images/val, [a]]\nnames: [a]\n", DataRefused, "val is not a text: expected a folder"),
    ],
)
def test_a_yaml_that_cannot_be_is_refused(listed, content, error, says):
    text(listed / "data.yaml", content)
    with pytest.raises(error, match=says):
        list(open_data(listed).read())
