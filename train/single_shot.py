"""Trains the detectors without proposals: YOLO (`yolo.py`) and YOLOv2 (`yolov2.py`).

AdamW with a cosine schedule, an average of the weights, multi-scale training; most views are mosaics until the last
part of the run. The run has a number of steps, or a number of minutes, and the schedule follows it. The pictures of a
step depend only on the seed and the step. So a run with a number of steps that was stopped continues as if it had not
been stopped.
"""

import copy
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.efficientnet_lite import normalise
from watchline.models.single_shot import SingleShot, Targets
from watchline.ops.voc import VOC
from watchline.train import checkpoint, mixed
from watchline.train.averaged import Run, blend, optimizer_of, schedule
from watchline.train.pictures import LabelledPicture
from watchline.train.views import Store, ViewSettings, draw

CHECKPOINT = "checkpoint.pt"
AVERAGE = "average.pt"
BACKBONE = "backbone."  # of its parameters' names
LAYOUTS = (torch.channels_last, torch.contiguous_format)  # the first is the faster one on a CPU
N = TypeVar("N", bound=SingleShot)
VIEWS = ViewSettings()
CALM_VIEWS = ViewSettings(shares=(0.8, 0.2, 0.0), single=(0.5, 1.4))


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        steps: optimizer steps.
        minutes: wall-clock time instead of `steps`, if not 0.
        batch: views per step.
        sizes: input sizes, drawn at random; multiples of 32.
        frozen: blocks of the backbone that keep the weights they start from, and the stem with them. The first three
            are half of a step's time.
        lr_backbone, lr_head, decay: of AdamW.
        warmup: steps in which the rates rise linearly.
        average: decay of the weights' average.
        views: how views are drawn.
        calm: last share of the run, in which `calm_views` and `calm_sizes` are used instead.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 60000
    minutes: float = 0.0
    batch: int = 16
    sizes: tuple[int, ...] = (320, 352, 416, 480)
    frozen: int = 3
    lr_backbone: float = 4e-4
    lr_head: float = 8e-4
    decay: float = 0.03
    warmup: int = 200
    average: float = 0.999
    views: ViewSettings = VIEWS
    calm: float = 0.15
    calm_views: ViewSettings = CALM_VIEWS
    calm_sizes: tuple[int, ...] = (352, 416, 416, 480)
    save_every: int = 100
    seed: int = 0


@dataclass(frozen=True)
class Network(Generic[N]):
    """What is trained.

    Attributes:
        begin: makes the network that a new run starts from, on the store's device.
        like: makes an untrained one with the shapes of these weights.
    """

    begin: Callable[[Store], N]
    like: Callable[[Mapping[str, Tensor]], N]


def best_device() -> str:
    """ "cuda" if PyTorch finds a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def middle(sizes: Sequence[int]) -> int:
    """The median; of two middle ones, the upper."""
    return sorted(sizes)[len(sizes) // 2]


def train(
    network: Network[N],
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str = "cpu",
    report: int = 1,
    names: Sequence[str] = VOC,
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step, or of every `report`-th.

    The checkpoint has the averaged weights under "model", the class names, and everything that the next step needs.
    `average.pt` has only the averaged weights and the names. Both are written every `save_every` steps, before the
    figures of the step are yielded, and when the generator is closed.

    Args:
        network: what is trained.
        pictures: training pictures.
        out: folder of the checkpoint.
        recipe: settings.
        threads: of PyTorch on a CPU, and for decoding the pictures.
        device: "cpu" or "cuda".
        report: steps between figures; on a GPU, each report waits for the device.
        names: of the classes.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe or of other classes, or a broken one.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.backends.cudnn.benchmark = True
    checkpoint.make_folder(out)
    store = Store.of(pictures, torch.device(device), threads)
    about = {"recipe": json.dumps(asdict(recipe)), "names": json.dumps(list(names)), "imgsz": str(middle(recipe.sizes))}
    run = _begin(network, store, out / CHECKPOINT, recipe, about)
    rates = [group["initial_lr"] for group in run.optimizer.param_groups]
    before, began = run.seconds, time.perf_counter()
    reported = began
    while (done := run.progress(recipe)) < 1:
        for group, rate in zip(run.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(run.step, done, recipe)
        size, parts = step(run, store, recipe, done)
        run.step += 1
        blend(run.average, run.model.state_dict(), min(recipe.average, (1 + run.step) / (10 + run.step)))
        run.seconds = time.perf_counter() - began + before
        if saved := run.step % recipe.save_every == 0 or run.progress(recipe) >= 1:
            _save(run, out, about)
        if run.step % report == 0:
            figures = {name: float(value) for name, value in parts.items()}
            reported, since = time.perf_counter(), reported
            try:
                yield {"step": run.step, **figures, "size": size, "seconds": (reported - since) / report}
            except GeneratorExit:
                if not saved:
                    _save(run, out, about)
                raise


def step(run: Run[N], store: Store, recipe: Recipe, done: float) -> tuple[int, dict[str, Tensor]]:
    """One step of the optimizer. A gradient that is not finite is dropped. Returns the size and the losses."""
    size, images, targets = batch_of(store, recipe, run.step, done)
    with mixed.autocast(store.device):
        raw = run.model(normalise(images))
    parts = run.model.losses(raw.float(), targets)
    run.optimizer.zero_grad(set_to_none=True)
    parts["loss"].backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), 10.0)
    if torch.isfinite(norm):
        run.optimizer.step()
    return size, {name: value.detach() for name, value in parts.items()} | {"norm": norm.detach()}


def batch_of(store: Store, recipe: Recipe, number: int, done: float) -> tuple[int, Tensor, Targets]:
    """Size, images and targets of a step; equal for equal seed and step."""
    rng = np.random.default_rng([recipe.seed, number])
    calm = done >= 1 - recipe.calm
    size = int(rng.choice(recipe.calm_sizes if calm else recipe.sizes))
    generator = torch.Generator(store.device).manual_seed(int(rng.integers(1 << 62)))
    images, targets = draw(store, recipe.batch, size, recipe.calm_views if calm else recipe.views, generator)
    return size, images, targets


def _begin(network: Network[N], store: Store, file: Path, recipe: Recipe, about: dict[str, str]) -> Run[N]:
    """A new run, or the one in the checkpoint `file`."""
    saved = checkpoint.read(file) if file.is_file() else None
    if saved:
        checkpoint.check_recipe(file, saved, about["recipe"])
        checkpoint.check_names(file, saved, about["names"])
        model = network.like(saved["live"])
        model.load_state_dict(saved["live"])
        model.to(store.device)
    else:
        model = network.begin(store)
    _learning(_laid_out(model, _fastest(store, recipe, model)), recipe)
    optimizer = optimizer_of(model, BACKBONE, recipe)
    if not saved:
        return Run(model, optimizer, {k: v.clone() for k, v in model.state_dict().items()})
    optimizer.load_state_dict(saved["optimizer"])
    average = {name: value.to(store.device) for name, value in saved["model"].items()}
    return Run(model, optimizer, average, saved["step"], saved["seconds"])


def _fastest(store: Store, recipe: Recipe, model: SingleShot) -> torch.memory_format:
    """The memory layout for training. On a GPU both are tried, because depthwise convolutions differ between cuDNNs.

    One H200: 2102 views per second at 416 pixels with channels last, 1954 otherwise. cuDNN's search for its fastest
    algorithms takes 20 s there for each size, both here and in the run.
    """
    if store.device.type != "cuda":
        return LAYOUTS[0]
    return min(LAYOUTS, key=lambda layout: time_steps(store, recipe, model, layout, middle(recipe.sizes))[1])


def _laid_out(model: N, layout: torch.memory_format) -> N:
    return cast(N, cast(Any, model).to(memory_format=layout))  # some versions of torch lack the type


def _learning(model: N, recipe: Recipe) -> N:
    """The mode of training: the first layers keep their weights and batch statistics."""
    model.train()
    for part in (model.backbone.stem, *model.backbone.blocks[: recipe.frozen]):
        part.requires_grad_(False).eval()
    mixed.quick(model, next(model.parameters()).device)
    return model


def _save(run: Run[N], out: Path, about: dict[str, str]) -> None:
    state = {"model": run.average, "live": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}
    now = {"step": run.step, "seconds": run.seconds, **about}
    checkpoint.write(out / CHECKPOINT, {**state, **now})
    average = {name: value.cpu() for name, value in run.average.items()}
    checkpoint.write(out / AVERAGE, {"model": average, **now})


def time_steps(
    store: Store, recipe: Recipe, model: SingleShot, layout: torch.memory_format, size: int, count: int = 7
) -> tuple[float, float]:
    """Seconds of the first step, and the median of the others, with a copy of the network."""
    asked = replace(recipe, sizes=(size,))
    model = _learning(_laid_out(copy.deepcopy(model).to(store.device), layout), asked)
    run = Run(model, optimizer_of(model, BACKBONE, asked), {})
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        _, parts = step(run, store, asked, 0.0)
        float(parts["loss"])
        if store.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        run.step += 1
    return seconds[0], sorted(seconds[1:])[(count - 1) // 2]
