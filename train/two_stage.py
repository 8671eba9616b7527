"""What the recipes of two-stage detectors share: what stays frozen, and the loop over the steps, also that of heads.

Random numbers of a step depend only on the seed and the step, so a run that was stopped continues as if it had not been
stopped.
"""

import json
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.errors import CheckpointError
from watchline.train import checkpoint
from watchline.train.averaged import blend

B = TypeVar("B")
CHECKPOINT = "checkpoint.pt"


def freeze(model: nn.Module, early: Iterable[nn.Module]) -> None:
    """Freeze the first layers, and all batch statistics: a step has too few pictures for statistics of its own."""
    model.train()
    for part in early:
        part.requires_grad_(False)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


def run(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    out: Path,
    recipe: Any,
    about: dict[str, str],
    batch_of: Callable[[int], B],
    losses_of: Callable[[B], dict[str, Tensor]],
    factor: Callable[[int], float],
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    The checkpoint has the averaged weights under "model", and everything that the next step needs. It is written every
    `save_every` steps, before the figures of the step are yielded, and when the generator is closed.

    Args:
        optimizer: its groups have the rates that `factor` multiplies.
        recipe: a dataclass with steps, clip, average, save_every and seed; it is saved in the checkpoint.
        about: what else a run must have in common with its checkpoint, such as the network; "names", the classes' as
            JSON.
        batch_of: the batch of a step, which is drawn while the step before is computed.
        losses_of: of a batch, by name; "loss" is their sum.
        factor: on the learning rates, of a step.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or network, or a broken one.
    """
    file = out / CHECKPOINT
    rates = [group["lr"] for group in optimizer.param_groups]
    about = {**about, "recipe": json.dumps(asdict(recipe))}
    if file.is_file():
        step, average = _resume(file, about, model, optimizer)
    else:
        step, average = 0, {name: value.clone() for name, value in model.state_dict().items()}
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch_of, step)
        while step < recipe.steps:
            started = time.perf_counter()
            batch = coming.result()
            coming = ahead.submit(batch_of, step + 1)
            seed = np.random.SeedSequence([recipe.seed, 2, step])
            torch.manual_seed(int(seed.generate_state(1)[0]))  # for the mini-batches and dropout
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor(step)
            losses = losses_of(batch)
            optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            step += 1
            blend(average, model.state_dict(), min(recipe.average, (1 + step) / (10 + step)))
            if saved := step % recipe.save_every == 0 or step == recipe.steps:
                _save(file, about, average, model, optimizer, step)
            figures = {key: float(value.detach()) for key, value in losses.items()}
            try:
                yield {"step": step, **figures, "seconds": time.perf_counter() - started}
            except GeneratorExit:
                if not saved:
                    _save(file, about, average, model, optimizer, step)
                raise


def is_over(out: Path, recipe: Any, about: dict[str, str]) -> bool:
    """Whether `out/checkpoint.pt` is of the last step of such a run. Raises CheckpointError: it is a broken one."""
    if not (out / CHECKPOINT).is_file():
        return False
    saved = checkpoint.read(out / CHECKPOINT)
    same = {**about, "recipe": json.dumps(asdict(recipe))}
    return saved.get("step") == recipe.steps and all(saved.get(name) == value for name, value in same.items())


def _save(
    file: Path,
    about: dict[str, str],
    average: dict[str, Tensor],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
) -> None:
    state = {"model": average, "live": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    checkpoint.write(file, {**about, **state})


def _resume(
    file: Path, about: dict[str, str], model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, Tensor]]:
    """Load a checkpoint. Returns its step and the averaged weights, on the devices of the model's."""
    saved = checkpoint.read(file)
    if "names" in about:
        checkpoint.check_names(file, saved, about["names"])
    for key in about.keys() - {"recipe", "names"}:
        if saved.get(key) != about[key]:
            raise CheckpointError(
                f"{file} was started with another {key}, {saved.get(key)}: use it instead of {about[key]}, "
                "or another --out"
            )
    checkpoint.check_recipe(file, saved, about["recipe"])
    model.load_state_dict(saved["live"])
    optimizer.load_state_dict(saved["optimizer"])
    average = {name: saved["model"][name].to(value.device) for name, value in model.state_dict().items()}
    return int(saved["step"]), average
