"""How many cores a process may use: its affinity and its container's share count, not the machine."""

import os

from watchline.engines.cores import cores, shares


def test_cores_that_the_process_may_not_use_do_not_count(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 48)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert cores() == 1


def test_processes_share_the_cores_evenly_and_each_has_one(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 8})
    assert shares(1) == [{0, 1, 2, 3, 8}]
    assert shares(2) == [{0, 1}, {2, 3, 8}]
    assert shares(5) == [{0}, {1}, {2}, {3}, {8}]
    assert sorted(min(each) for each in shares(7)) == [0, 0, 1, 2, 2, 3, 8]
    monkeypatch.delattr(os, "sched_getaffinity")
    assert shares(2) == [set(), set()]
