"""A budget holds as long as the stages can be that fast; where they cannot, it says which one would do."""

import time
from dataclasses import replace

import pytest
from pipelines import numbered

from watchline.pipeline import budget as module
from watchline.pipeline.budget import Budget


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still: seconds in a list."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def live(budget, arrival, taken=None):
    return replace(numbered(1)[0], deadline=arrival + budget.seconds, taken=taken)


def test_a_frame_is_late_when_it_is_older_than_the_budget(clock):
    budget = Budget(0.5)
    budget.worked("detector", 0.1)
    item = live(budget, 1000.0, taken=1000.02)
    clock[0] += 0.3
    assert not budget.is_late(item, ("detector",))
    clock[0] += 0.15
    assert budget.is_late(item, ("detector",)), "it would be late in the end"
    assert not budget.is_late(item), "it is through"
    clock[0] += 0.1
    assert budget.is_late(item)


def test_files_are_never_late(clock):
    assert not Budget(0.5).is_late(numbered(1)[0], ("detector",))


def test_where_the_stages_need_longer_a_frame_has_what_they_need(clock):
    budget = Budget(0.5)
    item = live(budget, 1000.0, taken=1000.02)
    clock[0] += 2.02
    budget.worked("detector", 2.0)
    assert not budget.is_late(item)
    clock[0] += 3.0
    assert budget.is_late(item)


def test_what_a_stage_needed_once_is_forgotten(clock):
    budget = Budget(0.5)
    budget.worked("detector", 8.0)
    clock[0] += 10 * module.HALF_LIFE
    item = live(budget, clock[0], taken=clock[0])
    clock[0] += 0.6
    assert budget.is_late(item)


def test_a_frame_that_had_to_wait_for_its_turn_is_still_taken(clock):
    budget = Budget(0.5)
    budget.worked("detector", 0.1)
    item = live(budget, 997.0, taken=1000.0)
    clock[0] += 0.1
    assert not budget.is_late(item)


@pytest.mark.parametrize(
    ("seconds", "age", "told"),
    [
        (0.5, 0.73, "a latency budget of 500ms is impossible: 880ms would do (frames take 730ms and are late)"),
        (0.5, 11.0, "a latency budget of 500ms is impossible: 14s would do (frames take 11s and are late)"),
        (0.5, 0.4, ""),
        (12.0, 0.73, ""),
    ],
)
def test_most_frames_being_late_is_said_with_the_budget_that_would_do(clock, seconds, age, told):
    budget = Budget(seconds)
    for _ in range(5):
        budget.passed(live(budget, clock[0] - age))
        assert bool(budget.trouble()) == bool(told and clock[0] - 1000 > module.PROOF), "not of the first frames"
        clock[0] += 0.6
    assert budget.trouble().startswith(told)
    assert bool(budget.verdict()) == bool(told)
    clock[0] += 60
    assert budget.trouble() == ""
    assert bool(budget.verdict()) == bool(told)
