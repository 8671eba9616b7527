"""A user's own data: how it is divided into pictures to train on and others to measure on, and copies in both."""

import shutil

import cv2
import numpy as np
import own_sets
import pytest

from watchline.models.errors import DatasetError
from watchline.train.own_data import dataset
from watchline.train.own_data.dataset import divide

SIX = own_sets.pictures(6)
TRAIN, VAL = dict(list(SIX.items())[:4]), dict(list(SIX.items())[4:])


def read(path, seed=0):
    return dataset.read([path], seed)


def only(path):
    """The one mistake that is named."""
    with pytest.raises(DatasetError) as caught:
        read(path)
    first, _ = str(caught.value).splitlines()
    return first


def test_voc_without_lists_is_divided(tmp_path):
    own_sets.voc(tmp_path, {"train": own_sets.pictures(20)})
    shutil.rmtree(tmp_path / "ImageSets")
    data = read(tmp_path)
    assert (len(data.train), len(data.val)) == (16, 4)
    assert data.notes == ("no split to measure on: 4 of 20 pictures were taken for it (seed 0)",)


def test_a_split_depends_on_the_seed_alone_and_leaves_every_class_most_of_its_pictures(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": own_sets.pictures(20)})
    with (tmp_path / "labels/train/07.txt").open("a") as labels:
        labels.write("2 0.5 0.5 0.2 0.2\n")  # the one lamp there is
    file.write_text("train: images/train\nnames: [cup, person, lamp]\n")
    splits = [[one.path.stem for one in read(file, seed).val] for seed in (*range(8), 0)]
    assert splits[0] == splits[8]
    assert len({tuple(split) for split in splits}) > 3
    assert not any("07" in split for split in splits)


def test_pictures_that_only_begin_alike_are_not_copies(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": TRAIN, "val": {}})
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    image = np.tile(image, (8, 4, 1))  # 450 KiB as a BMP, whose rows begin at the bottom
    for split, row, name in (("train", 0, "90"), ("val", 7, "91"), ("val", 0, "92")):
        image[row] ^= 255
        (tmp_path / f"images/{split}").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"images/{split}/{name}.bmp"), image)
        image[row] ^= 255
    file.write_text("train: images/train\nval: images/val\nnames: [cup, person]\n")
    assert only(file).startswith(f"{tmp_path}/images/val/92.bmp: it is a copy of {tmp_path}/images/train/90.bmp, ")


def test_copies_of_a_picture_stay_on_one_side_of_a_split(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": own_sets.pictures(10)})
    for name in own_sets.pictures(10):
        for folder, suffix in (("images", "jpg"), ("labels", "txt")):
            shutil.copy(tmp_path / f"{folder}/train/{name}.{suffix}", tmp_path / f"{folder}/train/{name}b.{suffix}")
    for seed in range(5):
        data = read(file, seed)
        assert len(data.val) == 4
        sides = [{one.path.stem[:2] for one in split} for split in (data.train, data.val)]
        assert not sides[0] & sides[1]


@pytest.mark.parametrize("name", ["00", "99"])
def test_a_picture_in_both_splits_is_named_also_under_another_name(name, tmp_path):
    own_sets.yolo(tmp_path, {"train": TRAIN, "val": VAL})
    shutil.copy(tmp_path / "images/train/00.jpg", tmp_path / f"images/val/{name}.jpg")
    assert only(tmp_path) == (
        f"{tmp_path}/images/val/{name}.jpg: it is a copy of {tmp_path}/images/train/00.jpg, a picture of train too: "
        "expected other pictures to measure on; remove it from one of the two"
    )


def test_division_keeps_a_single_picture_to_train_on(tmp_path):
    file = own_sets.yolo(tmp_path, {"train": own_sets.pictures(2)})
    data = read(file)
    assert (len(data.train), len(data.val)) == (2, 0)
    assert divide([], {}, 0) == ([], [])
