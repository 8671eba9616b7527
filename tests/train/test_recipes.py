"""The recipes that come with the source: each says its command, and its settings are those of that model's recipe."""

import re
import shlex
from pathlib import Path

import pytest

from watchline.train import (
    captions,
    fixed_size,
    language,
    localizer,
    mask_rcnn,
    overfeat,
    rcnn,
    recipe_file,
    region_recipe,
    segment,
    vqa,
    yolov2,
)

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = {
    "rcnn": rcnn.Recipe(),
    "fast-rcnn": region_recipe.Recipe(),
    "ssd": fixed_size.recipe_of("ssd", 300),
    "vqa": vqa.Recipe(),
    "yolov2": yolov2.RECIPES["cpu"],
    "mask-rcnn": mask_rcnn.Recipe(),
    "segmenter": segment.Recipe(),
    "captioner": captions.Recipe(),
    "lstm": language.Recipe(),
    "localizer": localizer.Recipe(),
    "overfeat": overfeat.Recipe(),
}


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda file: file.stem)
def test_a_recipe_says_its_command_and_fits_its_model(file):
    comment = " ".join(re.findall(r"^# (.*)$", file.read_text().partition("[")[0], re.MULTILINE))
    words = shlex.split(comment[comment.index("watchline train") :].partition("--out")[0])
    assert words[3:5] == ["--recipe", f"recipes/{file.name}"]
    found = recipe_file.read(file)
    recipe = recipe_file.applied(found, RECIPES[words[2]], file)
    assert {name: getattr(recipe, name) for name in found.train} == {
        name: tuple(value) if isinstance(value, list) else value for name, value in found.train.items()
    }
