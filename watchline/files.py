"""Writes files that appear complete or not at all, and locks files. Any folder may import this file."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

LONGEST_NAME = 200
"""Bytes of a name to which Watchline adds suffixes and times; file systems allow 255 in all."""
PART = ".part"
STEP = 1 << 16  # bytes that are reserved beyond what was asked for, so that not every write has to ask
KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: blocks are reserved behind the end of a file
NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)


@contextmanager
def replacing(path: Path, synced: bool = True) -> Iterator[Path]:
    """The name of a partial file, for the block to write. At the end of the block it is renamed to `path`.

    If the block raises, the partial file is removed, and `path` is as it was before. The partial file is in the same
    folder, and its suffix is `.part`.

    Args:
        synced: wait for the disk, so that a power cut cannot lose the file once the block is left.

    Raises:
        OSError: the file cannot be renamed.
    """
    part = path.with_name(f".{shortened(path.name, 100)}.{os.urandom(8).hex()}{PART}")
    try:
        yield part
        if synced:
            rename(part, path)
        else:
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(paths: Iterable[Path]) -> None:
    """Remove the partial files of these files that a killed process has left, and that nobody writes any more.

    Raises:
        OSError: one of them cannot be removed.
    """
    folders: dict[Path, set[str]] = {}
    for path in paths:
        part_of(path).unlink(missing_ok=True)
        folders.setdefault(path.parent, set()).add(shortened(path.name, 100))
    for folder, names in folders.items():
        for part in folder.glob(f".*{PART}"):
            if part.name[1:].rsplit(".", 2)[0] in names:
                part.unlink(missing_ok=True)


def write_complete(path: Path, content: bytes) -> None:
    """Write a file that is complete even after a power cut. Raises OSError: it cannot be written.

    What is there and is a link or not a file, e.g. /dev/stdout, is written as it is.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(content)
        return
    with replacing(path) as part:
        part.write_bytes(content)


def rename(old: Path, new: Path) -> None:
    """Rename a file; its bytes and its new name are on the disk when this returns. Raises OSError: they are not."""
    _sync(old)
    old.replace(new)
    with suppress(OSError):  # some file systems cannot sync a folder, and write its names at once
        _sync(new.parent)


def part_of(path: Path) -> Path:
    """Where a `PartialFile` is written until it is finished."""
    return path.with_name(path.name + PART)


class PartialFile:
    """A file that grows as `PATH.part`, which nobody else may write meanwhile, and becomes PATH when it is finished.

    A killed process leaves `PATH.part`; the next one begins it anew.

    Attributes:
        path, part: of the file when it is finished, and until then.
        error: the first that `write` met. (A library that calls `write` may hide it.)
    """

    def __init__(self, path: Path) -> None:
        """Raises:
        BlockingIOError: another process or thread writes it.
        OSError: it cannot be written.
        """
        self.path, self.part = path, part_of(path)
        self.error: OSError | None = None
        self._reserved = 0
        self._open = ExitStack()
        try:
            file = self._open.enter_context(unshared(self.part))
        except OSError as problem:
            if problem.errno not in NOT_SUPPORTED:
                raise
            file = self._open.enter_context(self.part.open("ab+"))  # the file system has no locks
        self._file = file.fileno()
        os.ftruncate(self._file, 0)

    @property
    def closed(self) -> bool:
        return self._file < 0

    @property
    def size(self) -> int:
        """Bytes written."""
        return os.lseek(self._file, 0, os.SEEK_END)  # a tenth of the time of fstat

    def fileno(self) -> int:
        """The descriptor, open for appending."""
        return self._file

    def make_room(self, size: int) -> None:
        """Have the disk keep so many bytes for the next writes. Raises OSError: it has not so many."""
        end = self.size + size
        if end > self._reserved:
            try:
                self._reserved = _reserve(self._file, end + STEP)
            except OSError:
                self._reserved = _reserve(self._file, end)

    def give_back(self) -> None:
        """What is reserved, and not used, is free again. Raises OSError."""
        self.truncate(self.size)

    def truncate(self, size: int) -> None:
        """Keep its first `size` bytes, and nothing that is reserved. Raises OSError."""
        self._reserved = 0
        os.ftruncate(self._file, size)

    def write(self, data: bytes) -> int:
        """Append all of it. Raises OSError: disk full, or another failure."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            self.error = self.error or error
            raise
        return len(data)

    def finish(self) -> None:
        """Let it appear under its own name. It is on the disk when this returns.

        Raises:
            OSError: it cannot be renamed, or the disk fails; it is closed and stays a partial file.
        """
        try:
            self.give_back()
            rename(self.part, self.path)
        finally:
            self.close()

    def discard(self) -> None:
        """Remove it."""
        self.part.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Leave it as it is. A second call does nothing."""
        self._file = -1
        self._open.close()


@contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[BinaryIO]:
    """A file, open for appending, created if it is missing. In the block, no other process or thread has its lock.

    Args:
        path: of the file.
        on_wait: called if another process or thread has the lock, before the wait for it.

    Raises:
        OSError: the file cannot be opened, or the file system has no locks.
    """
    while True:
        with path.open("ab+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(file, fcntl.LOCK_EX)
            # The previous holder may have renamed or removed the file: then this is not the file at `path`.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


def shortened(name: str, bytes_: int = LONGEST_NAME) -> str:
    """The name, or as much of it from its beginning as has so many bytes in UTF-8. No character is cut in two."""
    raw = os.fsencode(name)
    return name if len(raw) <= bytes_ else raw[:bytes_].decode("utf-8", "ignore")


@contextmanager
def unshared(path: Path) -> Iterator[BinaryIO]:
    """The same, but nobody is waited for. Raises BlockingIOError: another process or thread has the lock."""

    def refuse() -> None:
        raise BlockingIOError(errno.EAGAIN, "another process writes it", str(path))

    with locked(path, refuse) as file:
        yield file


def _reserve(file: int, end: int) -> int:
    """Reserve the blocks of a file up to `end`, without a change of its size. Returns `end`.

    Python has no call for this. A file system that has none either is asked how much is free, which is as good as long
    as nobody else writes there.
    """
    number = _fallocate(file, end)
    if number == 0:
        return end
    if number in NOT_SUPPORTED:
        about = os.fstatvfs(file)
        if about.f_bavail * about.f_frsize >= end - os.fstat(file).st_size:
            return end
        number = errno.ENOSPC
    raise OSError(number, os.strerror(number))


def _fallocate(file: int, end: int) -> int:
    """Returns: the number of the error, 0 if there is none."""
    import ctypes  # it takes a while, and the help of a command must not

    libc = ctypes.CDLL(None, use_errno=True)
    return 0 if libc.fallocate(file, KEEP_SIZE, ctypes.c_long(0), ctypes.c_long(end)) == 0 else ctypes.get_errno()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
