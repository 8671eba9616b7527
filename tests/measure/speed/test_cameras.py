"""The search for the most cameras, and what counts as held."""

from dataclasses import replace

import pytest

from watchline.measure.speed.cameras import most_that, why_not
from watchline.measure.speed.chain import Chain

FINE = Chain(20, (20, 20, 20), True, (30, 60, 90), {}, 20, 40, 0.5, "")


@pytest.mark.parametrize("limit", [1, 2, 7, 64])
def test_the_search_finds_every_number(limit: int) -> None:
    for true in range(limit + 1):
        tried: list[int] = []

        def holds(count: int, true: int = true, tried: list[int] = tried) -> bool:
            tried.append(count)
            return count <= true

        assert most_that(holds, limit) == true
        assert len(tried) == len(set(tried)) <= 2 * limit.bit_length(), "each trial takes seconds"
        assert max(tried) <= limit


@pytest.mark.parametrize(
    ("ran", "says"),
    [
        (FINE, ""),
        (replace(FINE, fps=19.9, dropped={"newer": 1}), ""),
        (replace(FINE, fps=19, dropped={"newer": 6, "encoder slow": 3}), "5% of the frames were dropped"),
        (replace(FINE, fps=19, dropped={"newer": 6, "encoder slow": 3}), "(3 encoder slow, 6 newer)"),
        (replace(FINE, age_ms=(400, 501, 600)), "p95 of the latency is 501 ms, above 500"),
        (replace(FINE, offered=18, fps=18), "18.0 of 20 frames per second came: the decoders cannot keep up"),
    ],
)
def test_what_is_not_held_is_said(ran: Chain, says: str) -> None:
    said = why_not(ran, asked=20, budget=0.5)
    assert says in said
    assert bool(said) is bool(says)
