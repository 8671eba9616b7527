"""The file that a training goes on from: weights, optimizer and step."""

import json
from pathlib import Path
from typing import Any

import torch

from watchline.engines.checked import first_line
from watchline.models.errors import CheckpointError


def make_folder(out: Path) -> None:
    """Raises CheckpointError: it cannot be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{out}: the folder cannot be made ({error.strerror}); name another --out") from error


def read(file: Path, instead: str = "move it away, or name another --out") -> dict[str, Any]:
    """What was written. Raises CheckpointError: the file is broken or something else; `instead`, what to do then."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # there is no telling what a broken file makes of the loader
        raise CheckpointError(f"{file} is broken or no checkpoint: {instead}") from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file} holds a {type(saved).__name__} and no checkpoint: {instead}")
    return saved


def check_recipe(file: Path, saved: dict[str, Any], recipe: str) -> None:
    """Raises CheckpointError, naming what differs: the run was begun with another recipe (both are JSON)."""
    if saved.get("recipe") == recipe:
        return
    now = json.loads(recipe)
    try:
        begun = dict(json.loads(saved["recipe"]))
    except (KeyError, TypeError, ValueError):
        begun = {}
    names = sorted(name for name in begun.keys() | now.keys() if begun.get(name) != now.get(name))
    differ = ", ".join(f"{name} {begun.get(name)} (now {now.get(name)})" for name in names)
    raise CheckpointError(
        f"{file} was begun with another recipe: {differ}; a run keeps its schedule to the end: "
        "go on with that one, or name another --out"
    )


def write(file: Path, state: dict[str, Any]) -> None:
    """Write beside the file, then rename: a stop in the middle leaves the old checkpoint whole.

    Raises CheckpointError: it cannot be written.
    """
    fresh = file.with_suffix(".new")
    try:
        torch.save(state, fresh)
        fresh.replace(file)
    except (OSError, RuntimeError) as error:  # torch has the latter for a full disk
        fresh.unlink(missing_ok=True)
        raise CheckpointError(
            f"{file} cannot be written: {first_line(error)}; what was there before is left"
        ) from error
