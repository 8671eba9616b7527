"""Events become files of other programs: complete, or not at all.

check(["coco", "mot"], Path("out"), overwrite=False)
for written in convert(files_in(Path("out")), ["coco", "mot"], Path("out"), overwrite=False): ...
"""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watchline.errors import one_of
from watchline.files import PART, rename, unshared
from watchline.streams.errors import EventsRefused, SinkError, StreamError
from watchline.streams.events.frames import Saved
from watchline.streams.events.survey import Survey
from watchline.streams.formats.known import FORMATS
from watchline.streams.write.paths import make_folder, refused


@dataclass(frozen=True)
class Written:
    """A format that is on the disk.

    Attributes:
        format: its name.
        paths: the files and folders.
        notes: what was odd, one line each.
    """

    format: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def check(formats: Sequence[str], folder: Path, overwrite: bool) -> None:
    """Look, before any work is done, whether formats may be written into a folder.

    Raises:
        EventsRefused: there is no such format.
        LibraryMissing: one needs a library that is not installed.
        SinkError: what it would write is there already, or is something else.
    """
    for name in formats:
        if name not in FORMATS:
            raise EventsRefused(f"unknown format {name!r}: expected {one_of(name, FORMATS)}")
        format = FORMATS[name]
        format.check()
        for place in format.places:
            _check_place(folder / place, format.suffixes, overwrite)


def convert(
    files: Sequence[Path], formats: Sequence[str], folder: Path, overwrite: bool, of: str = "detections"
) -> Iterator[Written]:
    """Write events in other formats. Each appears when it is complete; a killed process leaves nothing that is half.

    Args:
        files: of the events.
        formats: names of FORMATS.
        folder: for all of them.
        overwrite: replace what is there.
        of: the key of the objects, "detections" or "instances".

    Raises:
        EventsNotFound, EventsRefused: the events cannot be read, or a format cannot have them.
        LibraryMissing, SinkError: as `check`; or the folder cannot be written.
    """
    check(formats, folder, overwrite)
    survey = Survey(Saved(files, of))
    make_folder(folder)
    for name in dict.fromkeys(formats):
        format = FORMATS[name]
        with _staged(folder, name) as staged:
            notes = format.write(survey, staged)
            check([name], folder, overwrite)  # meanwhile, it may have come
            for place in format.places:
                _publish(staged, place, folder)
        yield Written(name, tuple(folder / place for place in format.places), tuple(notes))


def _check_place(place: Path, suffixes: tuple[str, ...], overwrite: bool) -> None:
    if not place.exists():
        return
    if not overwrite:
        raise SinkError(f"{place} is there already: --overwrite replaces it, --out names another folder")
    if bool(place.suffix) == place.is_dir():
        raise SinkError(f"{place} is a {'folder' if place.is_dir() else 'file'}: --out names another folder")
    others = (path for path in place.rglob("*") if not path.is_dir() and path.suffix not in suffixes)
    if (other := next(others, None)) is not None:
        raise SinkError(f"{place} would be replaced, and holds {other.name}: --out names another folder")


@contextmanager
def _staged(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder for a format, `.NAME.part`, of which nothing is left in the end.

    Raises:
        SinkError: it cannot be made, another process has it, or the block raises an OSError.
    """
    staged = folder / f".{name}{PART}"
    lock = folder / f".{name}.lock"
    try:
        with unshared(lock):
            try:
                shutil.rmtree(staged, ignore_errors=True)  # of a process that was killed
                staged.mkdir()
                yield staged
            finally:
                shutil.rmtree(staged, ignore_errors=True)
                lock.unlink(missing_ok=True)
    except BlockingIOError:
        raise SinkError(f"{folder}: another process writes {name} there; wait, or name another folder") from None
    except OSError as error:
        if isinstance(error, StreamError):
            raise
        raise refused(folder, error) from error


def _publish(staged: Path, place: str, folder: Path) -> None:
    """Let a file or folder appear. A folder is renamed and not synced: its events are still there."""
    new, there = staged / place, folder / place
    there.parent.mkdir(parents=True, exist_ok=True)
    if new.is_dir():
        if there.exists():
            there.rename(Path(tempfile.mkdtemp(dir=staged), there.name))
        new.rename(there)
    else:
        rename(new, there)
