"""How many cores a process may use: its affinity and its container's share count, not the machine."""

import os

from watchline.engines.cores import cores


def test_cores_that_the_process_may_not_use_do_not_count(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 48)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5})
    assert cores() == 1
