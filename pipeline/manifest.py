"""The manifest of a job: a row for each file, in `watchline.db` beside the outputs. docs/batch.md has its promises.

    with opened(Path("out")) as manifest:
        manifest.plan(files, retry=False, once=False)
        while (row := manifest.claim(refuse)) is not None:
            …
            manifest.finish(row, DONE, Figures(…), outputs=[…])

SQLite keeps it (write-ahead log); what a call has changed is on the disk when it returns. A row is done only when its
outputs are on the disk, so a process may be killed at any moment: what it leaves is running, and is waiting again for
whoever opens the manifest next.
"""

import json
import os
import re
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from watchline.files import NOT_SUPPORTED, unshared
from watchline.pipeline.errors import ManifestError
from watchline.pipeline.shard import Shard

NAME = "watchline.db"
LOCK = ".lock"  # the suffix of the file beside it that is locked
VERSION = 1  # of the tables
WAITING, RUNNING, DONE, FAILED, SAME, DAMAGED = STATES = ("waiting", "running", "done", "failed", "same", "damaged")
PAGE = 1000  # rows that are in memory at once
SHARD = re.compile(r".*-(\d+)-of-(\d+)\.db")  # names of the manifests of parts
PATIENCE = 10.0  # seconds that a reader may hold up a commit
# Names are bytes, as those of files are.
TABLES = f"""
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,      -- of its stream and outputs
    source TEXT NOT NULL,           -- settings of its source, JSON
    named INTEGER NOT NULL,         -- whether the newest run has named it
    state TEXT NOT NULL,            -- {", ".join(STATES)}
    lease TEXT,                     -- of the run that has it while it is running
    tries INTEGER NOT NULL,         -- how often it was begun
    bytes INTEGER NOT NULL,         -- of the input
    config TEXT NOT NULL,           -- hash of the settings that decide what its outputs are
    model TEXT NOT NULL,            -- hash of the models
    stamp TEXT,                     -- size and time of the input when it was hashed
    content TEXT,                   -- hash of the input; missing where the outputs are not of it
    why TEXT,                       -- it failed; or the name of the file of the same content
    notes TEXT,                     -- what was odd, a line each
    frames INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0
);
CREATE INDEX turns ON files (named, state, tries, id);
CREATE INDEX contents ON files (content);
CREATE TABLE outputs (
    file INTEGER NOT NULL,
    path BLOB NOT NULL,             -- below the folder of the manifest
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (file, path)
) WITHOUT ROWID;
PRAGMA user_version = {VERSION};
"""
COLUMNS = "id, name, source, state, tries, bytes, config, model, stamp, content, why, notes, frames, seconds"


@dataclass(frozen=True, slots=True)
class Planned:
    """A file that a run names: its stream's name, settings of its source as JSON values, size, stamp, and hashes."""

    name: str
    source: Mapping[str, Any]
    bytes: int
    stamp: str
    config: str
    model: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read; the table says what the columns are."""

    id: int
    name: str
    source: Mapping[str, Any]
    state: str
    tries: int
    bytes: int
    config: str
    model: str
    stamp: str | None
    content: str | None
    why: str | None
    notes: str | None
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Output:
    """A file that was written: its path below the folder of the manifest, its size and its SHA-256."""

    path: Path
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a file that is over: stamp and hash of its input, frames that were written, seconds, notes."""

    stamp: str | None = None
    content: str | None = None
    frames: int = 0
    seconds: float = 0.0
    notes: str | None = None


@contextmanager
def opened(folder: Path, is_new: bool = True, shard: Shard | None = None) -> Iterator["Manifest"]:
    """The manifest of an output folder, which no other process may open meanwhile.

    Args:
        is_new: whether there may be none, and then one is made.
        shard: the part of the job's files that it is of; each part has a manifest of its own.

    Raises:
        ManifestError: another process has it; there is none, or one of other parts; it cannot be read or written.
    """
    path = folder / file_of(shard)
    if not is_new and not path.is_file():
        raise ManifestError(f"{path}: there is no manifest; `watchline annotate … --out {folder} --resume` makes one")
    for other in all_in(folder) if is_new else ():
        if _parts(other) != _parts(shard):
            raise ManifestError(
                f"{folder} has a job in {_parts(other)} parts, and this one has {_parts(shard)}: a job keeps its "
                "parts; name another folder"
            )
    with ExitStack() as stack:
        try:
            lock = path.with_suffix(LOCK)
            held = stack.enter_context(unshared(lock)).fileno()
            stack.callback(lock.unlink, missing_ok=True)
            db = stack.enter_context(closing(_connection(path, is_alone=shard is not None)))
            manifest = Manifest(path, db, held)
        except ManifestError:
            raise
        except BlockingIOError:
            raise ManifestError(f"{folder} is being written by another job: wait, or name another folder") from None
        except sqlite3.Error as error:
            raise _refused(path, error) from error
        except OSError as error:
            if error.errno in NOT_SUPPORTED:
                raise ManifestError(f"{folder}: its file system has no locks; a job needs another folder") from error
            raise ManifestError(f"{folder} cannot be written: {error.strerror}; check owner and rights") from error
        shutil.rmtree(manifest.staging, ignore_errors=True)  # of a job that was killed
        yield manifest


def file_of(shard: Shard | None) -> str:
    """The name of a manifest's file."""
    return f"{Path(NAME).stem}{shard.suffix}.db" if shard else NAME


def all_in(folder: Path) -> list[Shard | None]:
    """The parts of a job whose manifests are in a folder; None stands for the one of a whole job."""
    found: list[Shard | None] = [None] if (folder / NAME).is_file() else []
    parts = (SHARD.fullmatch(path.name) for path in folder.glob(f"{Path(NAME).stem}-*.db"))
    return found + sorted((Shard(int(m[1]), int(m[2])) for m in parts if m), key=lambda one: (one.count, one.number))


def _parts(shard: Shard | None) -> int:
    return shard.count if shard else 1


def _connection(path: Path, is_alone: bool) -> sqlite3.Connection:
    """Args: is_alone, nobody else may read it meanwhile; then it needs no memory that processes share, which file
    systems of a network have not.
    """
    db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        if is_alone:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        [version] = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN;{TABLES}COMMIT;")
        elif version != VERSION:
            raise ManifestError(f"{path} has version {version} of the manifest: expected {VERSION}; use another folder")
    except BaseException:
        db.close()
        raise
    return db


def _refused(path: Path, error: sqlite3.Error) -> ManifestError:
    return ManifestError(f"{path}: {error}; make room or check its rights, or move it away and begin anew")


class Manifest:
    """An open manifest; any thread may use it.

    Attributes:
        path: of its file.
        folder: of the outputs.
        staging: where processes that share a job write what is not finished.
        held: the descriptor of its lock; a process that inherits it keeps others out, as this one does.
        left: rows that a killed process left running; they are waiting again.
    """

    def __init__(self, path: Path, db: sqlite3.Connection, held: int) -> None:
        self.path, self.folder, self.held = path, path.parent, held
        self.staging = path.with_name(f".{path.stem}-members")
        self._db = db
        self._lock = threading.RLock()
        self._lease = f"{os.getpid()}-{os.urandom(4).hex()}"
        self.left = [*self.rows(RUNNING)]
        with self._changing():
            db.execute("UPDATE files SET state = ?, lease = NULL, content = NULL WHERE state = ?", (WAITING, RUNNING))

    def plan(self, files: Iterable[Planned], retry: bool, once: bool) -> Counter[str]:
        """Take the files of this run. What is done, and still what it was, stays done; what has changed waits.

        Args:
            retry: let those wait that have failed.
            once: files of the same content may be done once.

        Returns:
            how many are done anew, by the reason.
        """
        anew: Counter[str] = Counter()
        with self._changing() as db:
            db.execute("UPDATE files SET named = 0")
            for file in files:
                source = json.dumps(file.source, default=str)
                found = db.execute(f"SELECT {COLUMNS} FROM files WHERE name = ?", (os.fsencode(file.name),)).fetchone()
                if found is None:
                    db.execute(
                        "INSERT INTO files (name, source, named, state, tries, bytes, config, model) "
                        "VALUES (?, ?, 1, ?, 0, ?, ?, ?)",
                        (os.fsencode(file.name), source, WAITING, file.bytes, file.config, file.model),
                    )
                    continue
                row = _row(found)
                why = self._why_anew(row, file)
                waits = (
                    why or row.state == DAMAGED or (row.state == FAILED and retry) or (row.state == SAME and not once)
                )
                anew.update([why] if why and row.state in (DONE, SAME) else [])
                # Outputs are there and of this content, and it remains to be seen whether the input still has it.
                is_finished = row.state in (DONE, WAITING) and why in ("", "input")
                content = row.content if is_finished or not waits else None
                db.execute(
                    "UPDATE files SET named = 1, source = ?, bytes = ?, config = ?, model = ?, state = ?, content = ? "
                    "WHERE id = ?",
                    (source, file.bytes, file.config, file.model, WAITING if waits else row.state, content, row.id),
                )
            db.execute(
                "UPDATE files SET state = ?, content = NULL WHERE named AND state = ? AND NOT EXISTS (SELECT 1 FROM "
                "files AS other WHERE other.content = files.content AND other.named AND other.state = ?)",
                (WAITING, SAME, DONE),
            )
        return anew

    def _why_anew(self, row: Row, file: Planned) -> str:
        """What of a row has changed: "model", "config", "outputs" or "input"; nothing if it has not."""
        if row.model != file.model:
            return "model"
        if row.config != file.config:
            return "config"
        if row.content is not None and row.state in (DONE, WAITING) and not self._are_there(row):
            return "outputs"
        return "input" if row.stamp is not None and row.stamp != file.stamp else ""

    def _are_there(self, row: Row) -> bool:
        """Whether its outputs are, in their size."""
        try:
            return all((self.folder / each.path).stat().st_size == each.bytes for each in self.outputs(row))
        except OSError:
            return False

    def claim(self, refuse: Callable[[Row], str]) -> Row | None:
        """The next row, which is running from now on; those that were begun least often first. None: none is waiting.

        Args:
            refuse: says why a row cannot be begun, which has failed then; nothing if it can.
        """
        while True:
            with self._changing() as db:
                found = db.execute(
                    f"SELECT {COLUMNS} FROM files WHERE named = 1 AND state = ? ORDER BY tries, id LIMIT 1", (WAITING,)
                ).fetchone()
                if found is None:
                    return None
                row = _row(found)
                why = refuse(row)
                if not why:
                    db.execute(
                        "UPDATE files SET state = ?, lease = ?, tries = tries + 1, content = NULL WHERE id = ?",
                        (RUNNING, self._lease, row.id),
                    )
                    return row
                db.execute("UPDATE files SET state = ?, why = ? WHERE id = ?", (FAILED, why, row.id))

    def twin(self, row: Row, content: str) -> str | None:
        """The name of another file of the same content that is done, or running, with the same settings; the row is
        known to have this content from now on.
        """
        with self._changing() as db:
            found = db.execute(
                "SELECT name FROM files WHERE content = ? AND id <> ? AND named AND state IN (?, ?) AND config = ? "
                "AND model = ? LIMIT 1",
                (content, row.id, DONE, RUNNING, row.config, row.model),
            ).fetchone()
            db.execute("UPDATE files SET content = ? WHERE id = ?", (content, row.id))
        return None if found is None else os.fsdecode(found[0])

    def finish(
        self, row: Row, state: str, figures: Figures, why: str | None = None, outputs: Sequence[Output] | None = None
    ) -> None:
        """A row is over. Args: outputs, on the disk; None leaves those that it has."""
        with self._changing() as db:
            db.execute(
                "UPDATE files SET state = ?, lease = NULL, why = ?, stamp = ?, content = ?, frames = ?, seconds = ?, "
                "notes = ? WHERE id = ?",
                (state, why, *astuple(figures), row.id),
            )
            if outputs is not None:
                db.execute("DELETE FROM outputs WHERE file = ?", (row.id,))
                db.executemany(
                    "INSERT INTO outputs VALUES (?, ?, ?, ?)",
                    [(row.id, os.fsencode(each.path), each.bytes, each.sha256) for each in outputs],
                )

    def release(self, row: Row) -> None:
        """A row was begun and not finished: it is waiting again."""
        with self._changing() as db:
            db.execute("UPDATE files SET state = ?, lease = NULL, content = NULL WHERE id = ?", (WAITING, row.id))

    def damage(self, row: Row) -> None:
        """A row's outputs are not what they were: it is done again by the next job."""
        with self._changing() as db:
            db.execute("UPDATE files SET state = ?, content = NULL WHERE id = ?", (DAMAGED, row.id))

    def outputs(self, row: Row) -> list[Output]:
        """The files that were written for it."""
        with self._reading() as db:
            found = db.execute("SELECT path, bytes, sha256 FROM outputs WHERE file = ?", (row.id,)).fetchall()
        return [Output(Path(os.fsdecode(path)), size, sha256) for path, size, sha256 in found]

    def counts(self) -> dict[str, tuple[int, int]]:
        """How many of the files of this run are in each state, and how many bytes they have."""
        with self._reading() as db:
            found = db.execute("SELECT state, COUNT(*), SUM(bytes) FROM files WHERE named GROUP BY state").fetchall()
        return {state: (count, size) for state, count, size in found}

    def rows(self, *states: str, named: bool = False) -> Iterator[Row]:
        """The rows in these states, in their order, a page at a time. Args: named, only those that this run names."""
        marks = ", ".join("?" * len(states))
        last = -1
        while True:
            with self._reading() as db:
                page = db.execute(
                    f"SELECT {COLUMNS} FROM files WHERE id > ? AND named >= ? AND state IN ({marks}) "
                    "ORDER BY id LIMIT ?",
                    (last, int(named), *states, PAGE),
                ).fetchall()
            yield from map(_row, page)
            if len(page) < PAGE:
                return
            last = page[-1][0]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise _refused(self.path, error) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing of what the block does, on the disk at its end."""
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def _row(found: tuple[Any, ...]) -> Row:
    id_, name, source, *rest = found
    return Row(id_, os.fsdecode(name), json.loads(source), *rest)
