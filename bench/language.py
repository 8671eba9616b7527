"""Which network learns a text best, and how far back does each learn? RNNs, the LSTM, and the steps between them.

    python bench/language.py --data input.txt --runs runs --pictures docs/lecture

Trains the same small network with each kind of cell (a run that was stopped goes on), and prints the bits per character
on the last tenth of the text. Then it measures how the loss of one character depends on earlier ones: the norm of the
gradient by each input, RNN against LSTM. Then two taggers of capitals, with the future and without. Two pictures.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from log_chart import Points, chart
from numpy.typing import NDArray
from tables import Table, TableReport
from torch import Tensor
from torch.nn import functional as F

from watchline.models.language import KINDS, LanguageModel
from watchline.models.tagger import bidirectional, forward_only
from watchline.train import capitals, checkpoint, language, text
from watchline.train.language import CHECKPOINT, STAGES
from watchline.train.text import Text

HIDDEN = 64
BACK = 64  # characters, as far as a training step sees
WINDOWS = 256


def main() -> None:
    """Train each, print the tables, draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a text")
    parser.add_argument("--runs", type=Path, required=True, help="folder for the runs, one in each of its folders")
    parser.add_argument("--pictures", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--steps", type=int, default=512)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    read = text.read(options.data, BACK)
    tables = TableReport(options.json)
    table = Table("bits per character", ("cell", "weights", "bits", "CPU ms a step"))
    for kind in KINDS:
        began = time.process_time()
        recipe = language.Recipe(kind=kind, hidden=HIDDEN, steps=options.steps, dropout=0.0)
        steps = sum(1 for _ in language.train(read, options.runs / kind, recipe, 1, lambda _: None))
        spent = 1000 * (time.process_time() - began) / steps if steps else None
        weights = sum(p.numel() for p in network(read, kind).parameters())
        table.add(kind, weights, stages(options.runs / kind)[-1][1], spent)
    tables.add(table)
    learnt = {kind: stages(options.runs / kind) for kind in KINDS}
    draw(options.pictures / "language-bits.png", bits_chart(learnt, options.steps))
    tables.add(reach(read, options.runs, options.pictures))
    tables.add(tags(read, options.runs, options.steps))


def network(read: Text, kind: str) -> LanguageModel:
    """As it is before the training."""
    torch.manual_seed(0)
    return LanguageModel(read.characters, kind, HIDDEN)


def stages(run: Path) -> list[tuple[float, float]]:
    """Step and bits per character of each stage of a run."""
    rows = map(json.loads, (run / STAGES).read_text().splitlines())
    return [(row["step"], row["bits"]) for row in rows]


def bits_chart(learnt: dict[str, list[tuple[float, float]]], steps: int) -> NDArray[np.uint8]:
    """Bits per character over steps."""
    grid = [2.0**n for n in range(4, steps.bit_length())]
    titles = "step", "bits per character on the last tenth of the text"
    return chart(titles, learnt, grid, [2, 3, 4, 5, 6], (True, False))


def reach(read: Text, runs: Path, pictures: Path) -> Table:
    """How much the loss of a character depends on those before it, relative to the last one."""
    table = Table("gradient by earlier characters", ("network", "1 back", "8 back", "16 back", "32 back", "63 back"))
    lines: dict[str, Points] = {}
    for kind in ("rnn", "lstm"):
        model = network(read, kind)
        for when in ("before", "after"):
            if when == "after":
                model.load_state_dict(checkpoint.read(runs / kind / CHECKPOINT)["model"])
            norms = gradients(model, read.measure)
            lines[f"{kind}, {when}"] = list(enumerate(norms.tolist()))
            table.add(f"{kind}, {when} training", *(float(norms[back]) for back in (1, 8, 16, 32, 63)))
    titles = "characters back", "norm of the gradient of the loss by a character, relative to the last one"
    down = [10.0**n for n in range(-12, 1, 2)]
    draw(pictures / "language-gradients.png", chart(titles, lines, list(range(0, BACK + 1, 8)), down, (False, True)))
    return table


def gradients(model: LanguageModel, numbers: NDArray[np.int64]) -> Tensor:
    """(BACK,): the mean over windows of |d loss of the last character / d x_{t - k}|, for k = 0, 1, …; 1 for k = 0."""
    rows = torch.from_numpy(text.streams(numbers, WINDOWS)[:, : BACK + 1])
    x = model.one_hot(rows[:, :-1]).requires_grad_()
    logits, _ = model.eval().unfold(x, model.zeros(WINDOWS))
    loss = F.cross_entropy(logits[:, -1], rows[:, -1], reduction="sum")
    [gradient] = torch.autograd.grad(loss, x)
    norms = gradient.norm(dim=2).mean(0).flip(0)
    return norms / norms[0]


def tags(read: Text, runs: Path, steps: int) -> Table:
    """Capitals that are found in the text in lower case, with the future and without."""
    table = Table("capitals", ("network", "precision", "recall", "F1"))
    recipe = capitals.Recipe(hidden=HIDDEN, steps=steps)
    measured = capitals.task(read, read.measure)
    for build in (bidirectional, forward_only):
        out = runs / build.__name__
        for _ in capitals.train(read, out, recipe, 1, build):
            pass
        table.add(build.__name__, *capitals.found(capitals.load(out, read, recipe, build), measured))
    return table


def draw(file: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture as PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
