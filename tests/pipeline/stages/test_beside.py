"""Work beside the chain: the newest job of each key, one after the other, and an end that waits for what is begun."""

import os
import sys
import threading

import pytest

from watchline.pipeline.stages.beside import NICE, Beside


def wait_for(beside, key):
    for _ in range(1000):
        if (result := beside.taken(key)) is not None:
            return result
        threading.Event().wait(0.01)
    raise AssertionError(f"nothing came of {key}")


def test_a_newer_job_replaces_the_one_that_waits():
    begun, go, done = threading.Event(), threading.Event(), []

    def held():
        begun.set()
        go.wait(10)
        return "first"

    with Beside(1) as beside:
        beside.put("a", held)
        begun.wait(10)
        beside.put("b", lambda: done.append("b") or "b")
        for word in ("second", "third"):
            beside.put("a", lambda word=word: done.append(word) or word)
        go.set()
        assert wait_for(beside, "b") == "b"
        results = {wait_for(beside, "a")}
        while "third" not in results:
            results.add(wait_for(beside, "a"))
    assert done == ["b", "third"]


def test_a_forgotten_key_gets_nothing():
    begun, go = threading.Event(), threading.Event()
    with Beside(1) as beside:
        beside.put("a", lambda: begun.set() or go.wait(10) or "late")
        begun.wait(10)
        beside.put("a", lambda: "later")
        beside.forget("a")
        beside.put("b", lambda: "b")
        go.set()
        assert wait_for(beside, "b") == "b"
        assert beside.taken("a") is None


def test_an_error_is_raised_where_the_result_is_asked_for():
    def fails():
        raise ValueError("no")

    with Beside(1) as beside:
        beside.put("a", fails)
        with pytest.raises(ValueError, match="no"):
            wait_for(beside, "a")
        assert beside.taken("a") is None


def test_the_end_waits_for_what_is_being_done_and_begins_nothing_more():
    begun, done = threading.Event(), []
    with Beside(1) as beside:
        beside.put("a", lambda: begun.set() or threading.Event().wait(0.2) or done.append("a"))
        begun.wait(10)
        beside.put("b", lambda: done.append("b"))
    assert done == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
def test_the_thread_gives_way_to_others():
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with Beside(1) as beside:
        beside.put("a", lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert wait_for(beside, "a") == min(ours + NICE, 19)
