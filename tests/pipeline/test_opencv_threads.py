"""What the whole process shares is as it was once the last run has ended: OpenCV's threads above all."""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import cv2
import pytest
from cli.shell import within
from clips import write_clip
from odd_stages import Clumsy, Echo
from pipelines import Numbers, Step, numbered
from placing import serving

from watchline.pipeline.remote.placed import placed
from watchline.pipeline.remote.ring import Ring
from watchline.pipeline.runner import Runner

THREADS = 3  # not one, and not what any machine begins with


@pytest.fixture(autouse=True)
def threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(THREADS)
    yield
    cv2.setNumThreads(before)


def begun(name):
    """A run under way."""
    messages = Runner([Step("detector", lambda item: item)]).run([Numbers(name, 3)])
    next(messages)
    return messages


def refuse(item):
    raise ValueError(item)


@pytest.mark.parametrize("first", [0, 1])
def test_runs_that_overlap_leave_them_as_they_were(first):
    runs = [begun("a"), begun("b")]
    assert cv2.getNumThreads() == 1
    list(runs.pop(first))
    assert cv2.getNumThreads() == 1, "the other one is still running"
    list(runs.pop())
    assert cv2.getNumThreads() == THREADS


def test_runs_in_many_threads_leave_them_as_they_were():
    threads = [threading.Thread(target=lambda n=n: list(begun(f"{n}"))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.getNumThreads() == THREADS


def test_a_run_that_is_left_or_fails_leaves_them_as_they_were():
    begun("a").close()
    assert cv2.getNumThreads() == THREADS
    list(Runner([Step("detector", refuse)]).run([Numbers("a", 3)]))
    assert cv2.getNumThreads() == THREADS
    with pytest.raises(LookupError, match="no model"):
        list(Runner([Clumsy(broken="no model")]).run([Numbers("a", 3)]))
    assert cv2.getNumThreads() == THREADS


@pytest.mark.parametrize("last", [0, 1])
def test_a_run_whose_threads_cannot_be_started_leaves_nothing(monkeypatch, last):
    """The system allows no more threads."""
    start, started = threading.Thread.start, []

    def few(thread):
        if len(started) > last:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", few)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(Runner([Step("detector", lambda item: item, 3)]).run([Numbers("a", 3)]))
    assert cv2.getNumThreads() == THREADS
    assert threading.active_count() == before


def test_a_stage_that_serves_others_leaves_them_as_they_were():
    with serving(Echo()) as place, placed(Echo(), place).open() as process:
        process(numbered(1))
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == THREADS


def shared():
    """What a library has no business to change for the rest of the program."""
    umask = os.umask(0)
    os.umask(umask)
    levels = {name: logging.getLogger(name).level for name in (None, "watchline", "libav", "asyncio")}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)}
    return umask, levels, handlers, dict(os.environ), sys.getswitchinterval(), Path.cwd(), cv2.getNumThreads()


def test_two_watches_at_once_leave_them_as_they_were(tmp_path):
    from watchline import Files, Job, Watch

    jobs = [Job([Numbers(f"{n}", 3)], [Step("any", lambda item: item)], [Files(tmp_path / n, None)]) for n in "ab"]
    watches = [Watch(job, is_kept=True) for job in jobs]
    runs = [watch.run() for watch in watches]
    for watch, run in zip(watches, runs, strict=True):
        next(run)
        watch.add(Numbers("more", 2))
    assert cv2.getNumThreads() == 1
    for watch, run in zip(watches, runs, strict=True):
        watch.stop()
        list(run)
    assert cv2.getNumThreads() == THREADS
    assert [outcome.error for watch in watches for outcome in watch.outcomes] == [None] * 4


def test_a_job_changes_nothing_of_the_process(tmp_path):
    from watchline import Annotate, Files, Job, find_sources

    write_clip(tmp_path / "a.mp4", 3)
    before = shared()
    sources = find_sources([tmp_path / "a.mp4"]).sources
    work = Annotate(Job(sources, sinks=[Files(tmp_path / "out")]))
    assert [progress.error for progress in work.run()][-1] is None
    assert shared() == before


def test_a_hubs_process_gives_back_its_signal_handlers(tmp_path, monkeypatch):
    read, write = os.pipe()
    os.close(write)  # the client is gone
    ring, before = Ring(1), shared()
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        words = ("--listen", "tcp://127.0.0.1:0", "--ring", ",".join(map(str, ring.descriptors)))
        done = within(tmp_path, "stage", "annotator", *words)
    ring.close()
    assert (done.code, done.err) == (0, [])
    assert shared() == before
