"""Photos of people with their pixels, and the views that are drawn of them."""

import cv2
import numpy as np
import pytest

from watchline.models.errors import DatasetError
from watchline.ops import penn_fudan
from watchline.train import people
from watchline.train.people import Masked
from watchline.train.people_views import Views, draw, fitted


@pytest.fixture
def street(tmp_path, monkeypatch):
    """Penn-Fudan's layout with four photos, the last of which is the test."""
    monkeypatch.setattr(penn_fudan, "TESTED", 1)
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for number, name in enumerate("abcd"):
        plane = np.zeros((20, 30), np.uint8)
        plane[5:15, 4 : 9 + number] = 1
        plane[8:18, 16:20] = 2
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.full((20, 30, 3), 50 * number, np.uint8))
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), plane)
    return tmp_path


def test_the_test_photos_are_never_trained_on(street):
    train, test = people.read(street, "train"), people.read(street, "test")
    assert [one.name for one in train] == ["a", "b", "c"]
    assert [one.name for one in test] == ["d"]
    assert train[1].numbers == [1, 2]
    assert (train[1].plane == 1).sum() == 60


def test_the_smaller_of_two_polygons_is_in_front(tmp_path):
    (tmp_path / "images" / "train2017").mkdir(parents=True)
    labels = tmp_path / "instance_segmentation" / "labels" / "train2017"
    labels.mkdir(parents=True)
    for name in ("x", "unlabelled"):
        cv2.imwrite(str(tmp_path / "images" / "train2017" / f"{name}.jpg"), np.zeros((40, 40, 3), np.uint8))
    lines = ["1 .25 .25 .5 .25 .5 .5 .25 .5", "1 0 0 1 0 1 1 0 1", "2 0 0 1 0 1 1 0 1"]
    (labels / "x.txt").write_text("\n".join(lines))
    [sample] = people.read(tmp_path, "train")
    assert sample.numbers == [1, 2]
    assert (sample.plane[10:20, 10:20] == 2).all()
    assert sample.plane[0, 0] == 1


@pytest.mark.parametrize("line", ["1", "1 .1 .2", "1 0 0 1 0 1", "1 0 0 1 0 1 x", "1 0 0 1 0 1 nan"])
def test_polygons_that_cannot_be_are_named(tmp_path, line):
    (tmp_path / "images" / "train2017").mkdir(parents=True)
    labels = tmp_path / "instance_segmentation" / "labels" / "train2017"
    labels.mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images" / "train2017" / "x.jpg"), np.zeros((40, 40, 3), np.uint8))
    (labels / "x.txt").write_text(f"\nperson 0 0 1 0 1 1\n{line}\n")  # an empty line, and another class, are left out
    with pytest.raises(DatasetError, match=r"x\.txt.*expected a class and three or more corners"):
        people.read(tmp_path, "train")


def test_somebody_who_lies_is_pasted_no_wider_than_the_view():
    plane = np.zeros((60, 400), np.uint8)
    plane[25:35, 5:395] = 1
    lying = Masked(np.full((60, 400, 3), 90, np.uint8), plane, "lying")
    views = Views(width=64, height=48)
    for seed in range(20):
        draw(lying, [lying], views, np.random.default_rng(seed))


def test_folders_in_no_layout_and_planes_of_another_size_are_refused(street, tmp_path):
    with pytest.raises(DatasetError, match="not a data set with masks"):
        people.read(tmp_path / "images", "train")
    cv2.imwrite(str(street / "masks" / "b.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(DatasetError, match="expected one size"):
        people.read(street, "train")


def sample(seed=0, people_=3, height=90, width=120):
    """People are blocks whose colour is their number's, so that pixels tell whose they are."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 200, np.uint8)
    plane = np.zeros((height, width), np.uint8)
    for number in range(1, people_ + 1):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 40))
        image[y : y + 40, x : x + 20] = 0
        plane[y : y + 40, x : x + 20] = number
    return Masked(image, plane, "x")


@pytest.mark.parametrize("seed", range(12))
def test_a_view_s_boxes_are_the_extents_of_its_masks_and_no_pixel_is_two_people_s(seed):
    view = draw(sample(seed), [sample(40), sample(41)], Views(96, 64), np.random.default_rng(seed))
    assert view.image.shape == (64, 96, 3)
    assert view.planes.shape == (len(view.boxes), 64, 96)
    assert view.planes.sum(0).max(initial=0) <= 1
    for plane, (x1, y1, x2, y2) in zip(view.planes, view.boxes.tolist(), strict=True):
        y, x = np.nonzero(plane)
        assert [x.min(), y.min(), x.max() + 1, y.max() + 1] == [x1, y1, x2, y2]


@pytest.mark.parametrize("seed", range(8))
def test_masks_move_with_their_pixels(seed):
    """People are black on white: whatever was scaled, mirrored, recoloured and pasted, they are dark in the view."""
    view = draw(sample(seed), [sample(40)], Views(192, 128), np.random.default_rng(seed))
    grey = view.image.mean(axis=2)
    people_ = view.planes.any(axis=0)
    inside = cv2.erode(people_.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0).astype(bool)
    if inside.any():
        assert np.quantile(grey[inside], 0.95) < 60
    ground = cv2.dilate(people_.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert np.quantile(grey[~ground], 0.05) > 60


def test_views_are_as_random_as_the_generator():
    one, same, other = (draw(sample(), [sample(1)], Views(96, 64), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.planes, same.planes)
    assert one.image.shape == other.image.shape
    assert (one.image != other.image).any()


def test_who_is_nearly_hidden_is_ignored():
    plane = np.zeros((90, 120), np.uint8)
    plane[10:50, 10:40] = 1
    front = np.zeros_like(plane)
    front[5:60, 5:60] = 1
    hidden = Masked(np.full((90, 120, 3), 90, np.uint8), plane, "hidden")
    hides = Masked(np.full((90, 120, 3), 10, np.uint8), front, "hides")
    views = Views(120, 90, smallest=1.0, largest=1.0, paste=1.0, pasted=6)
    seen = [draw(hidden, [hides], views, np.random.default_rng(seed)) for seed in range(30)]
    shares = [(view.planes[0].sum() / 1200, view.ignore[0]) for view in seen if len(view.boxes) > 1]
    assert {True, False} == {bool(ignored) for _, ignored in shares}
    assert any(len(view.planes) and not view.ignore.all() for view in seen)


def test_a_fitted_view_is_the_whole_photo_at_the_top_left():
    one = sample()
    view = fitted(one, 240, 240)
    np.testing.assert_array_equal(view.planes.any(0)[:180:2, ::2], one.plane > 0)
    assert (view.image[181:] == 127).all()
    assert not view.ignore.any()
