"""What is drawn has the probabilities that it should have."""

import numpy as np
import pytest

from watchline.ops.sampling import draw

SCORES = np.log(np.array([0.5, 0.25, 0.2, 0.05], np.float32))


def softmax(scores):
    """As a loop has it."""
    total = sum(np.exp(float(score)) for score in scores)
    return np.array([np.exp(float(score)) / total for score in scores])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("shift", [0, 500, -500])
def test_characters_come_as_often_as_their_probabilities_say(temperature, shift):
    random = np.random.default_rng(0)
    drawn = [draw(SCORES + np.float32(shift), temperature, random) for _ in range(20_000)]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, softmax(SCORES / temperature), atol=0.012)


def test_without_temperature_the_likeliest_is_taken():
    random = np.random.default_rng(0)
    assert {draw(SCORES[::-1], 0, random) for _ in range(20)} == {3}
    assert {draw(SCORES, 1e-12, random) for _ in range(20)} == {0}


def test_what_is_impossible_never_comes():
    class Last:
        def random(self):
            return np.nextafter(1.0, 0.0)

    assert draw(np.array([0.0, 0.0, -np.inf]), 1.0, Last()) == 1
