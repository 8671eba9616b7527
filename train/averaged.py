"""What the recipes share that keep an average of the weights: AdamW in groups, the schedule, the state of a run.

A run has a number of steps, or a number of minutes, and the schedule follows it.
"""

import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)


class Settings(Protocol):
    """What of a recipe is read here.

    Attributes:
        steps: optimizer steps.
        minutes: wall-clock time instead of `steps`, if not 0.
        warmup: steps in which the rates rise linearly.
        lr_backbone, lr_head, decay: of AdamW; `decay` applies to kernels only.
    """

    @property
    def steps(self) -> int: ...

    @property
    def minutes(self) -> float: ...

    @property
    def warmup(self) -> int: ...

    @property
    def lr_backbone(self) -> float: ...

    @property
    def lr_head(self) -> float: ...

    @property
    def decay(self) -> float: ...


@dataclass
class Run(Generic[N]):
    """The state of a run, which every step changes."""

    model: N
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0

    def progress(self, recipe: Settings) -> float:
        """The share of the run that is done: of its minutes, or of its steps."""
        return self.seconds / (60 * recipe.minutes) if recipe.minutes else self.step / recipe.steps


def schedule(step: int, done: float, recipe: Settings) -> float:
    """The factor on the learning rate: a linear rise in the first steps, half a cosine down to 1 % over the run."""
    return min(1.0, (step + 1) / recipe.warmup) * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def optimizer_of(model: nn.Module, backbone: str | tuple[str, ...], recipe: Settings) -> torch.optim.AdamW:
    """AdamW on what learns, in four groups: backbone and head, with weight decay on kernels and without on the rest.

    Args:
        backbone: how the names of the backbone's parameters begin, one or several ways.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((name.startswith(backbone), p.ndim > 1), []).append(p)
    return torch.optim.AdamW(
        [
            {
                "params": members,
                "lr": (rate := recipe.lr_backbone if of_backbone else recipe.lr_head),
                "initial_lr": rate,
                "weight_decay": recipe.decay if kernels else 0.0,
            }
            for (of_backbone, kernels), members in groups.items()
        ]
    )


def blend(average: dict[str, Tensor], live: dict[str, Tensor], decay: float) -> None:
    """Move the average towards the live weights by 1 - decay. Counters are copied."""
    names = [name for name, value in live.items() if value.is_floating_point()]
    torch._foreach_lerp_([average[n] for n in names], [live[n] for n in names], 1 - decay)
    for name in live.keys() - set(names):
        average[name].copy_(live[name])
