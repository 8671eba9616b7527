"""Writes files that appear complete or not at all, and locks files. Any folder may import this file."""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

LONGEST_NAME = 200
"""Bytes of a name to which Watchline adds suffixes and times; file systems allow 255 in all."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name of a partial file, for the block to write. At the end of the block it is renamed to `path`.

    If the block raises, the partial file is removed, and `path` is as it was before. The partial file is in the same
    folder, and its suffix is `.part`.

    Raises:
        OSError: the file cannot be renamed.
    """
    part = path.with_name(f".{shortened(path.name)}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_complete(path: Path, content: bytes) -> None:
    """Write a file that is complete even after a power failure. Raises OSError: it cannot be written."""
    with replacing(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
