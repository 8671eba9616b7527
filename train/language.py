"""The recipe of language models: `watchline train lstm --data TEXT --out DIR`; also `rnn` and `deep-rnn`.

The text is cut into parts that are read side by side. A step reads the next characters of each part, and the states
after it are where the next step begins; the gradient goes back to the step's first character only (truncated
backpropagation through time). Adam with half a cosine. At steps whose numbers double, the model is measured on the last
tenth of the text and writes a sample, as the lecture shows it.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.export.digest import sha256
from watchline.export.pytorch import language as exporter
from watchline.files import write_complete
from watchline.models.errors import CheckpointError
from watchline.models.language import LanguageModel, next_loss
from watchline.models.rnn import State
from watchline.ops.sampling import draw
from watchline.train import checkpoint
from watchline.train.text import Text, streams

CHECKPOINT, MODEL, STAGES = "checkpoint.pt", "model.onnx", "stages.jsonl"
FIRST = 16  # step of the first stage; each later one is twice as late
SAMPLE, TEMPERATURE = 300, 0.8  # characters of a stage's sample
PARTS = 64  # of the text that is measured on, read side by side
Figures = dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        kind: a key of KINDS.
        hidden: length of a layer's features.
        steps: optimizer steps.
        batch: parts of the text that are read side by side.
        length: characters of a step, of each part.
        rate: of Adam, which rises for `warmup` steps and falls along half a cosine to a hundredth.
        clip: largest norm of the gradient: it may explode.
        dropout: of the last features.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    kind: str = "lstm"
    hidden: int = 256
    steps: int = 5000
    batch: int = 32
    length: int = 64
    rate: float = 8e-3
    warmup: int = 100
    clip: float = 1.0
    dropout: float = 0.2
    save_every: int = 200
    seed: int = 0


class Settings(Protocol):
    """What of a recipe the schedule reads. Attributes: steps; warmup, steps in which the rate rises."""

    @property
    def steps(self) -> int: ...

    @property
    def warmup(self) -> int: ...


@dataclass
class Run:
    """The state of a run, which every step changes.

    Attributes:
        states: of the network, where the parts were last read.
        stages: what was measured so far: step, bits per character, a sample.
    """

    model: LanguageModel
    optimizer: torch.optim.Optimizer
    states: list[State]
    step: int = 0
    stages: list[dict[str, Any]] = field(default_factory=list)


def least(recipe: Recipe) -> int:
    """Characters that a text must have to learn from."""
    return recipe.batch * (recipe.length + 1)


def train(text: Text, out: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]) -> Iterator[Figures]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step: `bits` per character.

    Beside the checkpoint are `stages.jsonl` and, at the end, `model.onnx`, which `watchline write` takes.

    Args:
        text: what to learn, and to measure on.
        out: folder of the checkpoint.
        recipe: settings.
        threads: of PyTorch.
        tell: hears a line after each stage.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe or text, or a broken one; or cannot be written.
    """
    torch.set_num_threads(threads)
    checkpoint.make_folder(out)
    run = _begin(text, out / CHECKPOINT, recipe)
    parts = torch.from_numpy(streams(text.learn, recipe.batch))
    while run.step < recipe.steps:
        began = time.perf_counter()
        loss = step(run, parts, recipe)
        run.step += 1
        yield {"step": run.step, "bits": loss / math.log(2), "seconds": time.perf_counter() - began}
        staged = is_stage(run.step, recipe)
        if staged:
            run.stages.append(stage(run, text))
            tell(f"step {run.step}: {run.stages[-1]['bits']:.3f} bits per character on the last tenth")
        if staged or run.step % recipe.save_every == 0:
            _save(run, out, recipe)
    export(run, out)


def is_stage(number: int, recipe: Recipe) -> bool:
    """Whether the model is measured after this step: 16, 32, 64, … and the last."""
    ratio, rest = divmod(number, FIRST)
    return number == recipe.steps or (rest == 0 and ratio & (ratio - 1) == 0)


def step(run: Run, parts: Tensor, recipe: Recipe) -> float:
    """One step; what it reads follows from its number. Returns the loss in nats. Args: parts (batch, n) int64."""
    steps_per_epoch = (parts.shape[1] - 1) // recipe.length
    first = run.step % steps_per_epoch * recipe.length
    if first == 0:  # another part of the text begins: nothing came before
        run.states = run.model.zeros(len(parts))
    torch.manual_seed(recipe.seed * 1_000_003 + run.step)  # of the dropout
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.rate * schedule(run.step, recipe)
    run.model.train()
    loss, states = next_loss(run.model, parts[:, first : first + recipe.length + 1], run.states)
    run.states = [tuple(tensor.detach() for tensor in state) for state in states]
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip)
    run.optimizer.step()
    return float(loss.detach())


def schedule(number: int, recipe: Settings) -> float:
    """The rate's share: a linear rise, then half a cosine down to a hundredth."""
    return min(1.0, (number + 1) / recipe.warmup) * (0.01 + 0.99 * (1 + math.cos(math.pi * number / recipe.steps)) / 2)


@torch.no_grad()
def bits_per_character(model: LanguageModel, numbers: NDArray[np.int64], length: int = 64) -> float:
    """The mean of -log2 P(next character): how many bits an ideal code needs for one.

    The text is read as some parts side by side, each from its own beginning on, where nothing is known of the past.
    """
    model.eval()
    parts = torch.from_numpy(streams(numbers, max(1, min(PARTS, len(numbers) // (2 * length)))))
    states, nats, count = model.zeros(len(parts)), 0.0, 0
    for first in range(0, parts.shape[1] - 1, length):
        piece = parts[:, first : first + length + 1]
        loss, states = next_loss(model, piece, states)
        nats += float(loss) * (piece.shape[1] - 1)
        count += piece.shape[1] - 1
    return nats / count / math.log(2)


def stage(run: Run, text: Text) -> dict[str, Any]:
    """What the model can do now."""
    bits = bits_per_character(run.model, text.measure)
    return {"step": run.step, "bits": round(bits, 4), "sample": sample(run.model, SAMPLE)}


@torch.no_grad()
def sample(model: LanguageModel, length: int, seed: int = 0) -> str:
    """A text that the model writes, from its first character on, the newline in most texts."""
    model.eval()
    random = np.random.default_rng(seed)
    states, number, written = model.zeros(1), 0, []
    for _ in range(length):
        logits, states = model(torch.tensor([[number]]), states)
        number = draw(logits[0, 0].numpy(), TEMPERATURE, random)
        written.append(model.characters[number])
    return "".join(written)


def export(run: Run, out: Path) -> None:
    """Write `model.onnx`. Raises CheckpointError: it cannot be written."""
    figures = {"bits per character on the last tenth": run.stages[-1]["bits"]}
    model = exporter.export(run.model, out.absolute().name, sha256(out / CHECKPOINT), figures)
    try:
        write_complete(out / MODEL, model.SerializeToString())
    except OSError as error:
        raise CheckpointError(f"{out / MODEL} cannot be written: {error.strerror}; make room, then resume") from error


def _begin(text: Text, file: Path, recipe: Recipe) -> Run:
    torch.manual_seed(recipe.seed)
    model = LanguageModel(text.characters, recipe.kind, recipe.hidden, recipe.dropout)
    run = Run(model, torch.optim.Adam(model.parameters(), lr=recipe.rate), model.zeros(recipe.batch))
    if file.exists():
        saved = checkpoint.read(file)
        checkpoint.check_recipe(file, saved, json.dumps(asdict(recipe)))
        if not torch.equal(saved["model"]["letters"], model.letters):
            raise CheckpointError(f"{file} was begun with another text: name another --out")
        model.load_state_dict(saved["model"])
        run.optimizer.load_state_dict(saved["optimizer"])
        run.states, run.step, run.stages = saved["states"], saved["step"], json.loads(saved["stages"])
    return run


def _save(run: Run, out: Path, recipe: Recipe) -> None:
    stages = json.dumps(run.stages)
    state = {"model": run.model.state_dict(), "optimizer": run.optimizer.state_dict(), "states": run.states}
    recipes = json.dumps(asdict(recipe))
    checkpoint.write(out / CHECKPOINT, {**state, "step": run.step, "stages": stages, "recipe": recipes})
    try:
        write_complete(out / STAGES, "".join(json.dumps(row) + "\n" for row in run.stages).encode())
    except OSError as error:
        raise CheckpointError(f"{out / STAGES} cannot be written: {error.strerror}; make room, then resume") from error
