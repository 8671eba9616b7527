"""The pictures of a recipe's file: whose labels count, and what is named before anything is looked at."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import voc_set
from clips import write_photo
from models_onnx import tiny_detector

from watchline.models.errors import DatasetError
from watchline.ops.voc import VOC
from watchline.train import mixture, recipe_file, yolov2
from watchline.train.datasets import Sample
from watchline.train.recipe_file import Group, Labelling, RecipeFile, Source
from watchline.train.teachers import Labels, Teachers

SHIPPED = Path(__file__).parents[2] / "recipes" / "yolov2-slim.toml"
LIMITS = Labelling(models=("teacher.onnx",))
IMAGE = np.zeros((40, 60, 3), np.uint8)
REAL = Sample(IMAGE, np.array([[1, 1, 11, 11]], np.float32), np.array([14]), np.array([False]))
SEEN = Labels(
    np.array([[0, 0, 10, 10], [20, 20, 30, 30], [40, 0, 50, 10], [0, 30, 10, 40]], np.float32),
    np.array([0.9, 0.45, 0.2, 0.7], np.float32),
    np.array([14, 6, 6, 1]),
)


def test_sure_teachers_label_unsure_ones_ignore_and_real_boxes_win():
    sample, sure = mixture._added(REAL, SEEN, LIMITS)
    assert sample.boxes.tolist() == [[1, 1, 11, 11], [20, 20, 30, 30], [40, 0, 50, 10], [0, 30, 10, 40]]
    assert sample.ignore.tolist() == [False, False, True, False]
    assert sure.tolist() == pytest.approx([1, 0.75, 1 / 3, 1])


def test_where_people_labelled_a_certain_teacher_is_heeded_but_not_believed():
    sample, _ = mixture._overlooked(REAL, SEEN, LIMITS)
    assert sample.boxes.tolist() == [[1, 1, 11, 11], [0, 30, 10, 40]]
    assert sample.ignore.tolist() == [False, True]


def test_large_pictures_are_kept_smaller_with_their_boxes():
    large = Sample(np.zeros((600, 1152, 3), np.uint8), REAL.boxes * 10, REAL.classes, REAL.ignore)
    source = Source(path="a", layout="photos", squashed=1.5, often=2)
    kept = mixture._picture((large, np.ones(1, np.float32)), mixture.NONE_OPEN, source, 1, 0.3)
    assert kept.boxes.tolist() == [[5, 5, 55, 55]]
    assert (kept.group, kept.share, kept.often, kept.squashed) == (1, 0.3, 2, math.log(1.5))
    assert not kept.open.any()


def recipe(*sources):
    return RecipeFile(groups=(Group(name="all", share=1, data=sources),), teachers=LIMITS, train={})


PHOTOS = Source(path="photos", layout="photos", closely=True)


@pytest.fixture
def data(tmp_path):
    onnx.save(tiny_detector(labels=("person", "cat", "dog")), tmp_path / "teacher.onnx")
    voc_set.add(tmp_path / "voc", "a", [("person", 2, 3)])
    voc_set.split(tmp_path / "voc", "train", ["a"])
    write_photo(tmp_path / "photos" / "b.png", voc_set.picture([("person", 5, 1), ("bicycle", 2, 6)]))
    return tmp_path


def test_people_and_teachers_label_together(data):
    voc = Source(path="voc", layout="voc", labelled=True)
    first, second = mixture.gather(recipe(voc, PHOTOS), data, data / "cache")
    assert [VOC[c] for c in first.classes] == ["person"]  # the teacher sees it too, and adds nothing
    assert first.sure.tolist() == [1]
    assert {VOC[c] for c in second.classes[~second.ignore]} == {"person", "cat"}  # what is green is a cat to it


def test_a_missing_set_is_named_before_any_is_looked_at(data, monkeypatch):
    monkeypatch.setattr(Teachers, "look", lambda self, image, closely: pytest.fail("it looks"))
    with pytest.raises(DatasetError, match=r"flickr8k is missing: expected a complete data set"):
        next(mixture.gather(recipe(PHOTOS, Source(path="flickr8k", layout="flickr8k")), data, data / "cache"))


def test_a_stop_while_a_label_is_written_leaves_no_half_of_it(data, monkeypatch):
    looked = []
    look = Teachers.look
    monkeypatch.setattr(Teachers, "look", lambda self, *words: looked.append(1) or look(self, *words))
    save = np.savez

    def stopped(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stopped)
    with pytest.raises(KeyboardInterrupt):
        next(mixture.gather(recipe(PHOTOS), data, data / "cache"))
    monkeypatch.setattr(np, "savez", save)
    boxes = [next(mixture.gather(recipe(PHOTOS), data, data / "cache")).boxes.tolist() for _ in range(2)]
    assert boxes[0] == boxes[1] != []
    assert len(looked) == 2  # once in vain, once for good


def test_the_recipe_that_ships_is_read():
    found = recipe_file.read(SHIPPED)
    assert [(group.name, group.share, len(group.data)) for group in found.groups] == [
        ("photos", 0.40, 2),
        ("street", 0.28, 5),
        ("everyday", 0.32, 1),
    ]
    assert {source.layout for group in found.groups for source in group.data} == set(mixture.LAYOUTS)
    assert recipe_file.applied(found, yolov2.RECIPES["cuda"], SHIPPED).steps == 60_000


GROUP = "[[groups]]\nname = 'a'\nshare = 1\n"
TEACHERS = "[teachers]\nmodels = []\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("groups = [", "it is not a recipe in TOML"),
        ("groups = 3", "it is not a recipe in TOML"),
        (TEACHERS + GROUP.replace("share", "chance"), "Group: unknown setting 'chance'"),
        (TEACHERS + GROUP.replace("1", "2"), "Group: share is 2: expected less than or equal to 1"),
        (TEACHERS + GROUP + "[[groups.data]]\npath = 'b'\nlayout = 'vco'\n", "Source: layout is 'vco': expected 'voc'"),
        (TEACHERS + "keep = 2\n", "Labelling: keep is 2"),
        (TEACHERS + "[training]\nsteps = 3\n", "RecipeFile: unknown setting 'training': did you mean 'train'?"),
        (TEACHERS + "[train]\nstep = 3\n", "[train]: unknown setting 'step': did you mean 'steps'?"),
        ("[train]\nsteps = 2.5\n", "[train]: steps is 2.5: expected something like 60000"),
        ("[train]\nlr_head = 'much'\n", "[train]: lr_head is 'much': expected something like 0.0008"),
        ("[train]\nsizes = [320]\n", "[train]: sizes is [320]: expected something like (320, 352, 416, 480)"),
        ("[train]\nviews = 3\n", "[train]: unknown setting 'views'"),
        ("[train]\nsave_every = 3\n", "[train]: unknown setting 'save_every'"),
        ("[train]\nbatch = 0\n", "[train]: batch is 0: expected something like 16"),
        ("[train]\nseed = -1\n", "[train]: seed is -1: expected something like 0"),
        ("[train]\nlr_head = nan\n", "[train]: lr_head is nan: expected something like 0.0008"),
        ("[train]\nfrozen = true\n", "[train]: frozen is True: expected something like 3"),
    ],
)
def test_a_recipe_that_cannot_be_is_named(tmp_path, text, says):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(DatasetError) as caught:
        recipe_file.applied(recipe_file.read(file), yolov2.Recipe(), file)
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)


def test_a_recipe_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.toml: it cannot be read"):
        recipe_file.read(tmp_path / "none.toml")
