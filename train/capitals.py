"""The recipe of the tagger: `watchline train bidirectional-rnn --data TEXT --out DIR`.

A bidirectional network sees the character that a language model should predict, so it cannot write. It tags: which
letters of the text in lower case were capitals. Windows are drawn at random; Adam with half a cosine, as in
`train/language.py`. It is measured on the last tenth of the text.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.models.errors import CheckpointError
from watchline.models.tagger import Tagger, bidirectional, tag_loss
from watchline.train import checkpoint
from watchline.train.language import Figures, schedule
from watchline.train.text import Text

CHECKPOINT = "checkpoint.pt"
OVERLAP = 32  # characters that a window's ends are read with, but not measured on


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        hidden: length of the features of each direction.
        steps: optimizer steps.
        batch: windows of a step.
        length: characters of a window.
        rate, warmup, clip, save_every, seed: as in `language.Recipe`.
    """

    hidden: int = 128
    steps: int = 2000
    batch: int = 32
    length: int = 64
    rate: float = 2e-3
    warmup: int = 100
    clip: float = 1.0
    save_every: int = 200
    seed: int = 0


class Task(NamedTuple):
    """What is read, and what should come out.

    Attributes:
        characters: those of the text in lower case.
        numbers: (n,) int64, the text in lower case.
        capitals: (n,) bool, which letters were capitals.
    """

    characters: str
    numbers: Tensor
    capitals: Tensor


class Found(NamedTuple):
    """How well capitals are found. Attributes: precision, recall, f1, in 0..1."""

    precision: float
    recall: float
    f1: float


def task(text: Text, numbers: NDArray[np.int64]) -> Task:
    """The task of a part of a text. A capital that becomes two letters in lower case stays as it is."""
    lower = [c.lower() if len(c.lower()) == 1 else c for c in text.characters]
    known = "".join(sorted(set(lower)))
    place = np.array([known.index(c) for c in lower])
    capital = np.array([low != c for low, c in zip(lower, text.characters, strict=True)])
    return Task(known, torch.from_numpy(place[numbers]), torch.from_numpy(capital[numbers]))


def least(recipe: Recipe) -> int:
    """Characters that a text must have to learn from."""
    return recipe.batch * (recipe.length + 1)


def train(
    text: Text, out: Path, recipe: Recipe, threads: int, build: Callable[[int, int], Tagger] = bidirectional
) -> Iterator[Figures]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step: `bits` per character.

    Args:
        build: makes the network for so many characters and features.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe or text, or a broken one; or cannot be written.
    """
    torch.set_num_threads(threads)
    checkpoint.make_folder(out)
    learn = task(text, text.learn)
    torch.manual_seed(recipe.seed)
    model = build(len(learn.characters), recipe.hidden)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate)
    number = _resumed(out / CHECKPOINT, model, optimizer, recipe, learn.characters)
    while number < recipe.steps:
        began = time.perf_counter()
        loss = step(model, optimizer, learn, recipe, number)
        number += 1
        yield {"step": number, "bits": loss / math.log(2), "seconds": time.perf_counter() - began}
        if number % recipe.save_every == 0 or number == recipe.steps:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "characters": learn.characters}
            checkpoint.write(out / CHECKPOINT, {**state, "step": number, "recipe": json.dumps(asdict(recipe))})


def step(model: Tagger, optimizer: torch.optim.Optimizer, learn: Task, recipe: Recipe, number: int) -> float:
    """One step; its windows follow from seed and number. Returns the loss in nats."""
    random = np.random.default_rng([recipe.seed, number])
    firsts = random.integers(0, len(learn.numbers) - recipe.length, recipe.batch)
    places = torch.from_numpy(firsts[:, None] + np.arange(recipe.length))
    for group in optimizer.param_groups:
        group["lr"] = recipe.rate * schedule(number, recipe)
    loss = tag_loss(model(learn.numbers[places]), learn.capitals[places])
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def tagged(model: Tagger, numbers: Tensor, length: int = 512) -> Tensor:
    """(n,) bool, where the model puts capitals: what is likelier than not. Windows overlap, so no end counts."""
    found = [
        model(numbers[None, max(0, first - OVERLAP) : first + length + OVERLAP])[0][min(first, OVERLAP) :][:length] > 0
        for first in range(0, len(numbers), length)
    ]
    return torch.cat(found)


def found(model: Tagger, measured: Task) -> Found:
    """Precision, recall and F1 of the capitals of a text."""
    said = tagged(model, measured.numbers)
    right = int((said & measured.capitals).sum())
    precision, recall = right / max(1, int(said.sum())), right / max(1, int(measured.capitals.sum()))
    return Found(precision, recall, 2 * precision * recall / max(1e-9, precision + recall))


def load(out: Path, text: Text, recipe: Recipe, build: Callable[[int, int], Tagger] = bidirectional) -> Tagger:
    """The network of a run. Raises CheckpointError: there is none, or it is of another recipe or text."""
    characters = task(text, text.learn).characters
    model = build(len(characters), recipe.hidden)
    _resumed(out / CHECKPOINT, model, torch.optim.Adam(model.parameters()), recipe, characters)
    return model.eval()


def restored(text: Text, numbers: Tensor, capitals: Tensor) -> str:
    """A text in lower case with these capitals. Args: numbers (n,) of the task's characters; capitals (n,) bool."""
    characters = task(text, text.measure).characters
    letters = [characters[number] for number in numbers.tolist()]
    return "".join(c.upper() if up else c for c, up in zip(letters, capitals.tolist(), strict=True))


def _resumed(file: Path, model: Tagger, optimizer: torch.optim.Optimizer, recipe: Recipe, characters: str) -> int:
    """The step that the checkpoint has come to, 0 if there is none."""
    if not file.exists():
        return 0
    saved = checkpoint.read(file)
    checkpoint.check_recipe(file, saved, json.dumps(asdict(recipe)))
    if saved["characters"] != characters:
        raise CheckpointError(f"{file} was begun with another text: name another --out")
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return int(saved["step"])
