"""Stages elsewhere, for tests: in a process, or over tcp in this one."""

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipelines import Script

from watchline.pipeline.message import Item
from watchline.pipeline.remote.allowed import Allowed
from watchline.pipeline.remote.placed import Place, origin, place_of, placed
from watchline.pipeline.remote.server import Server
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.registry import name_of

PROCESS = place_of("process")


@contextmanager
def serving(stage, address="tcp://127.0.0.1:0", keys=None, others=(), allowed=Allowed()):  # noqa: B008
    """A stage that another client might use too, in this process. Yields its place."""
    names = [name_of(origin(other)) for other in others]
    with Server(name_of(stage), address, keys, others=names, allowed=allowed) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Place("tcp", server.address)
        finally:
            server.stop()
            thread.join()


@contextmanager
def somewhere(kind, stage, before=(), folders=()):
    """The stage in a thread, in a process or over tcp; `before` are the stages before it in the chain, `folders` have
    its models.
    """
    if kind == "tcp":
        with serving(stage, others=before, allowed=Allowed.of((), tuple(folders))) as place:
            yield placed(stage, place, before)
    else:
        yield placed(stage, place_of(kind), before)


def pid_of(items):
    return int(items[0].detections.labels[0])


def live(items):
    return [replace(item, deadline=time.monotonic() + 60) for item in items]


@dataclass(frozen=True)
class Patient(Script):
    """A live source that begins when the stages are open."""

    is_open: Callable[[], bool] = bool

    @contextmanager
    def open(self):
        until = time.monotonic() + 20
        while not self.is_open() and time.monotonic() < until:
            time.sleep(0.01)
        with super().open() as reader:
            yield reader


def live_run(stages, script, enough):
    """What a run of a live stream says until it has been enough, and no longer than 20 seconds."""
    runner, messages = Runner(stages, latency_budget=30), []
    source = Patient(
        script.stream, script.epochs, opened=script.opened, is_open=lambda: len(runner.about) == len(stages)
    )
    timer = threading.Timer(20, runner.stop)
    timer.start()
    for message in runner.run([source]):
        messages.append(message)
        if enough(messages):
            runner.stop()
    timer.cancel()
    assert all(account.balances and account.in_flight == 0 for account in runner.ledger.accounts().values())
    return messages


def items_of(messages, epoch=None):
    return [m for m in messages if isinstance(m, Item) and m.frame.epoch == epoch]
