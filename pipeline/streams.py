"""A stream's settings, and the source they lead to: a file, a camera, or a file that is played as if it were one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field

from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.duration import Seconds
from watchline.settings import flag, settings
from watchline.streams.errors import SourceUnreadable, StreamError
from watchline.streams.file import FileSource
from watchline.streams.inputs import Search, find_sources
from watchline.streams.limits import MAX_PIXELS
from watchline.streams.live.connection import TIMEOUT
from watchline.streams.live.paced import PacedSource
from watchline.streams.live.words import is_live, live_source
from watchline.streams.names import named_apart
from watchline.streams.photos import PhotosSource
from watchline.streams.source import LiveSource, Source

Transport = Literal["tcp", "udp"]
FOR_FILES = ("realtime", "loop", "video_track", "max_pixels")  # settings of a stream that a camera cannot have


@settings
class Stream:
    """The table of a stream.

    Raises:
        SettingsError (a ValueError): a setting cannot be, or not together with another.
    """

    source: str = Field(
        repr=False, description="an address (rtsp://…), a camera (0, /dev/video0), a video file, or photos"
    )
    transport: Transport = Field(
        default="tcp", description="what RTSP brings the pictures by, tcp or udp", json_schema_extra=flag("tcp|udp")
    )
    timeout: Seconds = Field(
        default=TIMEOUT,
        gt=0,
        description="give a camera up that takes longer for an answer or a picture",
        json_schema_extra=flag("TIME"),
    )
    realtime: bool = Field(
        default=False, description="play files at their own speed, as if they were cameras", json_schema_extra=flag()
    )
    loop: bool = Field(
        default=False, description="begin such files anew at their end, for ever", json_schema_extra=flag()
    )
    video_track: int | None = Field(
        default=None,
        ge=1,
        description="the n-th video track of the files, from 1; by default the one marked as default, else the largest",
        json_schema_extra=flag("N"),
    )
    max_pixels: int = Field(
        default=MAX_PIXELS,
        ge=1,
        description="refuse files whose pictures have more pixels, before memory is allocated for them",
        json_schema_extra=flag("N"),
    )

    def __post_init__(self) -> None:
        if self.loop and not self.realtime:
            raise ValueError("loop needs realtime: only a file that plays at its own speed can begin anew")
        if self.realtime and is_live(self.source):
            raise ValueError("realtime is for files: a camera has its own speed")
        if self.video_track and is_live(self.source):
            raise ValueError("video_track is for files: a camera sends one video")
        if self.max_pixels != MAX_PIXELS and is_live(self.source):
            raise ValueError("max_pixels is for files: a camera has its own limit")


@dataclass(frozen=True, slots=True)
class Gathered:
    """Attributes:
    sources: no two streams have the same name.
    problems: a line for each word that leads nowhere.
    """

    sources: list[Source | LiveSource]
    problems: list[str]


def named(streams: Mapping[str, Stream]) -> Gathered:
    """The sources of a config's streams, called after their tables."""
    sources, problems = [], []
    for name, stream in streams.items():
        try:
            sources.append(find_source(name, stream))
        except (StreamError, ConfigError) as problem:
            problems.append(str(problem))
    return Gathered(sources, problems)


def typed(
    words: Sequence[str],
    names: Mapping[str, str],
    settings: Mapping[str, Any],
    files: Iterable[str] = (),
    search: Search = Search(),  # noqa: B008  frozen
) -> Gathered:
    """The sources of words from a command line, cameras first, called after what they lead to.

    Args:
        words: addresses, cameras, files, folders and patterns.
        names: more of them, by the names of their streams.
        settings: fields of Stream, each for those of the sources that can have it.
        files: more files, folders and patterns, whatever they look like.
        search: how folders are searched.

    Raises:
        SettingsError: a setting cannot be.
    """

    def stream(word: str) -> Stream:
        return Stream(word, **{key: each for key, each in settings.items() if (key in FOR_FILES) != is_live(word)})

    with_names = named({name: stream(word) for name, word in names.items()})
    found = find_sources([*(word for word in words if not is_live(word)), *files], search)
    problems = [*with_names.problems, *map(str, found.problems)]
    sources: list[Source | LiveSource] = []
    for word in filter(is_live, words):
        try:
            sources.append(live_source(word, "", stream(word).transport, stream(word).timeout))
        except StreamError as problem:
            problems.append(str(problem))
    for source in found.sources:
        try:
            sources.append(_with(source, stream("")))
        except ConfigError as problem:
            problems.append(str(problem))
    return Gathered(named_apart([*with_names.sources, *sources]), problems)


def find_source(name: str, settings: Stream) -> Source | LiveSource:
    """The source of a stream, named after it.

    Raises:
        StreamError: there is nothing at the word, or more than one source, or the address is none.
        ConfigError: it is to be played at its own speed, and has none.
    """
    if is_live(settings.source):
        return live_source(settings.source, name, settings.transport, settings.timeout)
    found = find_sources([settings.source])
    if found.problems:
        raise found.problems[0]
    if len(found.sources) > 1:
        names = ", ".join(source.stream for source in found.sources)
        raise SourceUnreadable(
            f"{settings.source} leads to {len(found.sources)} streams ({names}): give each a table of its own"
        )
    return _with(replace(found.sources[0], stream=name), settings)


def _with(source: FileSource | PhotosSource, settings: Stream) -> Source | LiveSource:
    source = replace(source, max_pixels=settings.max_pixels)
    if isinstance(source, FileSource):
        source = replace(source, track=settings.video_track)
    if not settings.realtime:
        return source
    if not isinstance(source, FileSource):
        raise ConfigError(f"{source.stream}: photos have no speed to be played at: expected a video file")
    return PacedSource(source, settings.loop)
