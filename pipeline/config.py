"""The config: one TOML for a run. The stages' own fields are its schema.

    out = "recordings/"
    split = "10m"

    [streams.gate]
    source = "rtsp://me:${GATE_PASSWORD}@192.168.1.20/stream1"

    [detector]
    conf = 0.4
    classes = ["person", "car"]

    [annotator]
    info = false

    [video]
    preset = "veryfast"

    [streams.gate.detector]         # over the common table
    every = 2

    [stages.crowds]                 # a stage of your own
    use = "my_module:Crowds"

    [place]
    detector = "tcp://gpu.local:5555"
    key = "here.key"
    peer = "gpu.pub"

`${NAME}` in a string is replaced by the environment variable, `${NAME:-text}` by the text where that is unset or empty.
Paths are relative to the folder the program runs in. A time is "500ms", "10m", "1h30m" or "7d"; a bare number is
seconds, of `latency_budget` milliseconds. Every mistake is named, one a line.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from watchline.errors import one_of
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.places import KEYS, WHERE, Places
from watchline.pipeline.settings.duration import Milliseconds, Seconds
from watchline.pipeline.settings.environment import conceal, interpolate
from watchline.pipeline.settings.schema import fields_of
from watchline.pipeline.settings.tables import Flag, Tables, shown
from watchline.pipeline.sinks.registry import SINKS
from watchline.pipeline.sinks.sink import Sink
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.modelled import Modelled
from watchline.pipeline.stages.registry import BY_NAME, STAGES, chain_of, imported
from watchline.pipeline.stages.stage import Stage
from watchline.pipeline.streams import FOR_FILES, Stream
from watchline.settings import flag, settings
from watchline.streams import address
from watchline.streams.live.words import is_live
from watchline.streams.names import A_NAME, is_name
from watchline.streams.write.mp4 import Mp4Sink

FIXED = ("streams", "stages", "sinks", "video", "place")  # tables that are not a stage's


@settings
class Run:
    """What stands above all tables."""

    out: str | None = Field(
        None,
        description="folder for the outputs, without it `annotated`; of `annotate`, also the .mp4 of a single video",
        json_schema_extra=flag("DIR"),
    )
    overwrite: bool = Field(False, description="replace outputs that are there", json_schema_extra=flag())
    split: Seconds = Field(
        3600, ge=1, description="begin new files after so long, by the clock", json_schema_extra=flag("TIME")
    )
    latency_budget: Milliseconds = Field(
        500,
        gt=0,
        description="drop a camera's frame that would be older, where a newer one can be in time",
        json_schema_extra=flag("TIME"),
    )


@dataclass(frozen=True)
class Config:
    """A run's settings, all checked.

    Attributes:
        streams: settings of each stream, by name.
        stages: of the chain, in its order, each with what is different for some streams.
        sinks: those of [sinks], in addition to the files.
        video: settings of the written video.
        place: where the stages run.
        out: folder for the outputs.
        overwrite: replace outputs that are there.
        split: seconds after which outputs of cameras begin anew.
        latency_budget: seconds until which a live frame must be through.
        given: what the file sets above all tables.
        inputs: addresses from the command line.
        secrets: values of the environment variables that were put in, by name.
    """

    streams: Mapping[str, Stream]
    stages: Sequence[Stage]
    sinks: Sequence[Sink]
    video: Mp4Sink
    place: Places
    out: Path | None
    overwrite: bool
    split: float
    latency_budget: float
    given: frozenset[str]
    inputs: Sequence[str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    def chain(self, sinks: Sequence[Sink]) -> list[Stage]:
        """The stages, each where it shall run; nothing is drawn that no sink writes.

        Raises:
            ConfigError: a stage cannot run where it shall.
        """
        is_drawn = any(sink.needs_picture for sink in sinks)
        return self.place.put([stage for stage in self.stages if is_drawn or not isinstance(stage, Annotator)])

    def conceal(self, text: str) -> str:
        """The text with `${NAME}` in place of every secret in it, and without what addresses hold of passwords."""
        sources = [stream.source for stream in self.streams.values()]
        return address.conceal_all(conceal(text, self.secrets), [*self.inputs, *sources])


def load(
    path: Path | None, flags: Sequence[Flag] = (), stages: Sequence[str] = (), inputs: Sequence[str] = ()
) -> Config:
    """Read a config; without a path, what the flags say and defaults.

    Args:
        stages: more stages of your own, `module:Class`, with their default settings.
        inputs: sources from the command line, which may hold secrets.

    Raises:
        ConfigError: every mistake in the file and the flags, one per line.
    """
    reading = _Reading("", {}, flags) if path is None else _Reading(str(path), _parse(path), flags)
    config = reading.config(stages, inputs)
    if reading.mistakes or config is None:
        raise ConfigError("\n".join(reading.mistakes))
    return config


def _parse(path: Path) -> dict[str, Any]:
    """Raises ConfigError: there is no such file, or it is not TOML."""
    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; expected a config, e.g. watchline.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({error.strerror}); expected a TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; expected a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: no TOML: {error}{_other_language(text)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: no TOML: what is in it is nested too deep; expected a config") from None


def _other_language(text: str) -> str:
    """What to write instead of YAML or JSON, where a text that is no TOML looks like one of these."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or not re.match(r"---|\{|- |[\w.-]+:(\s|$)", lines[0]):
        return ""
    kind = "JSON" if lines[0].startswith("{") else "YAML"
    return f'; it looks like {kind}: write "[detector]" and, on a line of its own, "conf = 0.4"'


class _Reading:
    """Goes through a file's tables; the stages' come from the registry and from the file itself."""

    def __init__(self, file: str, tables: dict[str, Any], flags: Sequence[Flag]) -> None:
        self._file = file
        self._given = tables
        self._flags = flags
        self._tables = Tables(file)
        self._read: dict[str, dict[str, Any]] = {}

    @property
    def mistakes(self) -> list[str]:
        return self._tables.mistakes

    def config(self, more: Sequence[str], inputs: Sequence[str]) -> Config | None:
        """None: there are mistakes. (Until they are counted, what could not be made is None.)"""
        self._tables.known("table or setting", self._given, (*fields_of(Run), *FIXED, *BY_NAME), self._file)
        kinds = self._kinds(more)
        if inputs:  # they replace the streams, and the flags are for them
            self._tables.values(Stream, "", {}, (), self._of("streams"))
            self._flags = [flag for flag in self._flags if flag.table != "streams"]
        tables = {name: table for name, table in self._table("streams").items() if self._fit_for_a_file(name)}
        streams: dict[str, Any] = {name: self._stream(name, table, kinds) for name, table in tables.items()}
        stages: list[Any] = [self._stage(name, kind) for name, kind in kinds.items()]
        sinks: list[Any] = [self._sink(name, table) for name, table in self._table("sinks").items()]
        video = self._tables.build(Mp4Sink, "video", self._given.get("video", {}), self._of("video"))
        place = self._places(kinds)
        above = {key: value for key, value in self._given.items() if key in fields_of(Run)}
        run = self._tables.build(Run, "", above, self._of(""))
        if self.mistakes:
            return None
        return Config(
            streams,
            chain_of(stages),
            sinks,
            video,
            place,
            out=None if run.out is None else Path(run.out),
            overwrite=run.overwrite,
            split=run.split,
            latency_budget=run.latency_budget / 1000,
            given=frozenset(above),
            inputs=inputs,
            secrets=self._tables.secrets,
        )

    def _table(self, name: str) -> dict[str, Any]:
        if name not in self._read:  # a mistake is named once
            self._read[name] = self._tables.table(name, self._given.get(name, {}))
        return self._read[name]

    def _of(self, table: str) -> list[Flag]:
        return [flag for flag in self._flags if flag.table == table]

    def _kinds(self, more: Sequence[str]) -> dict[str, type[Stage]]:
        """The stages of the chain: ours that always run or have a table, those that these need, and your own."""
        asked = {stage.name for stage in STAGES if stage.is_always or self._is_asked_for(stage)}
        needed = {name for stage in STAGES if stage.name in asked for name in stage.needs}
        kinds = {stage.name: stage for stage in STAGES if stage.name in asked | needed}
        for name, table in self._table("stages").items():
            kind = self._imported(f"stages.{name}", table, Stage)
            if kind is not None and kind.name != name:
                self.mistakes.append(f"{self._file}: [stages.{name}] is {kind.name!r}: expected [stages.{kind.name}]")
            elif kind is not None:
                self._add(kinds, kind, f"{self._file}: [stages.{name}]")
        for word in more:
            try:
                self._add(kinds, imported(word, Stage), f"--stage {word}")
            except ConfigError as error:
                self.mistakes.append(f"--stage {word}: {error}")
        return kinds

    def _is_asked_for(self, stage: type[Stage]) -> bool:
        """By its table, a flag, or the table of a stream."""
        by_stream = stage.is_by_stream and any(_has(table, stage.name) for table in self._table("streams").values())
        return stage.name in self._given or bool(self._of(stage.name)) or by_stream

    def _add(self, kinds: dict[str, type[Stage]], kind: type[Stage], where: str) -> None:
        if kinds.setdefault(kind.name, kind) is not kind or kind.name in BY_NAME:
            self.mistakes.append(f"{where}: there is a stage {kind.name!r} already: name yours otherwise")

    def _imported(self, name: str, table: Any, base: type) -> Any:
        """The class that a table's `use` names; None if there is none."""
        use = self._tables.table(name, table).get("use")
        if not isinstance(use, str):
            self.mistakes.append(f'{self._file}: [{name}] use is missing: expected "module:Class", one of your own')
            return None
        try:
            return imported(use, base)
        except ConfigError as error:
            self.mistakes.append(f"{self._file}: [{name}] use = {shown(use)}: {error}")
            return None

    def _stage(self, name: str, kind: type[Stage]) -> Stage | None:
        own = self._table("stages").get(name)
        table = self._given.get(name, {}) if own is None else {key: own[key] for key in own if key != "use"}
        flags = self._for_stage(name, kind)
        title = f"stages.{name}" if own else name
        where = self._tables.where(name)
        stage: Stage | None
        if kind.entries is None:
            stage = self._tables.build(kind, title, table, flags)
        else:
            stage = self._tables.construct(kind, self._entries(title, kind, kind.entries, table), where)
        streams = self._for_streams(name, kind)
        if stage is None or not streams:
            return stage
        made: Stage | None = self._tables.construct(partial(replace, stage), {"streams": streams}, where)
        return made

    def _for_stage(self, name: str, kind: type[Stage]) -> list[Flag]:
        """The options of a stage, and those of the detector that hold for it too."""
        shared = self._of(Detector.name) if issubclass(kind, Modelled) and kind is not Detector else []
        return self._of(name) + [flag for flag in shared if flag.key in fields_of(kind) and _is_for_all(flag)]

    def _for_streams(self, name: str, kind: type[Stage]) -> dict[str, dict[str, Any]]:
        """What is different for some streams: `[streams.gate.detector]`; a flag is stronger for all of them."""
        tables = {stream: table[name] for stream, table in self._table("streams").items() if _has(table, name)}
        flags = {flag.key for flag in self._for_stage(name, kind)}
        values = {
            stream: self._tables.values(kind, f"streams.{stream}.{name}", table, kind.per_stream)
            if kind.entries is None
            else self._entries(f"streams.{stream}.{name}", kind, kind.entries, table)
            for stream, table in tables.items()
        }
        return {stream: {k: v for k, v in own.items() if k not in flags} for stream, own in values.items()}

    def _entries(self, title: str, kind: type[Stage], entry: type, given: Any) -> dict[str, Any]:
        """A table of tables, each of which has a name."""
        tables = self._tables.table(title, given)
        made = [
            self._tables.build(entry, f"{title}.{name}", table, (), {"name": name}) for name, table in tables.items()
        ]
        return {kind.name: tuple(each for each in made if each is not None)}

    def _stream(self, name: str, table: Any, kinds: Mapping[str, type[Stage]]) -> Stream | None:
        own = table
        if isinstance(table, dict):
            where = self._tables.where(f"streams.{name}")
            known = self._tables.known("key", table, (*fields_of(Stream), *kinds), where)
            own = {key: value for key, value in known if key not in kinds}
        stream: Stream | None = self._tables.build(Stream, f"streams.{name}", own, _flags_of_stream(table, self._flags))
        return stream

    def _sink(self, name: str, table: Any) -> Sink | None:
        kind = SINKS.get(name)
        if kind is None or _has(table, "use"):
            kind = self._imported(f"sinks.{name}", table, Sink)
        if kind is None:
            return None
        sink: Sink | None = self._tables.build(
            kind, f"sinks.{name}", {key: table[key] for key in self._tables.table(name, table) if key != "use"}
        )
        return sink

    def _places(self, kinds: Mapping[str, type[Stage]]) -> Places:
        given = {flag.key: flag.value for flag in self._of("place")}
        for key, value in self._tables.known("key", self._table("place"), (*kinds, *KEYS), self._tables.where("place")):
            replaced = interpolate(value)
            self._tables.secrets.update(replaced.secrets)
            written = f"{self._tables.where('place')} {key} = {shown(value)}"
            self.mistakes.extend(f"{written}: {mistake}" for mistake in replaced.mistakes)
            if not isinstance(value, str):
                self.mistakes.append(f"{written}: must be text, {KEYS.get(key, WHERE)}")
            given.setdefault(key, replaced.value)
        words = {key: value for key, value in given.items() if key not in KEYS}
        wrong = [name for name in words if name not in kinds]
        self.mistakes.extend(f"--place {name}=…: expected {one_of(name, kinds)}" for name in wrong)
        return Places(words, *(Path(given[key]) if isinstance(given.get(key), str) else None for key in KEYS))

    def _fit_for_a_file(self, stream: str) -> bool:
        """Outputs are called after their stream."""
        if is_name(stream):
            return True
        self.mistakes.append(
            f"{self._file}: [streams.{shown(stream)}]: outputs are called after their stream: expected {A_NAME}"
        )
        return False


def _is_for_all(flag: Flag) -> bool:
    """Whether an option of the detector holds for the other stages' models too. Few of these ship in INT8."""
    return flag.key in ("runtime", "every") or (flag.key, flag.value) == ("precision", "fp32")


def _has(table: Any, key: str) -> bool:
    return isinstance(table, dict) and key in table


def _flags_of_stream(table: Any, flags: Sequence[Flag]) -> list[Flag]:
    """The flags for all streams, but for those that are for files only where the stream is a camera."""
    source = interpolate(table.get("source")).value if isinstance(table, dict) else None
    left_out = FOR_FILES if isinstance(source, str) and is_live(source) else ()
    return [flag for flag in flags if flag.table == "streams" and flag.key not in left_out]
