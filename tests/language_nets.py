"""Small language models for tests, with random weights."""

import torch

from watchline.models.language import LanguageModel

CHARACTERS = "\n :EMORabr"


def net(kind: str = "lstm", hidden: int = 6, characters: str = CHARACTERS) -> LanguageModel:
    """A model whose next characters are not alike in probability."""
    torch.manual_seed(0)
    model = LanguageModel(characters, kind, hidden).eval()
    with torch.no_grad():
        model.output.weight.mul_(8)
    return model
