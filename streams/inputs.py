"""Finds the sources that a user names by files, folders and globs."""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
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
class Inputs:
    """The sources that were found.

    Attributes:
        sources: in the order of the arguments, within folders and globs by name; all streams have different names.
        problems: one error per argument that matches nothing, or that cannot be read. The sources are valid without
            these.
    """

    sources: list[FileSource | PhotosSource]
    problems: list[StreamError]


def find_sources(arguments: Sequence[str | Path]) -> Inputs:
    """Find the videos and photos that the arguments name.

    The suffix decides whether a file is a photo; photos of a folder that cannot be read, e.g. raw ones, are among its
    photos, which name them. Every other file counts as a video, until opening it shows that it is
    not one. A folder gives one source per video and one source of all its photos; its subfolders are ignored. Photos
    that are named one by one are grouped by their folder. A file that two arguments name is taken once. Streams that
    would have the same name get a number: clip, clip-2.
    """
    problems: list[StreamError] = []
    videos: dict[Path, Path] = {}
    albums: dict[Path, dict[Path, Path]] = {}
    order: dict[Path, None] = {}
    folders: set[Path] = set()  # an album has the name of its folder if that was named, even with a single photo
    for argument in arguments:
        try:
            is_folder = Path(argument).is_dir()
            if is_folder:
                folders.add(Path(argument).resolve())
            for file in _files(argument):
                true = file.resolve()
                if _is_photo(file, is_folder):
                    albums.setdefault(true.parent, {}).setdefault(true, file)
                    order[true.parent] = None
                else:
                    videos.setdefault(true, file)
                    order[true] = None
        except SourceNotFound as error:
            problems.append(error)
        except OSError as error:
            problems.append(
                SourceUnreadable(f"{argument} cannot be read: {error.strerror}; check its name, owner and rights")
            )
    sources = [
        PhotosSource(tuple(albums[path].values()), shortened(path.name) if path in folders else "")
        if path in albums
        else FileSource(videos[path])
        for path in order
    ]
    return Inputs(named_apart(sources), problems)


def _files(argument: str | Path) -> list[Path]:
    path = Path(argument)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if _is_wanted(file)]
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
