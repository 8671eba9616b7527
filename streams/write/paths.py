"""What a sink is: settings that open on a path and give a writer, used as a context manager.

    with Mp4Sink().open(path, about, inputs) as mp4, JsonlSink().open(lines, header, inputs) as jsonl:
        for frame in reader:
            jsonl.write(line_of(frame, boxes, scores, classes, labels))
            mp4.write(drawn, frame.pts, frame.time_base)
        mp4.end()

`open` refuses a path that is one of `inputs` before it touches anything, and makes the folder if there is none. However
the context is left, what was written is finished and can be used. `end()` says that the stream was whole; a context
that is left without it was cut short (a failure, Ctrl-C), and e.g. the audio then ends where the pictures end.
All raise `SinkError`. One thread uses a writer.
"""

import errno
from collections.abc import Iterable
from pathlib import Path

from watchline.streams.errors import SinkError


def prepare(path: Path, inputs: Iterable[Path]) -> None:
    """Makes sure that `path` may be written: it is no input, by whatever name, and its folder is there.

    Raises:
        SinkError: it is an input or a folder, or its folder can neither be found nor made.
    """
    for source in inputs:
        if is_same_file(path, source):
            raise SinkError(f"{path} is an input: the output would destroy it; choose another folder with --out")
    if path.is_dir():
        raise SinkError(f"{path} is a folder: expected the name of a file to write")
    make_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Raises SinkError: there is no such folder and it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error


def is_same_file(a: Path, b: Path) -> bool:
    """Whether both names lead to the same file, by symbolic or hard links too; a file need not be there yet."""
    try:
        return a.samefile(b)
    except OSError:
        return a.resolve() == b.resolve()


def refused(path: Path, error: OSError) -> SinkError:
    """The error of a path that cannot be written, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SinkError(f"disk full: {path} cannot be written any further; make room or choose another folder")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return SinkError(f"{path} may not be written: {error.strerror}; check its owner and rights")
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return SinkError(f"{path} cannot be made: a file is where a folder should be; choose another folder")
    return SinkError(f"{path} cannot be written: {error.strerror or error}")
