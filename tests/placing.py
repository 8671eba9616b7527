"""Stages elsewhere, for tests: in a process, or over tcp in this one."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace

from watchline.pipeline.remote.placed import Place, place_of, placed
from watchline.pipeline.remote.server import Server
from watchline.pipeline.stages.registry import name_of

PROCESS = place_of("process")


@contextmanager
def serving(stage, address="tcp://127.0.0.1:0", keys=None):
    """A stage that another hub might use too, in this process. Yields its place."""
    with Server(name_of(stage), address, keys) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Place("tcp", server.address)
        finally:
            server.stop()
            thread.join()


@contextmanager
def somewhere(kind, stage):
    if kind == "process":
        yield placed(stage, PROCESS)
    else:
        with serving(stage) as place:
            yield placed(stage, place)


def pid_of(items):
    return int(items[0].detections.labels[0])


def live(items):
    return [replace(item, deadline=time.monotonic() + 60) for item in items]
