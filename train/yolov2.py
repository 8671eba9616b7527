"""The recipe of YOLOv2: `watchline train yolov2 --data DIR --out DIR`, and `python -m watchline.train run`.

AdamW with a cosine schedule, an average of the weights, multi-scale training; most views are mosaics until the last
part of the run. The run has a number of steps, or a number of minutes, and the schedule follows it. The pictures of a
step depend only on the seed and the step. So a run with a number of steps that was stopped continues as if it had not
been stopped.
"""

import copy
import json
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from watchline.models.errors import DatasetError
from watchline.models.yolov2 import STRIDE, YOLOv2, like, normalise, region_loss
from watchline.ops.priors import dimension_priors
from watchline.ops.voc import VOC
from watchline.train import checkpoint, mixed
from watchline.train.averaged import Run, blend, optimizer_of, schedule
from watchline.train.exported import calibrate
from watchline.train.initial import ONNX, network, views
from watchline.train.pictures import LabelledPicture
from watchline.train.views import Store, ViewSettings, draw, lay_out
from watchline.train.views import targets as targets_of

CHECKPOINT = "checkpoint.pt"
AVERAGE = "average.pt"
BACKBONE = "backbone."  # of its parameters' names
LAYOUTS = (torch.channels_last, torch.contiguous_format)  # the first is the faster one on a CPU
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
        priors: number of priors.
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
    priors: int = 6
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


RECIPES = {
    "cpu": Recipe(),
    "cuda": Recipe(
        batch=128, sizes=(320, 416, 512), calm_sizes=(416, 416, 512), frozen=0, lr_backbone=1.5e-3, lr_head=2.5e-3
    ),
}


def best_device() -> str:
    """ "cuda" if PyTorch finds a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def middle(sizes: Sequence[int]) -> int:
    """The median; of two middle ones, the upper."""
    return sorted(sizes)[len(sizes) // 2]


def learn_priors(store: Store, recipe: Recipe) -> Tensor:
    """Dimension priors in cells of the grid, from the boxes of 800 training views of the middle size.

    Raises:
        DatasetError: there are hardly any boxes.
    """
    size = middle(recipe.sizes)
    generator = torch.Generator(store.device).manual_seed(recipe.seed)
    sizes = []
    for _ in range(50):
        truth = targets_of(store, lay_out(store, 16, size, recipe.views, generator))  # their pixels are not needed
        boxes = truth.boxes[~truth.ignore].cpu().numpy()
        sizes.append(boxes[:, 2:] - boxes[:, :2])
    if (count := sum(map(len, sizes))) < recipe.priors:
        raise DatasetError(
            f"800 views show {count} objects: expected {recipe.priors} at least; label more, or larger ones"
        )
    return torch.from_numpy(dimension_priors(np.concatenate(sizes), recipe.priors, recipe.seed) / STRIDE)


def train(
    pictures: Sequence[LabelledPicture],
    out: Path,
    recipe: Recipe,
    threads: int,
    device: str = "cpu",
    start: Path | None = None,
    report: int = 1,
    names: Sequence[str] = VOC,
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step, or of every `report`-th.

    The checkpoint has the averaged weights under "model", the class names, and everything that the next step needs.
    `average.pt` has only the averaged weights and the names. Both are written every `save_every` steps, before the
    figures of the step are yielded, and when the generator is closed.

    Args:
        pictures: training pictures.
        out: folder of the checkpoint.
        recipe: settings.
        threads: of PyTorch on a CPU, and for decoding the pictures.
        device: "cpu" or "cuda".
        start: the network that a new run starts from, as in `watchline.train.initial`.
        report: steps between figures; on a GPU, each report waits for the device.
        names: of the classes.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe or of other classes, or a broken one; or `start` is
            not a network.
        ModelRefused: `start` is a broken ONNX.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    torch.backends.cudnn.benchmark = True
    checkpoint.make_folder(out)
    store = Store.of(pictures, torch.device(device), threads)
    about = {"recipe": json.dumps(asdict(recipe)), "names": json.dumps(list(names)), "imgsz": str(middle(recipe.sizes))}
    run = _begin(store, out / CHECKPOINT, recipe, start, about)
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


def step(run: Run[YOLOv2], store: Store, recipe: Recipe, done: float) -> tuple[int, dict[str, Tensor]]:
    """One step of the optimizer. A gradient that is not finite is dropped. Returns the size and the losses."""
    size, images, targets = batch_of(store, recipe, run.step, done)
    with mixed.autocast(store.device):
        raw = run.model(normalise(images))
    parts = region_loss(raw.float(), run.model.priors, targets)
    run.optimizer.zero_grad(set_to_none=True)
    parts["loss"].backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), 10.0)
    if torch.isfinite(norm):
        run.optimizer.step()
    return size, {name: value.detach() for name, value in parts.items()} | {"norm": norm.detach()}


def batch_of(store: Store, recipe: Recipe, number: int, done: float) -> tuple[int, Tensor, Any]:
    """Size, images and targets of a step; equal for equal seed and step."""
    rng = np.random.default_rng([recipe.seed, number])
    calm = done >= 1 - recipe.calm
    size = int(rng.choice(recipe.calm_sizes if calm else recipe.sizes))
    generator = torch.Generator(store.device).manual_seed(int(rng.integers(1 << 62)))
    images, targets = draw(store, recipe.batch, size, recipe.calm_views if calm else recipe.views, generator)
    return size, images, targets


def _begin(store: Store, file: Path, recipe: Recipe, start: Path | None, about: dict[str, str]) -> Run[YOLOv2]:
    """A new run, or the one in the checkpoint `file`."""
    saved = checkpoint.read(file) if file.is_file() else None
    if saved:
        checkpoint.check_recipe(file, saved, about["recipe"])
        checkpoint.check_names(file, saved, about["names"])
        model = like(saved["live"])
        model.load_state_dict(saved["live"])
    else:
        model = network(start, learn_priors(store, recipe), json.loads(about["names"]))
    model.to(store.device)
    if not saved and start and start.suffix == ONNX:
        calibrate(model, views(store))
    _learning(_laid_out(model, _fastest(store, recipe, model)), recipe)
    optimizer = optimizer_of(model, BACKBONE, recipe)
    if not saved:
        return Run(model, optimizer, {k: v.clone() for k, v in model.state_dict().items()})
    optimizer.load_state_dict(saved["optimizer"])
    average = {name: value.to(store.device) for name, value in saved["model"].items()}
    return Run(model, optimizer, average, saved["step"], saved["seconds"])


def _fastest(store: Store, recipe: Recipe, model: YOLOv2) -> torch.memory_format:
    """The memory layout for training. On a GPU both are tried, because depthwise convolutions differ between cuDNNs.

    One H200: 2102 views per second at 416 pixels with channels last, 1954 otherwise. cuDNN's search for its fastest
    algorithms takes 20 s there for each size, both here and in the run.
    """
    if store.device.type != "cuda":
        return LAYOUTS[0]
    return min(LAYOUTS, key=lambda layout: time_steps(store, recipe, model, layout, middle(recipe.sizes))[1])


def _laid_out(model: YOLOv2, layout: torch.memory_format) -> YOLOv2:
    return cast(YOLOv2, cast(Any, model).to(memory_format=layout))  # some versions of torch lack the type


def _learning(model: YOLOv2, recipe: Recipe) -> YOLOv2:
    """The mode of training: the first layers keep their weights and batch statistics."""
    model.train()
    for part in (model.backbone.stem, *model.backbone.blocks[: recipe.frozen]):
        part.requires_grad_(False).eval()
    mixed.quick(model, model.priors.device)
    return model


def _save(run: Run[YOLOv2], out: Path, about: dict[str, str]) -> None:
    state = {"model": run.average, "live": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}
    now = {"step": run.step, "seconds": run.seconds, **about}
    checkpoint.write(out / CHECKPOINT, {**state, **now})
    average = {name: value.cpu() for name, value in run.average.items()}
    checkpoint.write(out / AVERAGE, {"model": average, **now})


def try_out(store: Store, recipe: Recipe, start: Path | None) -> Iterator[str]:
    """Run a few steps of each size with each memory layout. Yields a line about each."""
    priors = learn_priors(store, recipe)
    yield f"priors {(priors * STRIDE).round().int().tolist()}"
    model = network(start, priors)
    for layout in LAYOUTS:
        for size in sorted(set(recipe.sizes)):
            first, median = time_steps(store, recipe, model, layout, size)
            memory = torch.cuda.max_memory_allocated() / 2**30 if store.device.type == "cuda" else 0.0
            yield (
                f"{layout} {size}: batch {recipe.batch}, {recipe.batch / median:.0f} views/s, first {first:.1f} s, "
                f"step {median * 1e3:.0f} ms, {memory:.1f} GiB"
            )


def time_steps(
    store: Store, recipe: Recipe, model: YOLOv2, layout: torch.memory_format, size: int, count: int = 7
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
