"""Small language models for tests: with random weights, exported as they are after a training."""

from pathlib import Path

import torch

from watchline.export.pytorch.language import export
from watchline.models.language import LanguageModel

CHARACTERS = "\n :EMORabr"


def net(kind: str = "lstm", hidden: int = 6, characters: str = CHARACTERS) -> LanguageModel:
    """A model whose next characters are not alike in probability."""
    torch.manual_seed(0)
    model = LanguageModel(characters, kind, hidden).eval()
    with torch.no_grad():
        model.output.weight.mul_(8)
    return model


def saved(file: Path, kind: str = "lstm") -> Path:
    """Its file."""
    file.write_bytes(export(net(kind), file.stem, "0" * 64, {"bits per character": 2.5}).SerializeToString())
    return file
