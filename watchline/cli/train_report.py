"""What the models of `watchline train` have in common: the settings that were given, the lines about steps."""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from watchline.train.recipe_file import RecipeFile

R = TypeVar("R")
BASICS = ("steps", "batch", "seed")  # of a recipe that follows the data
EVERY = 20  # steps between lines


def asked(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those settings of a recipe that were given."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def settled(options: argparse.Namespace, recipe: R, *names: str) -> R:
    """The recipe with the settings of --recipe's file, and with those settings that were given.

    Raises:
        DatasetError: the file is missing, or does not fit the recipe.
    """
    from watchline.train import recipe_file

    if options.recipe:
        recipe = recipe_file.applied(_read(options), recipe, options.recipe)
    return replace(recipe, **asked(options, *names))  # type: ignore[type-var]


def settled_for(options: argparse.Namespace, base: R, recipe_for: Callable[..., R], *names: str) -> R:
    """The recipe that follows the data: the steps, batch and seed of --recipe's file go into it as the options do, the
    file's other settings replace what comes out.

    Args:
        base: with which the file's settings must fit.
        recipe_for: makes the recipe, of settings by name.
        names: of the options that go into it.

    Raises:
        DatasetError: the file is missing, or does not fit the recipe.
    """
    from watchline.train import recipe_file

    if not options.recipe:
        return recipe_for(**asked(options, *names))
    found = _read(options)
    if options.imgsz and (sizes := {"size", "sizes", "calm_sizes"} & found.train.keys()):
        options.parser.error(f"--imgsz does not go with --recipe, which has {min(sizes)}")
    recipe_file.applied(found, base, options.recipe)
    basics = {name: value for name, value in found.train.items() if name in BASICS}
    others = {name: value for name, value in found.train.items() if name not in BASICS}
    recipe = recipe_for(**{**basics, **asked(options, *names)})
    return recipe_file.applied(replace(found, train=others), recipe, options.recipe)


def _read(options: argparse.Namespace) -> "RecipeFile":
    from watchline.train import recipe_file

    found = recipe_file.read(options.recipe)
    if found.groups:
        options.parser.error(f"--recipe {options.recipe}: {options.model} takes its data by --data, not by [[groups]]")
    return found


def say(line: str) -> None:
    """Print a line at once, also where the output is a pipe."""
    print(line, flush=True)


def report(steps: Iterable[dict[str, float]], last: int | None) -> None:
    """A line each 20 steps: the mean of the loss and its parts, seconds a step, time to go.

    Args:
        last: number of the last step; None if the run has a length in time, and `done` says its share.
    """
    since: list[dict[str, float]] = []
    started, first = 0.0, -1
    for figures in steps:
        step = int(figures["step"])
        if first < 0:  # what comes before the first step is not counted on
            started, first = time.monotonic() - figures["seconds"], step - 1
            before = figures.get("done", 0.0)
        since.append(figures)
        if step % EVERY and step != last:
            continue
        alike = [f for f in since if f.keys() == figures.keys()]  # a part of the run may have other losses
        means = {name: sum(f[name] for f in alike) / len(alike) for name in figures if name not in ("step", "size")}
        taken, done = time.monotonic() - started, figures.get("done", 0.0)
        ahead = (last - step) / (step - first) if last else (1 - done) / max(done - before, 1e-9)
        minutes, seconds = divmod(round(taken * ahead), 60)
        seconds_a_step = means.pop("seconds")
        losses = "  ".join(f"{name} {value:.3f}" for name, value in means.items() if name != "done")
        of = f"/{last}" if last else ""
        print(f"step {step}{of}  {losses}  {seconds_a_step:.2f} s a step, ETA {minutes}:{seconds:02d}", flush=True)
        since.clear()
