"""The recipe of FCN-Lite: `watchline train segmenter --data CAMVID --out DIR`.

AdamW with a cosine schedule and an average of the weights; cross-entropy weighted by class, and Lovász-softmax. A run
that starts from a trained segmenter also learns from what that one sees (`train/soft_labels.py`), also in pictures
without labels. A view is a crop of a picture that was scaled, stretched, turned a little, mirrored and recoloured; half
of the views are mixed with another one (`train/class_mix.py`). The run has a number of steps, or a number of minutes,
and the schedule follows it. The views of a step depend only on the seed and the step, so a run that was stopped
continues as if it had not been.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.export.pytorch import exported
from watchline.models.efficientnet_lite import SCALE, normalise
from watchline.models.fcn_lite import STRIDE_4, FCNLite
from watchline.models.pixel_loss import VOID, cross_entropy, lovasz_softmax
from watchline.ops import camvid
from watchline.ops.camvid import CAMVID
from watchline.train import checkpoint, soft_labels
from watchline.train.averaged import Run, blend, optimizer_of, schedule
from watchline.train.camvid import Scene
from watchline.train.class_mix import View, mixed
from watchline.train.mixed import autocast, quick
from watchline.train.soft_labels import CELL, divergence, warped

CHECKPOINT = "checkpoint.pt"
AVERAGE = "average.pt"
SOFT = "soft.npz"
BACKBONE = ("stem.", "blocks.")  # its parameters' names begin so
PAD = (114, 114, 114)  # the letterbox's colour, beyond the picture
TRUTH = 2  # pixels between those whose class is learnt, in both directions: their neighbours teach nearly the same
ADJUST = 0.5  # of the loss's weights in the final scores; chosen by the mean IoU on val and on a part of train
MEASURED = 6  # batches, for the batch statistics of a network that was exported
LOVASZ = 2  # and of those, every second for Lovász's loss, which sorts them


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        steps: optimizer steps.
        minutes: wall-clock time instead of `steps`, if not 0.
        batch: views per step.
        crop: (width, height) of a view, multiples of 16.
        scales: of the picture in a view, drawn log-uniformly.
        late, late_crop, late_scales: the last share of the run, and its larger views.
        stretch, turn: largest change of the aspect, as a factor; and largest turn, in degrees.
        mixed: share of the views that are mixed with another one.
        light, colour: largest change of brightness and contrast; and of saturation and single channels, as factors.
        lr_backbone, lr_head, decay: of AdamW; `decay` applies to kernels only.
        warmup: steps in which the rates rise linearly.
        average: decay of the weights' average.
        balance: a class weighs (median / frequency) to this power, within `bounds`, in cross-entropy.
        bounds: of those weights.
        lovasz: weight of Lovász-softmax.
        soft: weight of the soft labels, where the scenes have some.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    steps: int = 12000
    minutes: float = 0.0
    batch: int = 8
    crop: tuple[int, int] = (256, 208)
    scales: tuple[float, float] = (0.45, 1.25)
    late: float = 0.6
    late_crop: tuple[int, int] = (448, 352)
    late_scales: tuple[float, float] = (0.7, 1.7)
    stretch: float = 1.1
    turn: float = 4.0
    mixed: float = 0.5
    light: float = 1.6
    colour: float = 1.3
    lr_backbone: float = 4e-4
    lr_head: float = 1.5e-3
    decay: float = 0.02
    warmup: int = 100
    average: float = 0.998
    balance: float = 0.5
    bounds: tuple[float, float] = (0.3, 3.0)
    lovasz: float = 1.0
    soft: float = 1.0
    save_every: int = 100
    seed: int = 0


def class_weights(scenes: Sequence[Scene], recipe: Recipe) -> Tensor:
    """(C,) float32: rare classes weigh more (Eigen and Fergus 2015: median frequency, here to a power)."""
    counts = np.sum([np.bincount(s.classes.ravel(), minlength=camvid.VOID + 1)[: len(CAMVID)] for s in scenes], 0)
    ratio = np.median(counts) / np.maximum(counts, 1)
    return torch.from_numpy(np.clip(ratio**recipe.balance, *recipe.bounds).astype(np.float32))


def view(scene: Scene, recipe: Recipe, late: bool, rng: np.random.Generator) -> View:
    """A crop of the changed picture. Beyond the picture is the letterbox's colour, which is void."""
    (width, height), scales = (recipe.late_crop, recipe.late_scales) if late else (recipe.crop, recipe.scales)
    scale = np.exp(rng.uniform(*np.log(scales)))
    across, down = scale * _factor(recipe.stretch, rng) ** np.array([0.5, -0.5])
    turn = np.deg2rad(rng.uniform(-recipe.turn, recipe.turn))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    sides = np.array([scene.image.shape[1], scene.image.shape[0]], float)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([mirror * across, down])
    # where the picture's middle comes to lie: anywhere that fills the view, or, if it is smaller, within the view
    room = np.abs(sides * (across, down) - (width, height)) / 2
    shift = np.array([width, height]) / 2 - rng.uniform(-room, room) - linear @ (sides / 2)
    image = cv2.warpAffine(
        scene.image, _affine(linear, shift), (width, height), flags=cv2.INTER_LINEAR, borderValue=PAD
    )
    classes = cv2.warpAffine(
        scene.classes,
        _affine(linear / TRUTH, shift / TRUTH),
        (width // TRUTH, height // TRUTH),
        flags=cv2.INTER_NEAREST,
        borderValue=float(camvid.VOID),
    )
    soft = warped(scene.soft, _affine(linear * CELL / TRUTH, shift / TRUTH), (width // TRUTH, height // TRUTH))
    return View(recolour(np.asarray(image, np.uint8), recipe, rng), np.asarray(classes, np.uint8), soft)


def _affine(linear: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2, 3): the map x -> linear x + shift for OpenCV, which has pixels' centres at whole numbers, not at halves."""
    return np.column_stack([linear, shift + linear @ np.full(2, 0.5) - 0.5])


def recolour(image: NDArray[np.uint8], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another light: saturation, the colour of the light, contrast and brightness, in one affine map of colours."""
    grey = np.full((3, 3), 1 / 3)
    matrix = grey + (np.eye(3) - grey) * _factor(recipe.colour**2, rng)
    matrix = np.diag([_factor(recipe.colour**0.5, rng) for _ in range(3)]) @ matrix
    contrast, brightness = _factor(recipe.light, rng), _factor(recipe.light, rng)
    mean = matrix @ np.array(cv2.mean(image)[:3])
    offset = mean.mean() * (brightness - contrast)
    return np.asarray(cv2.transform(image, np.column_stack([contrast * matrix, np.full(3, offset)])), np.uint8)


def batch_of(scenes: Sequence[Scene], recipe: Recipe, step: int, late: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The batch of a step. Every epoch shows each picture once, in a new order, and some once more in a mixed view.

    Returns:
        images (B, 3, h, w) float, normalised; classes (B, h/2, w/2) int64, VOID where none; soft labels
        (B, K, h/2, w/2) uint8.
    """
    images, classes, softs = [], [], []
    for number in range(step * recipe.batch, (step + 1) * recipe.batch):
        epoch, index = divmod(number, len(scenes))
        order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(len(scenes))
        rng = np.random.default_rng([recipe.seed, 1, number])
        seen = view(scenes[order[index]], recipe, late, rng)
        if rng.random() < recipe.mixed:
            seen = mixed(seen, view(scenes[int(rng.integers(len(scenes)))], recipe, late, rng), rng)
        images.append(seen.image[..., ::-1].transpose(2, 0, 1))
        classes.append(seen.classes)
        softs.append(seen.soft.transpose(2, 0, 1))
    truth = torch.from_numpy(np.stack(classes)).long()
    truth[truth == camvid.VOID] = VOID
    return normalise(torch.from_numpy(np.stack(images))), truth, torch.from_numpy(np.stack(softs))


def losses(
    logits: Tensor, truth: Tensor, soft: Tensor, weights: Tensor, recipe: Recipe, step: int
) -> dict[str, Tensor]:
    """The loss of a batch and its parts, by name.

    Args:
        logits: (B, C, h/2, w/2). truth: (B, h/2, w/2) int64. soft: (B, C, h/2, w/2) uint8, or (B, 0, ...).
        weights: (C,) of the classes.
        step: chooses the pixels of Lovász's loss.
    """
    down, across = divmod(step % LOVASZ**2, LOVASZ)
    every = (..., slice(down, None, LOVASZ), slice(across, None, LOVASZ))
    parts = {"entropy": cross_entropy(logits, truth, weights), "lovasz": lovasz_softmax(logits[every], truth[every])}
    loss = parts["entropy"] + recipe.lovasz * parts["lovasz"]
    if soft.shape[1]:
        parts["soft"] = divergence(logits, soft)
        loss = loss + recipe.soft * parts["soft"]
    return {"loss": loss, **parts}


def train(
    scenes: Sequence[Scene], out: Path, recipe: Recipe, threads: int, start: Path | None = None
) -> Iterator[dict[str, float]]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    The checkpoint has the averaged weights under "model", and everything that the next step needs. `average.pt` has
    only the averaged weights, adjusted for use (see `adjusted`).

    Args:
        start: an ONNX of such a network that a new run starts from; None means ImageNet's weights.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe, or a broken one; or `start` is another network.
        ModelNotFound, ModelRefused: there is no `start`, or it is not a model of Watchline.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    weights = class_weights(scenes, recipe)
    soft = out / SOFT
    if start and not soft.is_file():
        soft_labels.write(soft, scenes, _exported(start, weights))
    if soft.is_file():
        scenes = soft_labels.taught(soft, scenes)
    run = _begin(out / CHECKPOINT, recipe, lambda: _initial(scenes, recipe, weights, start))
    device = torch.device("cpu")
    quick(run.model, device)
    before, began = run.seconds, time.perf_counter()
    while (done := run.progress(recipe)) < 1:
        started = time.perf_counter()
        factor = schedule(run.step, done, recipe)
        for group in run.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        images, truth, seen = batch_of(scenes, recipe, run.step, late=done >= 1 - recipe.late)
        with autocast(device):
            logits = run.model.scored(*run.model.early(images.to(memory_format=torch.channels_last)))
        parts = losses(logits.float(), truth, seen, weights, recipe, run.step)
        run.optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        run.step += 1
        blend(run.average, run.model.state_dict(), min(recipe.average, (1 + run.step) / (10 + run.step)))
        run.seconds = before + time.perf_counter() - began
        if run.step % recipe.save_every == 0 or run.progress(recipe) >= 1:
            _save(run, out, recipe, weights)
        figures = {name: float(value.detach()) for name, value in parts.items()}
        yield {"step": run.step, "done": done, **figures, "seconds": time.perf_counter() - started}


def calm(model: FCNLite) -> None:
    """The mode of training: the first layers' batch normalisations keep the statistics that they have.

    All weights learn. With the first layers' weights kept too, mean IoU was 0.007 less after the same time.
    """
    model.train()
    for part in (model.stem, *model.blocks[:STRIDE_4]):
        part.eval()


def _initial(scenes: Sequence[Scene], recipe: Recipe, weights: Tensor, start: Path | None) -> FCNLite:
    """The network that a new run starts from."""
    if start is None:
        return FCNLite.pretrained(len(CAMVID))
    model = _exported(start, weights)
    exported.calibrate(model, torch.cat([batch_of(scenes, recipe, step, late=False)[0] for step in range(MEASURED)]))
    return model


def _exported(start: Path, weights: Tensor) -> FCNLite:
    """The network of an ONNX. What `adjusted` changed for use is changed back."""
    model = FCNLite(len(CAMVID))
    exported.load(model, start, SCALE)
    model.load_state_dict(adjusted(model.state_dict(), 1 / weights))
    return model


def _begin(file: Path, recipe: Recipe, initial: Callable[[], FCNLite]) -> Run[FCNLite]:
    """A new run, or the one in the checkpoint `file`."""
    saved = checkpoint.read(file) if file.is_file() else None
    model = FCNLite(len(CAMVID)) if saved else initial()
    if saved:
        checkpoint.check_recipe(file, saved, json.dumps(asdict(recipe)))
        model.load_state_dict(saved["live"])
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs do not know it
    calm(model)
    optimizer = optimizer_of(model, BACKBONE, recipe)
    if not saved:
        return Run(model, optimizer, {k: v.clone() for k, v in model.state_dict().items()})
    optimizer.load_state_dict(saved["optimizer"])
    return Run(model, optimizer, saved["model"], saved["step"], saved["seconds"])


def adjusted(state: dict[str, Tensor], weights: Tensor) -> dict[str, Tensor]:
    """The weights for use: what the loss made of rare classes is partly taken back from their scores.

    A class that weighs w in cross-entropy is predicted as if it were w times as frequent (Menon et al., "Long-tail
    learning via logit adjustment", 2021). Args: weights (C,).
    """
    return {**state, "scores.3.bias": state["scores.3.bias"] - ADJUST * weights.log()}


def _save(run: Run[FCNLite], out: Path, recipe: Recipe, weights: Tensor) -> None:
    about = {"network": "fcn-lite", "step": run.step, "seconds": run.seconds, "recipe": json.dumps(asdict(recipe))}
    state = {"model": run.average, "live": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}
    checkpoint.write(out / CHECKPOINT, {**state, **about})
    checkpoint.write(out / AVERAGE, {"model": adjusted(run.average, weights), **about})


def _factor(most: float, rng: np.random.Generator) -> float:
    """Between 1 / most and most, log-uniform."""
    return float(most ** rng.uniform(-1.0, 1.0))
