"""What a user types (files, folders, globs) as sources."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from watchline.streams import photos
from watchline.streams.errors import SourceNotFound, SourceUnreadable, StreamError
from watchline.streams.file import FileSource
from watchline.streams.photos import PhotosSource

# What a folder is searched for. A file that is named, or that a glob leads to, may be called anything.
VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .ts .mts .m2ts .mpg .mpeg .flv .wmv .asf .ogv .3gp .vob .mxf .gif .h264 .264 .h265 "
    ".hevc .265 .y4m .ivf .mjpeg .mjpg".split()
)


@dataclass(frozen=True, slots=True)
class Found:
    """Attributes:
    sources: in the order of the words, folders and globs by name; no two streams have the same name.
    problems: one for each word that leads nowhere or to what may not be read; the sources are good without them.
    """

    sources: list[FileSource | PhotosSource]
    problems: list[StreamError]


def find_sources(words: Sequence[str | Path]) -> Found:
    """Finds the videos and photos that words lead to.

    A file is a photo by its suffix, else a video, whatever its name (opening it tells). A folder gives each of its
    videos and one source of all its photos; folders inside it are left alone. Single photos that are named are gathered
    by their folder. A file that two words lead to is taken once. Names that would clash get a number: clip, clip-2.
    """
    problems: list[StreamError] = []
    videos: dict[Path, Path] = {}
    albums: dict[Path, dict[Path, Path]] = {}
    order: dict[Path, None] = {}
    folders: set[Path] = set()  # an album is called after its folder if that was named, however few photos it has
    for word in words:
        try:
            if Path(word).is_dir():
                folders.add(Path(word).resolve())
            for file in _files(word):
                true = file.resolve()
                if _is_photo(file):
                    albums.setdefault(true.parent, {}).setdefault(true, file)
                    order[true.parent] = None
                else:
                    videos.setdefault(true, file)
                    order[true] = None
        except SourceNotFound as error:
            problems.append(error)
        except OSError as error:
            problems.append(
                SourceUnreadable(f"{word} cannot be read: {error.strerror}; check its name, owner and rights")
            )
    sources = [
        PhotosSource(tuple(albums[place].values()), place.name if place in folders else "")
        if place in albums
        else FileSource(videos[place])
        for place in order
    ]
    return Found(list(_named_apart(sources)), problems)


def _files(word: str | Path) -> list[Path]:
    path = Path(word)
    if path.is_dir():
        found = [file for file in sorted(path.iterdir()) if _is_wanted(file)]
        if not found:
            raise SourceNotFound(f"{word}: there are no videos or photos in this folder; name another, or a file")
        return found
    if path.exists():
        return [path]
    if glob.has_magic(str(word)):
        found = photos.matches(path)
        if not found:
            raise SourceNotFound(f"{word}: no file matches this pattern; check it with ls")
        return found
    raise SourceNotFound(f"{word}: there is no such file or folder; check the spelling")


def _is_wanted(file: Path) -> bool:
    known = file.suffix.lower() in VIDEO_SUFFIXES | photos.SUFFIXES
    return known and not file.name.startswith(".") and file.is_file()


def _is_photo(file: Path) -> bool:
    return file.suffix.lower() in photos.SUFFIXES


def _named_apart(sources: Sequence[FileSource | PhotosSource]) -> Iterator[FileSource | PhotosSource]:
    """Renames streams so that no two have the same name, not even where case does not count."""
    taken = {source.stream.casefold() for source in sources}
    seen: set[str] = set()
    for source in sources:
        name, number = source.stream, 2
        if name.casefold() in seen:
            while (name := f"{source.stream}-{number}").casefold() in taken | seen:
                number += 1
        seen.add(name.casefold())
        yield source if name == source.stream else replace(source, stream=name)
