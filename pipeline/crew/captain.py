"""The captain of a crew: it alone has the manifest, claims the files, and hands each to a member that has room.

    with opened(out) as manifest:
        manifest.plan(…)
        captain = Captain(manifest, files, [partial(Started, …) for _ in range(4)])
        for progress in captain.run(): ...

A member writes into a folder of its own, and the captain publishes what it has finished. A member that dies (`kill -9`,
no memory) is replaced, and what it had waits again; whatever it might still say or write, nobody takes. From then on
such a file is handed to a member that has no other, and when MOST of these have died, it has failed.
"""

import logging
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from watchline.files import rename
from watchline.pipeline.batch import Standing, remove_outputs, remove_parts_of, source_of, why_refused
from watchline.pipeline.board import Board
from watchline.pipeline.crew.member import Told, outputs_of
from watchline.pipeline.errors import ManifestError, one_line
from watchline.pipeline.job import inputs_of
from watchline.pipeline.lanes import Outcome, Progress
from watchline.pipeline.ledger import Account, Ledger
from watchline.pipeline.manifest import FAILED, RUNNING, SAME, WAITING, Figures, Manifest, Output, Row
from watchline.pipeline.meter import Meter
from watchline.pipeline.report import Report
from watchline.pipeline.sinks.files import Files
from watchline.streams.errors import SinkError
from watchline.streams.write.paths import make_folder, refuse_input

AHEAD = 2  # files that a member has at once: while one is written, the next one is read and hashed
MOST = 3  # times
RENEWED = 1.0  # seconds between looks into the manifest
DEADLY = f"{MOST} processes died that had nothing else to do"
log = logging.getLogger(__name__)


class Member(Protocol):
    """A process, here or elsewhere, that has begun."""

    def tell(self, told: Told) -> None:
        """For any thread; nothing happens if it has ended."""

    def hear(self) -> Iterator[Told]:
        """What it says, until it has ended."""

    def end(self) -> str:
        """Wait for its end. Returns what it died of; nothing if it ended properly.

        Raises:
            ManifestError: it could not begin, or could not go on; it has said why.
        """


class _Its:
    """What a member has.

    Attributes:
        folder: into which it writes.
        rows: that it was handed, by their ids.
        held: one that is to be its only one, until the others are over.
        frames: that it has written.
        is_ready: its stages have begun.
        is_told: that there are no more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[int, Row] = {}
        self.held: Row | None = None
        self.frames = 0
        self.is_ready = self.is_told = False


class Captain:
    """The captain at work.

    Args:
        manifest: that is open, and knows the files.
        files: the sink of the job, which says whether outputs that are not in the manifest may be replaced.
        places: each begins a member; it is told the folder that the member writes into.

    Attributes:
        outcomes: none; the manifest has them.
        report: of the whole run, once it is over.
    """

    outcomes: tuple[Outcome, ...] = ()
    report: Report

    def __init__(self, manifest: Manifest, files: Files, places: Sequence[Callable[[Path], Member]]) -> None:
        self._manifest, self._files, self._places = manifest, files, places
        self._board, self._lock, self._halt = Board(), threading.Lock(), threading.Event()
        self._members: list[Member] = []
        self._crew: list[_Its] = []
        self._meter, self._ledger = Meter(), Ledger()
        self._deaths = 0  # one after another, of members whose stages have not begun
        self._died_of: Counter[int] = Counter()  # deaths of members, by the only row that they had
        self._known: set[int] = set()  # rows that a member had when it died
        self._error: BaseException | None = None
        self._begun = time.monotonic()
        self._counts, self._next = manifest.counts(), self._begun + RENEWED
        self._bytes = self._counts.get(WAITING, (0, 0))[1]
        remove_parts_of(files, manifest.left)

    def stop(self) -> None:
        """Finish what was begun properly, and begin nothing more. Any thread or signal handler may call it."""
        self._halt.set()

    def run(self) -> Iterator[Progress]:
        """Do the job. Yields how far it is, by the stream that was last at work.

        Raises:
            ManifestError: a member could not begin, or could not go on; it has said why.
        """
        self._begun = time.monotonic()
        threads = [threading.Thread(target=self._keep, args=(begin,)) for begin in self._places]
        threads += [threading.Thread(target=self._close, args=([*threads],)), threading.Thread(target=self._pass_on)]
        for thread in threads:
            thread.start()
        try:
            yield from self._board.read()
        finally:
            self._halt.set()
            for thread in threads:
                thread.join()
            shutil.rmtree(self._manifest.staging, ignore_errors=True)
        if self._error is not None:
            raise self._error
        self.report = Report.of(self._ledger, self._meter, time.monotonic() - self._begun, {})

    def standing(self) -> Standing:
        """How far the job is. For any thread."""
        now = time.monotonic()
        with self._lock:
            if now >= self._next:
                self._counts, took = self._manifest.counts(), time.monotonic() - now
                self._next = now + max(RENEWED, 50 * took)  # of a million rows, it takes a while
            counts, frames = self._counts, sum(its.frames for its in self._crew)
        left = [counts.get(state, (0, 0)) for state in (WAITING, RUNNING)]
        total, done = sum(count for count, _ in counts.values()), self._bytes - sum(size for _, size in left)
        files, seconds = total - sum(count for count, _ in left), now - self._begun
        eta = seconds * (self._bytes - done) / done if done else None
        return Standing(files, total, counts.get(FAILED, (0, 0))[0], frames, seconds, eta)

    # What the thread of each place does.

    def _keep(self, begin: Callable[[Path], Member]) -> None:
        """One member after another, as long as there is something to do."""
        try:
            while not self._halt.is_set() and WAITING in self._manifest.counts():
                folder = self._manifest.staging / os.urandom(8).hex()
                make_folder(folder)
                self._lead(begin(folder), _Its(folder))
                shutil.rmtree(folder, ignore_errors=True)
        except BaseException as error:
            self._error = self._error or error
            self._halt.set()

    def _lead(self, member: Member, its: "_Its") -> None:
        with self._lock:
            self._crew.append(its)
        self._members.append(member)
        try:
            for told in member.hear():
                self._hear(member, its, told)
                self._hand(member, its)
        finally:
            self._members.remove(member)
            cause = ""
            try:
                cause = member.end()
            finally:
                self._take_back(its, cause)
        if not {WAITING, RUNNING} & self._manifest.counts().keys():
            self._halt.set()  # who has not begun need not
        if cause:
            log.warning("a process of the job died of %s; another one takes its place", cause)

    def _hand(self, member: Member, its: _Its) -> None:
        """Hand over files, as many as there is room for."""
        if self._halt.is_set() and not its.is_told:
            its.is_told = True
            member.tell({"stop": True})
        if not its.is_ready:
            return
        while not its.is_told and len(its.rows) < (1 if self._known & its.rows.keys() else AHEAD):
            row, its.held = its.held or self._manifest.claim(self._why_refused), None
            if row is None:
                its.is_told = True
                member.tell({"end": True})
            elif row.id in self._known and its.rows:
                its.held = row
                return
            else:
                its.rows[row.id] = row
                member.tell({"row": asdict(row)})

    def _why_refused(self, row: Row) -> str:
        return why_refused(row, self._files, self._manifest.folder)

    def _hear(self, member: Member, its: _Its, told: Told) -> None:
        if "finished" in told:
            row = its.rows.pop(told["finished"])
            outputs = None if told["outputs"] is None else outputs_of(told)
            state, why = told["state"], told["why"]
            try:
                if outputs or (outputs is not None and state == SAME):
                    self._publish(row, its.folder, outputs)
            except (SinkError, OSError) as error:  # as where it is written by one process, it costs this file
                state, why, outputs = FAILED, one_line(error), []
            self._manifest.finish(row, state, Figures(**told["figures"]), why, outputs)
        elif "released" in told:
            self._manifest.release(its.rows.pop(told["released"]))
        elif "twin" in told:
            member.tell({"twin": self._manifest.twin(its.rows[told["twin"]], told["content"])})
        elif "ready" in told:
            its.is_ready = True
        else:
            with self._lock:
                its.frames = told["frames"]
                if "meter" in told:
                    self._meter.take(told["meter"])
                    for stream, account in told["accounts"].items():
                        self._ledger.take(stream, Account(**account))
            if "stream" in told:
                self._board.post(Progress(told["stream"], None, told["frames"]))

    def _publish(self, row: Row, folder: Path, outputs: Sequence[Output]) -> None:
        """What a member has written takes the place of what the row has from earlier.

        Raises:
            SinkError, OSError: it cannot, or would replace the input.
        """
        paths = [self._manifest.folder / each.path for each in outputs]
        for path in paths:
            refuse_input(path, inputs_of(source_of(row)))
        remove_outputs(self._manifest.folder, self._manifest.outputs(row))
        for each, path in zip(outputs, paths, strict=True):
            make_folder(path.parent)
            if "paths" in row.source:  # photos are not synced one by one
                (folder / each.path).replace(path)
            else:
                rename(folder / each.path, path)

    def _take_back(self, its: _Its, cause: str) -> None:
        """What a member had when it ended waits again, or has failed."""
        rows = [*its.rows.values()]
        if cause:
            self._known.update(its.rows)
            self._died_of.update([row.id for row in rows] if len(rows) == 1 else [])
        for row in rows:
            if cause and self._died_of[row.id] >= MOST:
                self._manifest.finish(row, FAILED, Figures(), DEADLY)
            else:
                self._manifest.release(row)
        if its.held:
            self._manifest.release(its.held)
        self._deaths = 0 if its.is_ready else self._deaths + bool(cause)
        if self._deaths >= MOST:
            raise ManifestError(f"processes of the job die before they begin, {self._deaths} of them of {cause}")

    # What other threads do.

    def _pass_on(self) -> None:
        """Tell all that the job is to stop. (Not in `stop`: a signal handler may not wait for a lock.)"""
        self._halt.wait()
        for member in [*self._members]:
            member.tell({"stop": True})

    def _close(self, threads: Sequence[threading.Thread]) -> None:
        for thread in threads:
            thread.join()
        with self._lock:
            self._next = 0.0  # the last look is to be true
        self._board.close()
