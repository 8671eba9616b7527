"""The file that a training goes on from: weights, optimizer and step."""

from pathlib import Path
from typing import Any

import torch

from watchline.models.errors import CheckpointError


def read(file: Path) -> dict[str, Any]:
    """What was written. Raises CheckpointError: the file is broken or something else."""
    try:
        saved = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # there is no telling what a broken file makes of the loader
        raise CheckpointError(f"{file} is broken or no checkpoint: move it away, or name another --out") from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file} holds a {type(saved).__name__} and no checkpoint: name another --out")
    return saved


def write(file: Path, state: dict[str, Any]) -> None:
    """Write beside the file, then rename: a stop in the middle leaves the old checkpoint whole."""
    fresh = file.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(file)
