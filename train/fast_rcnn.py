"""The recipe of Fast R-CNN: `watchline train fast-rcnn --data DIR --out DIR`.

Girshick (2015), section 2.3: one network, trained end to end by SGD with one loss for classes and boxes. Selective
Search's proposals are computed once and go with their picture wherever it is moved to.
"""

import json
import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from watchline.models.errors import DatasetError
from watchline.models.fast_rcnn import PROPOSALS, FastRCNN, Sampling, TrueBoxes
from watchline.models.lite_trunk import LiteTrunk
from watchline.ops.selective_search import enlarged
from watchline.streams.errors import SourceUnreadable
from watchline.streams.photo import read_photo
from watchline.train import checkpoint, proposals, two_stage
from watchline.train.datasets import Sample
from watchline.train.mixed import autocast, quick
from watchline.train.own_data.dataset import DataSet, PictureFile
from watchline.train.region_recipe import Recipe, batch_of, optimizer_of, schedule
from watchline.train.two_stage import CHECKPOINT as CHECKPOINT

EPOCHS = 12
PROPOSED = -1  # class of a proposal among the boxes of a picture
Batch = tuple[Tensor, list[Tensor], list[TrueBoxes]]


def recipe_for(
    pictures: int, epochs: int | None = None, steps: int | None = None, batch: int | None = None, seed: int = 0
) -> Recipe:
    """The recipe for a number of pictures. The rate follows the batch.

    Args:
        epochs: how often every picture is seen; None for EPOCHS.
        steps: instead of epochs.
        batch, seed: as in the recipe; None for its own.
    """
    base = Recipe()
    batch = batch or base.batch
    steps = steps or (epochs or EPOCHS) * math.ceil(pictures / batch)
    rate, warmup = base.rate * batch / base.batch, min(base.warmup, steps // 5)
    return replace(base, steps=steps, batch=batch, rate=rate, warmup=warmup, seed=seed)


class Proposed(Sequence[Sample]):
    """Pictures with their true boxes, and their proposals as boxes of the class PROPOSED. They are read when asked for.

    Args:
        files: the pictures.
        boxes: (N, K, 4), as `proposals.cached` gives them.
    """

    def __init__(self, files: Sequence[PictureFile], boxes: NDArray[np.float16]) -> None:
        self._files, self._boxes = files, boxes

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> "Proposed": ...

    def __getitem__(self, index: int | slice) -> "Sample | Proposed":
        if isinstance(index, slice):
            return Proposed(self._files[index], self._boxes[index])
        file = self._files[index]
        try:
            pixels = read_photo(file.path).pixels
        except SourceUnreadable as error:
            raise DatasetError(str(error)) from error
        proposed = enlarged(self._boxes[index], file.size)
        return Sample(
            pixels,
            np.concatenate([file.boxes, proposed]),
            np.concatenate([file.classes, np.full(len(proposed), PROPOSED)]),
            np.concatenate([file.ignore, np.zeros(len(proposed), np.bool_)]),
        )


def parted(images: Tensor, boxes: Sequence[TrueBoxes]) -> Batch:
    """Pictures, their proposals (K, 4) each, and their true boxes, of a batch of `Proposed`."""
    real = [one.classes != PROPOSED for one in boxes]
    truths = [TrueBoxes(b.boxes[r], b.classes[r], b.ignore[r]) for b, r in zip(boxes, real, strict=True)]
    return images, [b.boxes[~r] for b, r in zip(boxes, real, strict=True)], truths


def train(
    data: DataSet, out: Path, cache: Path, recipe: Recipe, threads: int, tell: Callable[[str], None]
) -> Generator[dict[str, float], None, None]:
    """Train, or resume from `out/checkpoint.pt`. Yields the figures of each step.

    Args:
        cache: folder for the proposals.
        tell: hears how far they are.

    Raises:
        CheckpointError: `out` holds a checkpoint of another recipe or of other classes, or a broken one.
        DatasetError: a picture cannot be read.
        LibraryMissing: scikit-image is not installed.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    checkpoint.make_folder(out)
    model = FastRCNN(LiteTrunk.pretrained(), len(data.names), Sampling(recipe.regions))
    two_stage.freeze(model, model.trunk.early())
    device = torch.device("cpu")
    quick(model, device)
    samples = Proposed(data.train, proposals.cached(data.train, PROPOSALS, cache, tell))

    def losses_of(batch: Batch) -> dict[str, Tensor]:
        images, proposed, truths = batch
        with autocast(device):
            features = model.features(images)
        return model.losses(features.float(), proposed, truths)

    yield from two_stage.run(
        model,
        optimizer_of(model, recipe),
        out,
        recipe,
        {"network": "fast-rcnn", "names": json.dumps(list(data.names))},
        lambda step: parted(*batch_of(samples, recipe, step, model.trunk.pad)),
        losses_of,
        lambda step: schedule(step, recipe),
    )
