"""Finds the sources that a user names by files, folders and globs."""

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from watchline.files import shortened
from watchline.streams import photo, photos
from watchline.streams.errors import SourceNotFound, SourceUnreadable, StreamError
from watchline.streams.file import FileSource
from watchline.streams.names import named_apart
from watchline.streams.photos import PhotosSource

# The files that are taken from a folder. A file that is named, or matches a glob, may have any suffix.
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .flv .wmv .asf .ogv .3gp .vob .mxf .gif .apng .h264 .264 "
    ".h265 .hevc .265 .y4m .ivf .mjpeg .mjpg".split()
)

_NUMBERS = re.compile(r"%\d*d|#+")  # as FFmpeg and others write numbered files: img%03d.jpg


@dataclass(frozen=True, slots=True)
class Search:
    """How folders are searched, and what streams are called.

    Attributes:
        recursive: take the files of subfolders too; hidden ones, and links to folders, are ignored.
        by_path: call streams after their path below the folder that holds all arguments: A/clip, not clip.
        without: a folder that is not searched, that of the outputs.
    """

    recursive: bool = False
    by_path: bool = False
    without: Path | None = None


@dataclass(frozen=True, slots=True)
class Inputs:
    """The sources that were found.

    Attributes:
        sources: in the order of the arguments, within folders and globs by name; all streams have different names.
        problems: one error per argument that matches nothing, or that cannot be read. The sources are valid without
            these.
    """

    sources: list[FileSource | PhotosSource]
    problems: list[StreamError]


def find_sources(arguments: Iterable[str | Path], search: Search = Search()) -> Inputs:
    """Find the videos and photos that the arguments name.

    The suffix decides whether a file is a photo; photos of a folder that cannot be read, e.g. raw ones, are among its
    photos, which name them. Every other file counts as a video, until opening it shows that it is
    not one. A folder gives one source per video and one source of all its photos; its subfolders are ignored, or
    searched alike. Photos that are named one by one are grouped by their folder. A file that two arguments name is
    taken once. Streams that would have the same name get a number: clip, clip-2.
    """
    problems: list[StreamError] = []
    videos: dict[Path, Path] = {}
    albums: dict[Path, dict[Path, Path]] = {}
    order: dict[Path, None] = {}
    folders: set[Path] = set()  # an album has the name of its folder if that was named, even with a single photo
    bases: set[Path] = set()
    for argument in arguments:
        try:
            is_folder = Path(argument).is_dir()
            for file in _files(argument, search, problems.append):
                true = file.resolve()
                if _is_photo(file, is_folder):
                    albums.setdefault(true.parent, {}).setdefault(true, file)
                    order[true.parent] = None
                    folders.update([true.parent] if is_folder else [])
                else:
                    videos.setdefault(true, file)
                    order[true] = None
            bases.add(_base(argument))
        except SourceNotFound as error:
            problems.append(error)
        except OSError as error:
            problems.append(_unreadable(argument, error))
    sources = [
        PhotosSource(tuple(albums[path].values()), shortened(path.name) if path in folders else "")
        if path in albums
        else FileSource(videos[path])
        for path in order
    ]
    if search.by_path and sources:
        root = Path(os.path.commonpath(bases))
        sources = [_called_by_path(source, root) for source in sources]
    return Inputs(named_apart(sources), problems)


def _called_by_path(source: FileSource | PhotosSource, root: Path) -> FileSource | PhotosSource:
    """The source, named after where it is below `root`; an album after its folder, in that folder."""
    file = source.path if isinstance(source, FileSource) else source.paths[0]
    path = Path(os.path.relpath(file, root))
    stream = (path.parent / source.stream).as_posix()
    if isinstance(source, FileSource):
        return replace(source, stream=stream, name=path.as_posix())
    return replace(source, stream=stream)


def _base(argument: str | Path) -> Path:
    """The folder that an argument searches."""
    path = Path(os.path.abspath(argument))  # noqa: PTH100  links stay, as their names are what a user knows
    while not path.is_dir():
        path = path.parent
    return path


def _unreadable(name: str | Path, error: OSError) -> SourceUnreadable:
    return SourceUnreadable(f"{name} cannot be read: {error.strerror}; check its name, owner and rights")


def _files(argument: str | Path, search: Search, report: Callable[[StreamError], None]) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        within = _below(path, search.without, report) if search.recursive else sorted(path.iterdir())
        found = [file for file in within if _is_wanted(file)]
        if not found:
            raise SourceNotFound(f"{argument}: there are no videos or photos in this folder; name another, or a file")
        return found
    if path.exists():
        return [path]
    if glob.has_magic(str(argument)):
        found = photos.matches(path)
        if not found:
            raise SourceNotFound(f"{argument}: no file matches this pattern; check it with ls")
        return found
    raise SourceNotFound(f"{argument}: there is no such file or folder; {_advice(path)}")


def _below(folder: Path, without: Path | None, report: Callable[[StreamError], None]) -> Iterator[Path]:
    """The files of a folder and of its subfolders, by name. Args: report, hears of subfolders that cannot be read."""
    left_out = without and without.resolve()
    for place, folders, names in os.walk(folder, onerror=lambda error: report(_unreadable(error.filename, error))):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and Path(place, name).resolve() != left_out
        )
        yield from (Path(place, name) for name in sorted(names))


def _advice(path: Path) -> str:
    """What to type instead of a name that leads nowhere."""
    if _NUMBERS.search(path.name):
        return f"for numbered files write the pattern '{path.with_name(_NUMBERS.sub('*', path.name))}'"
    if path.parts[:1] == ("~",):
        return "the shell replaces ~ only outside of quotes"
    near = get_close_matches(path.name, _names(path.parent), 1, 0.8)
    return f"did you mean {path.with_name(near[0])}?" if near else "check the spelling"


def _names(folder: Path) -> list[str]:
    try:
        return [file.name for file in folder.iterdir()]
    except OSError:
        return []


def _is_wanted(file: Path) -> bool:
    known = file.suffix.lower() in VIDEO_SUFFIXES | photo.SUFFIXES | photo.UNREAD
    return known and not file.name.startswith(".") and file.is_file()


def _is_photo(file: Path, in_folder: bool) -> bool:
    """Those that cannot be read are among the photos of their folder, which name them. FFmpeg may know a single one."""
    suffix = file.suffix.lower()
    return suffix in photo.SUFFIXES or (in_folder and suffix in photo.UNREAD)
