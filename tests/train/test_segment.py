"""The segmenter's recipe: views and their classes stay together, and a stopped run continues as if it had not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from watchline.engines import zoo
from watchline.models.errors import CheckpointError, DatasetError
from watchline.models.fcn_lite import STRIDE_4
from watchline.ops.camvid import CAMVID, VOID
from watchline.train import camvid, segment
from watchline.train.camvid import Scene

RECIPE = segment.Recipe(steps=4, batch=2, crop=(64, 48), late_crop=(96, 64), save_every=2, warmup=1)


@pytest.fixture
def scenes():
    """Pictures whose classes can be read off their blue: class n has n * 20."""
    rng = np.random.default_rng(0)
    found = []
    for name in "abc":
        classes = rng.integers(0, VOID + 1, (6, 8), np.uint8).repeat(20, 0).repeat(20, 1)  # 120 x 160
        image = np.stack([classes * 20, classes * 10, classes * 5], axis=2)
        found.append(Scene(name, image, classes))
    return found


def test_a_view_and_its_classes_are_of_the_same_places(scenes):
    plain = replace(RECIPE, light=1.0, colour=1.0)
    for seed in range(8):
        view = segment.view(scenes[0], plain, seed % 2 == 1, np.random.default_rng(seed))
        image, classes = view.image, view.classes
        width, height = plain.late_crop if seed % 2 else plain.crop
        assert image.shape == (height, width, 3)
        assert classes.shape == (height // 2, width // 2)
        assert view.soft.shape == (height // 2, width // 2, 0)
        blue = cv2.resize(image[..., 0], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        inside = classes != VOID
        assert inside.any()
        # blocks are blurred at their edges, and a value between two classes is neither's
        assert (np.abs(blue[inside] / 20 - classes[inside]) < 0.3).mean() > 0.8
        beyond = (image == 114).all(2)[::2, ::2]
        assert (classes[beyond] != VOID).sum() <= 0.1 * beyond.sum() + 2  # some pixels of the picture have that colour


def test_soft_labels_are_of_the_same_places_as_the_classes(scenes):
    sure = np.eye(VOID + 1, dtype=np.uint8)[scenes[0].classes[1::2, 1::2]] * 255
    for seed in range(8):
        late = seed % 2 == 1
        view = segment.view(replace(scenes[0], soft=sure), RECIPE, late, np.random.default_rng(seed))
        known = view.soft.sum(2, dtype=int) > 200  # not beyond the picture
        assert known.mean() > 0.2
        assert (view.soft.argmax(2) == view.classes)[known].mean() > 0.9


def test_rare_classes_weigh_more(scenes):
    common = Scene("d", np.zeros((300, 300, 3), np.uint8), np.zeros((300, 300), np.uint8))
    weights = segment.class_weights([*scenes, common], RECIPE)
    assert weights.shape == (len(CAMVID),)
    assert weights[0] == weights.min() < weights.max() <= RECIPE.bounds[1]


def test_scores_are_adjusted_by_the_losses_weights():
    state = {"scores.3.bias": torch.zeros(2), "scores.3.weight": torch.ones(2)}
    found = segment.adjusted(state, torch.tensor([1.0, 4.0]))
    torch.testing.assert_close(found["scores.3.bias"], torch.tensor([0.0, -np.log(2.0)], dtype=torch.float32))
    assert found["scores.3.weight"] is state["scores.3.weight"]


def test_all_layers_learn_and_the_first_ones_keep_their_statistics(scenes, tmp_path):
    recipe = replace(RECIPE, steps=2, average=0.0)
    list(segment.train(scenes, tmp_path, recipe, 1, start=zoo.find("fcn-lite0")))
    found = torch.load(tmp_path / segment.CHECKPOINT, weights_only=True)["live"]
    before = segment._initial(scenes, recipe, segment.class_weights(scenes, recipe), zoo.find("fcn-lite0")).state_dict()
    for name in ("stem.0.weight", f"blocks.{STRIDE_4 - 1}.project.0.weight", f"blocks.{STRIDE_4}.project.0.weight"):
        assert not torch.equal(found[name], before[name]), name
    for name, value in before.items():
        if "running" in name:
            early = name.startswith(("stem.", *(f"blocks.{n}." for n in range(STRIDE_4))))
            assert torch.equal(found[name], value) == early, name


def test_a_stopped_run_continues_as_if_it_had_not(scenes, tmp_path):
    whole = [f["loss"] for f in segment.train(scenes, tmp_path / "whole", RECIPE, 1)]
    first = segment.train(scenes, tmp_path / "parts", RECIPE, 1)
    parts = [next(first)["loss"], next(first)["loss"]]
    first.close()
    parts += [f["loss"] for f in segment.train(scenes, tmp_path / "parts", RECIPE, 1)]
    assert parts == pytest.approx(whole, rel=1e-4)
    ends = [torch.load(tmp_path / name / "average.pt", weights_only=True)["model"] for name in ("whole", "parts")]
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, msg=name, atol=1e-4, rtol=1e-3)
    with pytest.raises(CheckpointError, match=r"batch 2 \(now 3\)"):
        next(segment.train(scenes, tmp_path / "parts", replace(RECIPE, batch=3), 1))


def test_a_data_set_is_read_or_refused(tmp_path, scenes):
    for name in ("train", "trainannot"):
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match="no pictures in train"):
        camvid.read(tmp_path, "train")
    cv2.imwrite(str(tmp_path / "train" / "a.png"), scenes[0].image)
    with pytest.raises(DatasetError, match="missing or broken"):
        camvid.read(tmp_path, "train")
    cv2.imwrite(str(tmp_path / "trainannot" / "a.png"), scenes[0].classes)
    [scene] = camvid.read(tmp_path, "train")
    assert scene.name == "a"
    assert np.array_equal(scene.classes, scenes[0].classes)
    cv2.imwrite(str(tmp_path / "trainannot" / "a.png"), scenes[0].classes + 5)
    with pytest.raises(DatasetError, match="a number up to 11"):
        camvid.read(tmp_path, "train")


def test_pictures_without_labels_are_a_folder_or_a_list(tmp_path, scenes):
    (tmp_path / "street" / "more").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "street" / "a.png"), scenes[0].image)
    cv2.imwrite(str(tmp_path / "street" / "more" / "b.jpg"), scenes[1].image)
    (tmp_path / "list.txt").write_text("street/more/b.jpg\n")
    found = camvid.unlabelled(tmp_path / "street", 60)
    assert [scene.name for scene in found] == ["a", "b"]
    assert [scene.name for scene in camvid.unlabelled(tmp_path / "list.txt", 60)] == ["b"]
    for scene in found:
        assert scene.image.shape == (60, 80, 3)
        assert scene.classes.shape == (60, 80)
        assert (scene.classes == VOID).all()
    (tmp_path / "list.txt").write_text("street/c.png\n")
    with pytest.raises(DatasetError, match=r"c.png: it cannot be read as a picture"):
        camvid.unlabelled(tmp_path / "list.txt", 60)
    with pytest.raises(DatasetError, match="no pictures; expected a folder of them, or a text file"):
        camvid.unlabelled(tmp_path / "none", 60)


@pytest.mark.shared
def test_camvid_is_what_it_is_said_to_be(shared):
    assert len(list((shared / "camvid" / "train").iterdir())) == 367
    scenes = camvid.read(shared / "camvid", "val")
    assert len(scenes) == 101
    assert scenes[0].image.shape == (360, 480, 3)


def test_a_run_learns_from_the_network_that_it_starts_from_also_after_a_stop(scenes, tmp_path):
    recipe = replace(RECIPE, steps=2)
    first = segment.train(scenes, tmp_path, recipe, 1, start=zoo.find("fcn-lite0"))
    assert next(first)["soft"] > 0
    first.close()
    assert all(figures["soft"] > 0 for figures in segment.train(scenes, tmp_path, recipe, 1))


def test_a_picture_without_labels_teaches_what_the_first_network_sees(scenes, tmp_path):
    nobody = [replace(scene, classes=np.full_like(scene.classes, VOID)) for scene in scenes]
    [figures] = segment.train(nobody, tmp_path, replace(RECIPE, steps=1), 1, start=zoo.find("fcn-lite0"))
    assert figures["entropy"] == figures["lovasz"] == 0
    assert figures["soft"] > 0
