"""A recipe as a file (recipes/): settings of a model's training; of YOLOv2 also groups of data sets with their shares,
and the networks that label them.
"""

import math
import tomllib
from dataclasses import fields, replace
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from watchline.errors import SettingsError, unknown
from watchline.models.errors import DatasetError
from watchline.settings import settings

Share = Annotated[float, Field(ge=0, le=1)]
LayoutName = Literal["voc", "coco-yolo", "kitti-cyclists", "penn-fudan", "photos", "video", "flickr8k"]
MOST_BYTES = 1 << 20
MAY_BE_NONE = ("seed", "warmup", "frozen", "reward_epochs")  # whole numbers that may be 0
R = TypeVar("R")


@settings
class Source:
    """A data set.

    Attributes:
        path: relative to the folder of all data.
        layout: how it is read (`mixture.LAYOUTS`).
        split: name of its list of pictures, where the layout has several.
        every: of a video, only each n-th frame.
        labelled: people have drawn the boxes of all objects.
        closely: the teachers see enlarged parts too.
        often: factor on the probability within the group.
        squashed: factor by which the aspect ratio may have been changed.
    """

    path: str
    layout: LayoutName
    split: str = "train"
    every: Annotated[int, Field(ge=1)] = 1
    labelled: bool = False
    closely: bool = False
    often: Annotated[float, Field(gt=0)] = 1.0
    squashed: Annotated[float, Field(ge=1)] = 1.0


@settings
class Group:
    """Data sets that are drawn together. Attributes: name; share, of the pictures that are drawn; data."""

    name: str
    share: Share
    data: tuple[Source, ...]


@settings
class Labelling:
    """The networks that label, and what their boxes count as.

    Attributes:
        models: ONNX files, relative to the folder of all data.
        keep: a box with this score is a label.
        ignore: one with this score is ignored.
        certain: score from which a label counts as much as a person's.
        overlooked: score from which a box that people did not draw may still be right.
    """

    models: tuple[str, ...] = ()
    keep: Share = 0.30
    ignore: Share = 0.18
    certain: Annotated[float, Field(gt=0, le=1)] = 0.6
    overlooked: Share = 0.5


@settings
class RecipeFile:
    """A recipe. Attributes: groups; teachers; train, settings of the model's recipe, numbers or lists of them."""

    groups: tuple[Group, ...]
    teachers: Labelling
    train: dict[str, Any]


def read(file: Path) -> RecipeFile:
    """Read a recipe. Raises DatasetError: it is missing or broken, or a setting is unknown or cannot be."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DatasetError(f"{file}: it has more than {MOST_BYTES} bytes: expected a recipe in TOML")
        loaded = tomllib.loads(content.decode())
        return RecipeFile(
            groups=tuple(_group(one) for one in loaded.pop("groups", [])),
            teachers=Labelling(**loaded.pop("teachers", {})),
            train=loaded.pop("train", {}),
            **loaded,
        )
    except OSError as error:
        raise DatasetError(f"{file}: it cannot be read ({error.strerror}): expected a recipe in TOML") from error
    except (ValueError, TypeError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        what = str(error) if isinstance(error, SettingsError) else f"it is not a recipe in TOML ({error})"
        raise DatasetError(f"{file}: {what}") from error


def _group(table: dict[str, Any]) -> Group:
    data = tuple(Source(**one) for one in table.pop("data", []))
    return Group(data=data, **table)


def applied(file: RecipeFile, recipe: R, path: Path) -> R:
    """A model's recipe with the file's settings.

    Raises DatasetError: there is no such setting, or its value is not like the recipe's own.
    """
    own = {field.name: getattr(recipe, field.name) for field in fields(recipe)}  # type: ignore[arg-type]
    known = {
        name: value
        for name, value in own.items()
        if (_is_number(value) or isinstance(value, tuple)) and name != "save_every"  # which changes no result
    }
    for name, value in file.train.items():
        if name not in known:
            raise DatasetError(f"{path}: [train]: {unknown('setting', name, known)}")
        if not _is_like(value, known[name], 0 if name in MAY_BE_NONE else 1):
            raise DatasetError(f"{path}: [train]: {name} is {value!r}: expected something like {known[name]!r}")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in file.train.items()}
    return replace(recipe, **given)  # type: ignore[type-var]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_like(value: object, own: object, least: int) -> bool:
    """A list of as many numbers, a whole number from `least` on, or a number from 0 on."""
    if isinstance(own, tuple):
        return isinstance(value, list) and len(value) == len(own) and all(map(_is_like, value, own, repeat(least)))
    if isinstance(own, float):
        return isinstance(value, int | float) and _is_number(value) and 0 <= value < math.inf
    return isinstance(value, int) and _is_number(value) and value >= least
