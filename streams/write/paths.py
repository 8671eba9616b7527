"""What a sink is: settings that open a path and give a writer, used as a context manager.

    with Mp4Sink().open(path, about, inputs) as mp4:
        for frame in reader:
            mp4.write(drawn, frame.pts, frame.time_base)
        mp4.end()

`open` refuses a path that is one of `inputs` before it writes anything. It creates the folder if there is none. However
the context is left, the output is finished and can be used. `end()` says that the stream is complete. Without it, the
stream was cut short (a failure, Ctrl-C), and the audio, for example, ends with the last picture. All errors are
`SinkError`s. A writer is used by one thread.
"""

import errno
from collections.abc import Iterable
from pathlib import Path

from watchline.files import PartialFile, part_of
from watchline.streams.errors import SinkError


def prepare(path: Path, inputs: Iterable[Path]) -> None:
    """Check that `path` may be written: it is not an input, by any name, and its folder exists or can be created.

    Raises:
        SinkError: it is an input or a folder, or its folder does not exist and cannot be created.
    """
    refuse_input(path, inputs)
    if path.is_dir():
        raise SinkError(f"{path} is a folder: expected the name of a file to write")
    make_folder(path.parent)


def refuse_input(path: Path, inputs: Iterable[Path]) -> None:
    """Raises SinkError: `path` is one of the inputs, by any name. (What is not there is none: inputs may be many.)"""
    real = path.resolve()  # `x/../a.mp4` is there as soon as x is
    if real.exists() and any(is_same_file(real, source) for source in inputs):
        raise SinkError(f"{path} is an input: the output would destroy it; choose another folder with --out")


def opened(path: Path) -> PartialFile:
    """A file to write. Raises SinkError: it cannot be written, or another process writes it."""
    try:
        return PartialFile(path)
    except BlockingIOError:
        raise SinkError(f"{part_of(path)} is being written by another process; choose another folder") from None
    except OSError as error:
        raise refused(path, error) from error


def finish(file: PartialFile) -> None:
    """Let a file appear. Raises SinkError: it stays a partial file."""
    try:
        file.finish()
    except OSError as error:
        raise refused(file.path, error) from error


def make_folder(folder: Path) -> None:
    """Create the folder if there is none. Raises SinkError: it cannot be created."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def is_same_file(a: Path, b: Path) -> bool:
    """Whether both names are the same file, through symbolic and hard links too. The files need not exist yet."""
    try:
        return a.samefile(b)
    except OSError:
        return a.resolve() == b.resolve()


def refused(path: Path, error: OSError) -> SinkError:
    """The error for a path that cannot be written, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SinkError(f"disk full: {path} cannot be written any further; make room or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SinkError(f"{path} may not be written: {error.strerror}; check its owner and rights")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return SinkError(f"{path} cannot be made: a file is where a folder should be; choose another folder")
    return SinkError(f"{path} cannot be written: {error.strerror or error}")
