"""The shipped language model: its size, its card, its figure, and that it writes plays."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from watchline.engines import zoo
from watchline.engines.language import LanguageModel
from watchline.pipeline.write import write

BITS = "bits per character on the last tenth"
REACHED = 2.2


def test_it_is_small_has_a_card_and_reaches_its_figure():
    assert zoo.names(zoo.TEXT) == [zoo.WRITER]
    path = zoo.find(zoo.WRITER, zoo.TEXT)
    assert path.stat().st_size <= 2e6
    with LanguageModel(path) as model:
        about = model.about
    assert about.name == zoo.WRITER
    assert about.figures[BITS] <= REACHED
    assert f"| {BITS} | {about.figures[BITS]:.3f} |" in path.with_suffix(".md").read_text()


def test_it_writes_a_play():
    with LanguageModel(zoo.find(zoo.WRITER, zoo.TEXT)) as model:
        text = "".join(write(model, "ROMEO:\n", 3000, 0.8, np.random.default_rng(0)))
    lines = text.split("\n")
    assert sum(line.isupper() and line.endswith(":") for line in lines) >= 5  # who speaks
    words = text.split()
    assert {"the", "and", "of", "to", "I"} < set(words)
    assert 3 < np.mean([len(word) for word in words]) < 6


@pytest.mark.shared
@pytest.mark.slow
def test_its_figure_can_be_measured_again(shared: Path):
    text = (shared / "tinyshakespeare" / "input.txt").read_text()
    bits = []
    with LanguageModel(zoo.find(zoo.WRITER, zoo.TEXT)) as model:
        state = model.begin()
        for now, then in pairwise(model.numbers(text[round(len(text) * 0.9) :])):
            scores, state = model.step(now, state)
            bits.append(-scores[then] / math.log(2))
    assert np.mean(bits) == pytest.approx(model.about.figures[BITS], abs=0.02)  # measured there in 64 parts
