"""bench/batch_sim.py: its sums are right where they are known."""

import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(scope="module")
def sim():
    spec = spec_from_file_location("batch_sim", BENCH / "batch_sim.py")
    module = module_from_spec(spec)
    sys.modules["batch_sim"] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["batch_sim"]


def test_the_work_of_all_parts_is_that_of_the_files(sim):
    world = sim.World(files=200_000, seconds=3.0, overhead=0.5)
    works, longest = sim.work_of_parts(world, [7, 100], np.random.default_rng(0))
    assert works[0].sum() == pytest.approx(works[1].sum())
    assert works[0].sum() == pytest.approx(200_000 * 3.5, rel=0.02)
    assert longest > 10 * world.seconds


def test_machines_that_never_die_take_what_the_parts_need(sim):
    world = sim.World(machines=2, start=1.0, lives=1e12, slow=0.0)
    rng = np.random.default_rng(0)
    assert sim.schedule(world, np.array([5.0, 3.0, 4.0]), rng) == (9.0, 0)  # 1 + 5 beside 1 + 3, 1 + 4
    assert sim.schedule(replace(world, slow=1.0), np.array([5.0, 3.0]), rng) == (11.0, 0)
    seconds, deaths = sim.schedule(replace(world, lives=1 / 3600), np.array([1000.0]), rng)
    assert deaths > 900
    assert seconds > 1001 + 900 * (1 + world.seconds / 2)


def test_more_parts_wait_less_for_the_slowest_machine(sim):
    world = sim.World(files=100_000, machines=20, slow=0.1)
    works, _ = sim.work_of_parts(world, [20, 400], np.random.default_rng(0))
    few, many = (sim.schedule(world, work, np.random.default_rng(1))[0] for work in works)
    assert many < 0.7 * few
