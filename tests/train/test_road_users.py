"""Boxes of road users: which pictures have them, and what they change in soft labels."""

import cv2
import numpy as np
import pytest
import torch

from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import DatasetError
from watchline.models.fcn_lite import KEPT, FCNLite
from watchline.ops.camvid import CAMVID, VOID
from watchline.train import road_users, soft_labels
from watchline.train.road_users import BICYCLIST, CAR, FILLED, HEIGHT, MARGIN, PEDESTRIAN, corrected

SLIM = ((8,), (24, 24), (24, 24), (24, 24, 24), (24, 24, 24), (24, 24), (24,))
ROAD = CAMVID.index("road")


def slowly(soft, boxes, kinds):
    """`corrected`, pixel by pixel, by Bayes' rule in its plain form."""
    out = np.empty_like(soft)
    for y, x in np.ndindex(soft.shape[:2]):
        p = soft[y, x].astype(float)
        near = []
        for (x1, y1, x2, y2), kind in zip(boxes.astype(float), kinds, strict=True):
            dx = abs(x + 0.5 - (x1 + x2) / 2) / (x2 - x1)
            dy = abs(y + 0.5 - (y1 + y2) / 2) / (y2 - y1)
            near.append((kind, dx, dy))
        inside = {kind for kind, dx, dy in near if dx < 0.5 + MARGIN and dy < 0.5 + MARGIN}
        for mine, other in ((BICYCLIST, PEDESTRIAN), (PEDESTRIAN, BICYCLIST)):
            if mine in inside and other not in inside:
                p[mine], p[other] = p[mine] + p[other], 0
        for kind, dx, dy in near:
            odds, reach = FILLED[kind]
            p[kind] *= 1 + (odds - 1) * np.exp(-((dx / reach) ** 4)) * np.exp(-((dy / HEIGHT) ** 4))
        out[y, x] = np.round(255 * p / p.sum())
    return out


@pytest.fixture
def soft():
    likely = np.random.default_rng(0).dirichlet(np.full(len(CAMVID), 0.3), (40, 60))
    return (255 * likely).round().astype(np.uint8)


def test_it_is_bayes_rule_at_every_pixel(soft):
    boxes = np.array([[4, 5, 20, 35], [15, 2, 28.5, 30], [30, 20, 59, 39], [50, 0, 60, 22]], np.float32)
    kinds = np.array([BICYCLIST, PEDESTRIAN, CAR, PEDESTRIAN])
    assert np.abs(corrected(soft, boxes, kinds).astype(int) - slowly(soft, boxes, kinds)).max() <= 1


def test_a_cyclist_who_was_taken_for_a_pedestrian_is_one_and_nothing_changes_far_from_the_box(soft):
    soft[:] = 0
    soft[..., ROAD] = 255
    soft[10:30, 10:20] = 0
    soft[10:30, 10:20, PEDESTRIAN] = 200
    soft[10:30, 10:20, ROAD] = 55
    after = corrected(soft, np.array([[8, 8, 22, 32]], np.float32), np.array([BICYCLIST]))
    assert (after[10:30, 10:20].argmax(2) == BICYCLIST).all()
    assert not after[8:32, 8:22, PEDESTRIAN].any()
    assert np.array_equal(after[:, 40:], soft[:, 40:])
    assert (after[..., ROAD][soft[..., ROAD] == 255] == 255).all()  # what is surely road stays road


def test_pictures_without_boxes_stay_as_they_are(soft):
    assert np.array_equal(corrected(soft, np.empty((0, 4), np.float32), np.empty(0, np.int64)), soft)


@pytest.fixture
def street(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), rng.integers(0, 255, (60, 80, 3), np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n0 0.5 0.5 1 1\n2 0.25 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [tram, Cyclist, Car]\n")
    return tmp_path / "data.yaml"


def test_boxes_are_those_of_the_scaled_picture(street):
    first, second = road_users.read([street], 30)
    assert first.image.shape == (30, 40, 3)
    assert (first.classes == VOID).all()
    assert np.allclose(first.boxes, [[15, 7.5, 25, 22.5], [0, 7.5, 20, 22.5]])  # nobody asked for the tram
    assert first.kinds.tolist() == [BICYCLIST, CAR]
    assert (second.name, len(second.boxes), len(second.kinds)) == ("b", 0, 0)


def test_data_without_road_users_is_refused(street):
    street.write_text("names: [dog, cat, bird]\n")
    with pytest.raises(DatasetError, match="boxes of dog, cat, bird; expected some of car, van, "):
        road_users.read([street], 30)


def test_soft_labels_are_corrected_before_they_are_kept(street, tmp_path):
    torch.manual_seed(0)
    teacher = FCNLite(len(CAMVID), KEPT, EfficientNetLite0(SLIM)).eval()
    scenes = road_users.read([street], 64)
    soft_labels.write(tmp_path / "soft.npz", scenes, teacher)
    first, second = soft_labels.taught(tmp_path / "soft.npz", scenes)
    seen = soft_labels.soft_labels(teacher, scenes[0].image)
    assert np.array_equal(first.soft, corrected(seen, scenes[0].boxes / 2, scenes[0].kinds))
    assert (first.soft[..., BICYCLIST] > seen[..., BICYCLIST]).any()
    assert np.array_equal(second.soft, soft_labels.soft_labels(teacher, scenes[1].image))
