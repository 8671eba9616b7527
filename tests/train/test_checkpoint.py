"""The file that a training goes on from, on a disk that is full and with another recipe."""

import json
from pathlib import Path

import pytest
import torch

from watchline.models.errors import CheckpointError
from watchline.train import checkpoint


def test_a_full_disk_leaves_the_old_checkpoint(small_disk):
    file = small_disk("256k") / "checkpoint.pt"
    checkpoint.write(file, {"step": 1, "weights": torch.zeros(9)})
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt cannot be written: .*; the earlier checkpoint is kept"):
        checkpoint.write(file, {"step": 2, "weights": torch.zeros(10**6)})
    assert checkpoint.read(file)["step"] == 1
    assert [path.name for path in file.parent.iterdir()] == ["checkpoint.pt"]


def test_a_folder_that_cannot_be_made_is_named():
    with pytest.raises(CheckpointError, match=r"/proc/run: the folder cannot be made \(.*\); name another --out"):
        checkpoint.make_folder(Path("/proc/run"))


def test_of_another_recipe_it_names_what_differs(tmp_path):
    begun, now = {"steps": 3, "batch": 8}, {"steps": 5, "batch": 8}
    checkpoint.check_recipe(tmp_path, {"recipe": json.dumps(begun)}, json.dumps(begun))
    with pytest.raises(CheckpointError, match=r"started with another recipe: steps 3 \(now 5\); a run keeps"):
        checkpoint.check_recipe(tmp_path, {"recipe": json.dumps(begun)}, json.dumps(now))
    with pytest.raises(CheckpointError, match=r"batch None \(now 8\), steps None \(now 5\)"):
        checkpoint.check_recipe(tmp_path, {}, json.dumps(now))
