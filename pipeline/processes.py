"""A job with a manifest that several processes of this machine do: each claims files, until none is waiting.

    with opened(out, is_shared=True) as manifest:
        manifest.plan(…)
        work = Processes(manifest, files, count=4, words=["annotate", …])
        for progress in work.run(): ...

A process says on its standard output how far it is, and at its end what it has measured, a line of JSON each. It ends
with its standard input, so it never outlives this one; and it inherits the lock of the manifest, so that no other job
begins while it is alive. One that dies (`kill -9`, no memory) is started again. A file that a process has died of MOST
times has failed.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchline.engines.cores import shares
from watchline.pipeline.batch import Standing, remove_parts_of
from watchline.pipeline.board import Board
from watchline.pipeline.errors import ManifestError
from watchline.pipeline.lanes import Outcome, Progress
from watchline.pipeline.ledger import Account, Ledger
from watchline.pipeline.manifest import FAILED, RUNNING, WAITING, Manifest, new_lease
from watchline.pipeline.meter import Meter
from watchline.pipeline.report import Report
from watchline.pipeline.sinks.files import Files

MOST = 3  # times
RENEWED = 1.0  # seconds between looks into the manifest
STOP = "stop\n"
log = logging.getLogger(__name__)


class Processes:
    """The processes at work.

    Args:
        manifest: that is open, is shared, and knows the files.
        files: the sink of the job.
        count: of processes, which share this one's cores.
        words: the command line that each obeys, with the lease that it is told.

    Attributes:
        outcomes: none; the manifest has them.
        report: of the whole run, once it is over.
    """

    outcomes: tuple[Outcome, ...] = ()
    report: Report

    def __init__(self, manifest: Manifest, files: Files, count: int, words: Sequence[str]) -> None:
        self._manifest, self._files, self._words = manifest, files, words
        self._cores = shares(count)
        self._board, self._lock, self._halt = Board(), threading.Lock(), threading.Event()
        self._alive: dict[int, subprocess.Popen[str]] = {}
        self._frames: Counter[str] = Counter()  # that each process has written, by its lease
        self._meter, self._ledger = Meter(), Ledger()
        self._deaths = 0  # one after another, of processes that had no file
        self._error: BaseException | None = None
        self._begun = time.monotonic()
        self._counts, self._counted = manifest.counts(), self._begun
        self._bytes = self._counts.get(WAITING, (0, 0))[1]
        remove_parts_of(files, manifest.left)

    def stop(self) -> None:
        """Finish what was begun properly, and begin nothing more. Any thread or signal handler may call it."""
        self._halt.set()
        for process in [*self._alive.values()]:
            _say(process, STOP)

    def run(self) -> Iterator[Progress]:
        """Do the job. Yields how far it is, by the stream that was last at work.

        Raises:
            ManifestError: a process could not begin, or could not go on; it has said why.
        """
        self._begun = time.monotonic()
        threads = [threading.Thread(target=self._keep, args=(place,)) for place in range(len(self._cores))]
        for thread in threads:
            thread.start()
        closing = threading.Thread(target=self._close, args=(threads,))
        closing.start()
        try:
            yield from self._board.read()
        finally:
            self.stop()
            closing.join()
        if self._error is not None:
            raise self._error
        self.report = Report.of(self._ledger, self._meter, time.monotonic() - self._begun, {})

    def standing(self) -> Standing:
        """How far the job is. For any thread."""
        now = time.monotonic()
        with self._lock:
            if now - self._counted >= RENEWED:
                self._counts, self._counted = self._manifest.counts(), now
            counts, frames = self._counts, self._frames.total()
        left = [counts.get(state, (0, 0)) for state in (WAITING, RUNNING)]
        total, done = sum(count for count, _ in counts.values()), self._bytes - sum(size for _, size in left)
        files, seconds = total - sum(count for count, _ in left), now - self._begun
        eta = seconds * (self._bytes - done) / done if done else None
        return Standing(files, total, counts.get(FAILED, (0, 0))[0], frames, seconds, eta)

    # What the thread of each process does.

    def _keep(self, place: int) -> None:
        """One process after another, as long as there is something to do."""
        try:
            while not self._halt.is_set() and WAITING in self._manifest.counts():
                self._one(place)
        except BaseException as error:
            self._error = self._error or error
            self.stop()

    def _one(self, place: int) -> None:
        lease, held = new_lease(), self._manifest.held
        assert held is not None, "the manifest was opened, not joined"
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "watchline.cli.annotate_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(held,),
            process_group=0,  # Ctrl-C in a terminal reaches this process alone
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        )
        assert process.stdout is not None, "asked for"
        with process:
            self._alive[place] = process
            _say(process, json.dumps({"words": self._words, "lease": lease, "cores": [*self._cores[place]]}) + "\n")
            if self._halt.is_set():  # since it was looked at
                _say(process, STOP)
            for line in process.stdout:
                self._hear(lease, line)
            code = process.wait()
            del self._alive[place]
        rows = self._manifest.free(lease, MOST)
        remove_parts_of(self._files, rows)
        self._deaths = 0 if rows else self._deaths + (code < 0)
        if code < 0 and self._deaths < MOST:
            log.warning("a process of the job died of %s; another one takes its place", signal.Signals(-code).name)
        elif code:
            raise ManifestError(f"a process of the job ended with exit code {code}, before the files were done")

    def _hear(self, lease: str, line: str) -> None:
        told = json.loads(line)
        with self._lock:
            self._frames[lease] = told["frames"]
            if "meter" in told:
                self._meter.take(told["meter"])
                for stream, account in told["accounts"].items():
                    self._ledger.take(stream, Account(**account))
        if "stream" in told:
            self._board.post(Progress(told["stream"], None, told["frames"]))

    def _close(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join()
        with self._lock:
            self._counted = 0.0  # the last look is to be true
        self._board.close()


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None, "asked for"
    with suppress(OSError, ValueError):  # it has ended
        process.stdin.write(line)
        process.stdin.flush()
