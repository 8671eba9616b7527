"""Downloads that are checked and go on where they stopped.

    path = fetch(CATALOGUE["yolov2"].files[1], folder)

The bytes so far are in NAME.part, what they are of in NAME.part.json; NAME itself appears when its hash is right.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from watchline.export.errors import ExportError
from watchline.export.weights.catalogue import File
from watchline.export.weights.download import Denied, Lost, Patience, ask
from watchline.files import locked, rename

log = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]


class FetchFailed(ExportError, OSError):
    """A file could not be downloaded, or is not what it should be, or cannot be written."""


def fetch(
    file: File, folder: Path, progress: Progress = lambda done, total: None, patience: Patience | None = None
) -> Path:
    """The file in the folder, downloaded if it is not there. Two processes that want the same file take turns.

    Args:
        file: what to download, and what it is checked against.
        folder: made if it is not there.
        progress: is told the bytes so far and, if known, of how many.
        patience: with servers; None for half a minute without a byte, and three tries an address.

    Raises:
        FetchFailed: no address gave it, it is another file, or the folder cannot be written. What came so far is kept.
    """
    target = folder / file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return _checked(target, file)
        path = folder / f"{file.name}.part"
        with locked(path, lambda: log.warning("%s: another process downloads it: waiting", path)) as handle:
            part = _Part(handle, path, file.digest)
            if target.exists():  # another process was faster
                part.remove()
                return _checked(target, file)
            _fill(part, file, progress, patience or Patience())
            part.become(target)
    except OSError as error:
        if isinstance(error, FetchFailed):
            raise
        raise FetchFailed(
            f"{target}: it cannot be written ({error.strerror or error}); make room or look at the folder's rights, "
            "or name another folder, then run the same command again"
        ) from error
    return target


class _Part:
    """The bytes so far, locked, and the note beside them: of what file, from which address, of which version."""

    def __init__(self, handle: BinaryIO, path: Path, digest: str) -> None:
        self._handle, self._path, self._digest = handle, path, digest
        self._note = path.with_name(f"{path.name}.json")
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            note = None
        self._about: dict[str, str | None] = note if isinstance(note, dict) else {}
        self.pieced = True  # not all of it came in one answer
        if self._about.get("digest") != digest:  # of another file, or of one that was changed since
            self.cut(0)

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self._handle.seek(0, os.SEEK_END)

    def tag(self, url: str) -> str | None:
        """Of the version that the bytes so far are of; addresses have tags of their own."""
        tag = self._about.get("tag") if self._about.get("url") == url else None
        return tag if isinstance(tag, str) else None

    def begin(self, start: int, url: str, tag: str | None) -> None:
        """More will come, from here on."""
        self.cut(start)
        self.pieced = start > 0
        self._about = {"digest": self._digest, "url": url, "tag": tag}
        self._note.write_text(json.dumps(self._about), encoding="utf-8")

    def cut(self, size: int) -> None:
        """Keep so many bytes."""
        self._handle.truncate(size)

    def make_sure_of(self, more: int) -> None:
        """That so many bytes find room. Raises OSError, before the disk is filled in vain."""
        free = shutil.disk_usage(self._path.parent).free
        if free < more:
            raise OSError(errno.ENOSPC, f"{more} bytes are to come and {free} are free on its disk")

    def write(self, chunk: bytes) -> None:
        """At the end."""
        self._handle.write(chunk)

    def complaint(self) -> str | None:
        """None if the hash is right, else what it is and should be."""
        self._handle.flush()
        return _complaint(self._path, self._digest)

    def remove(self) -> None:
        """Without a trace."""
        self._path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """The whole file, under its own name; whole even after a power failure."""
        rename(self._path, target)
        self._note.unlink(missing_ok=True)


def _fill(part: _Part, file: File, progress: Progress, patience: Patience) -> None:
    """Download from the first address that has the right file. Raises FetchFailed."""
    reasons = []
    for url in file.urls:
        try:
            _from(url, part, file, progress, patience)
        except (Lost, Denied) as error:
            reasons.append(f"{url} {error}")
        else:
            return
    kept = part.size
    if kept:
        reasons.append(f"{kept} bytes are kept: the same command goes on there")
    else:
        part.remove()
    raise FetchFailed(f"{file.name}: not downloaded: {'; '.join(reasons)}")


def _from(url: str, part: _Part, file: File, progress: Progress, patience: Patience) -> None:
    """Download from one address. Raises Lost, Denied."""
    _persist(url, part, file, progress, patience)
    wrong = part.complaint()
    if wrong and part.pieced:  # the pieces may be of different versions
        part.cut(0)
        _persist(url, part, file, progress, patience)
        wrong = part.complaint()
    if wrong:
        part.cut(0)
        raise Denied(f"has another file: {wrong}")


def _persist(url: str, part: _Part, file: File, progress: Progress, patience: Patience) -> None:
    for pause in patience.pauses:
        try:
            return _once(url, part, file, progress, patience)
        except Lost as error:
            log.info("%s %s; trying again in %g s", url, error, pause)
            time.sleep(pause)
    return _once(url, part, file, progress, patience)


def _once(url: str, part: _Part, file: File, progress: Progress, patience: Patience) -> None:
    """One connection's worth. Returns when the part has all bytes; raises Lost, Denied, FetchFailed."""
    if file.size is not None and part.size > file.size:
        part.cut(0)
    if part.size == file.size:
        return
    with ask(url, part.size, part.tag(url), patience) as answer:
        total = answer.total if file.size is None else file.size
        if answer.total not in (None, total):
            raise Denied(f"has another file: {answer.total} bytes, expected {total}")
        part.begin(answer.start, url, answer.tag)
        done = answer.start
        if total is not None:
            part.make_sure_of(total - done)
        for chunk in answer.chunks:
            done += len(chunk)
            if total is not None and done > total:
                part.cut(0)
                raise Denied(f"has another file: more than {total} bytes")
            part.write(chunk)
            progress(done, total)
    if total is not None and done < total:
        raise Lost(f"stopped after {done} of {total} bytes")


def _checked(target: Path, file: File) -> Path:
    """A file that is there already. Raises FetchFailed: it is another one."""
    if wrong := _complaint(target, file.digest):
        raise FetchFailed(f"{target}: it is there and is another file: {wrong}; move it away, or name another folder")
    return target


def _complaint(path: Path, digest: str) -> str | None:
    """None if the file has the hash, else what it is and should be."""
    algorithm, _, expected = digest.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    return None if found == expected else f"its {algorithm} is {found}, expected {expected}"
