"""The file that a training resumes from: weights, optimizer and step."""

import json
from pathlib import Path
from typing import Any

import torch

from watchline.engines.checked import first_line
from watchline.files import replacing
from watchline.models.errors import CheckpointError


def make_folder(out: Path) -> None:
    """Create the folder. Raises CheckpointError: it cannot be created."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"{out}: the folder cannot be made ({error.strerror}); name another --out") from error


def read(file: Path, instead: str = "move it away, or name another --out") -> dict[str, Any]:
    """Read a checkpoint. Raises CheckpointError: the file is not one; `instead` says what to do then."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the loader may raise anything on a broken file
        raise CheckpointError(f"{file} is broken or not a checkpoint: {instead}") from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file} holds a {type(saved).__name__}, not a checkpoint: {instead}")
    return saved


def check_recipe(file: Path, saved: dict[str, Any], recipe: str) -> None:
    """Raises CheckpointError: the run was started with another recipe (both are JSON); the error names what differs."""
    now = json.loads(recipe)
    try:
        begun = dict(json.loads(saved["recipe"]))
    except (KeyError, TypeError, ValueError):
        begun = {}
    names = sorted(name for name in begun.keys() | now.keys() if begun.get(name) != now.get(name))
    if not names:
        return
    differ = ", ".join(f"{name} {begun.get(name)} (now {now.get(name)})" for name in names)
    raise CheckpointError(
        f"{file} was started with another recipe: {differ}; a run keeps its schedule to the end: "
        "continue with that recipe, or name another --out"
    )


def check_names(file: Path, saved: dict[str, Any], names: str) -> None:
    """Raises CheckpointError: the run was started with other classes (both are JSON lists)."""
    if saved.get("names") not in (None, names):
        begun, now = (set(json.loads(text)) for text in (saved["names"], names))
        differ = ", ".join(sorted(begun ^ now)) or "their order"
        raise CheckpointError(
            f"{file} was started with other classes, which differ in {differ}; continue with that data, or name "
            "another --out"
        )


def write(file: Path, state: dict[str, Any]) -> None:
    """An interrupted write leaves the old checkpoint intact.

    Raises CheckpointError: it cannot be written.
    """
    try:
        with replacing(file) as part:
            torch.save(state, part)
    except (OSError, RuntimeError) as error:  # torch raises a RuntimeError when the disk is full
        raise CheckpointError(
            f"{file} cannot be written: {first_line(error)}; the earlier checkpoint is kept"
        ) from error
