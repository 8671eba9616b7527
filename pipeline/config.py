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

    [place]
    detector = "tcp://gpu.local:5555"
    key = "here.key"
    peer = "gpu.pub"

`${NAME}` in a string is replaced by the environment variable, `${NAME:-text}` by the text where that is unset or empty.
Paths are relative to the folder the program runs in. A time is "500ms", "10m", "1h30m" or "7d"; a bare number is
seconds, of `latency_budget` milliseconds. Every mistake is named, one a line.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from watchline.errors import unknown
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.table import Places
from watchline.pipeline.settings.duration import Milliseconds, Seconds
from watchline.pipeline.settings.environment import Interpolated, interpolate
from watchline.pipeline.settings.schema import REQUIRED, Checked, check_field, fields_of
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.streams import FOR_FILES, Stream
from watchline.settings import settings
from watchline.streams import address
from watchline.streams.live.words import is_live
from watchline.streams.write.mp4 import Mp4Sink

TABLES = {"detector": Detector, "annotator": Annotator, "video": Mp4Sink, "place": Places}
SHORTEST_SECRET = 4  # letters
LONGEST_VALUE = 60  # letters of a wrong value that an error shows


@settings
class Run:
    """What stands above all tables."""

    out: str | None = Field(None, description="folder for the outputs")
    split: Seconds = Field(3600, ge=1, description="outputs of cameras begin anew after so long, e.g. 10m")
    latency_budget: Milliseconds = Field(500, gt=0, description="a live frame must be through by then, e.g. 500ms")


@dataclass(frozen=True)
class Flag:
    """A setting from the command line, stronger than the file's: `Flag("--conf", "detector", "conf", 0.4)`.

    Its table is "" for what stands above all tables, and "streams" for a setting of every stream that can have it.
    """

    name: str
    table: str
    key: str
    value: Any


@dataclass(frozen=True)
class Config:
    """A run's settings, all checked.

    Attributes:
        streams: settings of each stream, by name.
        detector, annotator, video: settings of the stages and of the written video.
        place: where the stages run.
        out: folder for the outputs.
        split: seconds after which outputs of cameras begin anew.
        latency_budget: seconds until which a live frame must be through.
        given: what the file sets above all tables.
        secrets: values of the environment variables that were put in, by name.
    """

    streams: Mapping[str, Stream]
    detector: Detector
    annotator: Annotator
    video: Mp4Sink
    place: Places
    out: Path | None
    split: float
    latency_budget: float
    given: frozenset[str]
    secrets: Mapping[str, str] = field(repr=False)

    def conceal(self, text: str) -> str:
        """The text with `${NAME}` in place of every secret in it, and without what addresses hold of passwords."""
        return address.conceal_all(conceal(text, self.secrets), [stream.source for stream in self.streams.values()])


def conceal(text: str, secrets: Mapping[str, str]) -> str:
    """The text with `${NAME}` in place of the value of every variable in it, the longest first.

    Values of less than four letters stay: they are numbers and the like, and would be found everywhere.
    """
    for name, value in sorted(secrets.items(), key=lambda item: -len(item[1])):
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"${{{name}}}")
    return text


def load(path: Path | None, flags: Sequence[Flag] = ()) -> Config:
    """Read a config; without a path, what the flags say and defaults.

    Raises:
        ConfigError: every mistake in the file and the flags, one a line.
    """
    reading = _Reading("", {}) if path is None else _Reading(str(path), _parse(path))
    config = reading.config(flags)
    if reading.mistakes or config is None:
        raise ConfigError("\n".join(reading.mistakes))
    return config


def _parse(path: Path) -> dict[str, Any]:
    """Raises ConfigError: there is no such file, or it is no TOML."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; expected a config, e.g. watchline.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({error.strerror}); expected a TOML file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no UTF-8; expected a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: no TOML: {error}") from None


@dataclass(frozen=True)
class _Setting:
    """A value as it is used, and as an error shows it: `watchline.toml: [detector] conf = 7`."""

    value: Interpolated
    written: str


class _Reading:
    """Goes through a file's tables and collects mistakes."""

    def __init__(self, place: str, tables: dict[str, Any]) -> None:
        self.mistakes: list[str] = []
        self._place = place
        self._tables = tables
        self._secrets: dict[str, str] = {}

    def config(self, flags: Sequence[Flag]) -> Config | None:
        """None: there are mistakes."""
        self._known("table or setting", self._tables, (*fields_of(Run), "streams", *TABLES), self._place)
        streams = {
            name: self._build(Stream, f"streams.{name}", table, _flags_of_stream(table, flags))
            for name, table in self._table("streams", self._tables.get("streams", {})).items()
            if self._fit_for_a_file(name)
        }
        tables = {
            name: self._build(kind, name, self._tables.get(name, {}), [f for f in flags if f.table == name])
            for name, kind in TABLES.items()
        }
        above = {key: value for key, value in self._tables.items() if key in fields_of(Run)}
        run = self._build(Run, "", above, [f for f in flags if f.table == ""])
        if self.mistakes:
            return None
        out = None if run.out is None else Path(run.out)
        return Config(
            streams,
            **tables,
            out=out,
            split=run.split,
            latency_budget=run.latency_budget / 1000,
            given=frozenset(above),
            secrets=self._secrets,
        )

    def _build(self, kind: type, table: str, given: Any, flags: Sequence[Flag]) -> Any:
        """The stage that a table and the flags describe; None if it has mistakes."""
        before = len(self.mistakes)
        fields = fields_of(kind)
        where = f"{self._place}: [{table}]" if table else f"{self._place}:"
        settings: dict[str, _Setting] = {}
        for key, value in self._known("key", self._table(table, given), fields, where):
            replaced = interpolate(value)
            self._secrets |= replaced.secrets
            written = f"{where} {key} = {_shown(value)}"
            self.mistakes += [f"{written}: {mistake}" for mistake in replaced.mistakes]
            if not replaced.mistakes:
                settings[key] = _Setting(replaced, written)
        for flag in flags:
            settings[flag.key] = _Setting(Interpolated(flag.value), f"{flag.name} {_typed(flag.value)}")
        present = {*settings, *given} if isinstance(given, dict) else {*fields}
        missing = [key for key, about in fields.items() if about.default is REQUIRED and key not in present]
        self.mistakes += [f"{where} {key} is missing: expected {fields[key].description}" for key in missing]
        values = {}
        for key, setting in settings.items():
            checked = check_field(fields[key], setting.value)
            values[key] = checked.value
            self._note(setting.written, checked)
        return None if len(self.mistakes) > before else self._construct(kind, values, where)

    def _construct(self, kind: type, values: dict[str, Any], where: str) -> Any:
        """Make the stage, which may have rules over several of its fields."""
        try:
            return kind(**values)
        except ValidationError as error:
            for detail in error.errors():
                text = detail["msg"].removeprefix("Value error, ")
                self.mistakes.append(f"{where} {conceal(text, self._secrets)}")
        return None

    def _note(self, written: str, checked: Checked) -> None:
        if checked.mistake:
            self.mistakes.append(f"{written}: {conceal(checked.mistake, self._secrets)}")

    def _table(self, name: str, given: Any) -> dict[str, Any]:
        if isinstance(given, dict):
            return given
        self.mistakes.append(f"{self._place}: {name} = {_shown(given)}: must be a table, [{name}]")
        return {}

    def _known(
        self, what: str, given: dict[str, Any], known: Mapping[str, Any] | Sequence[str], where: str
    ) -> list[tuple[str, Any]]:
        wrong = [key for key in given if key not in known]
        self.mistakes += [f"{where.removesuffix(':')}: {unknown(what, key, known)}" for key in wrong]
        return [(key, value) for key, value in given.items() if key in known]

    def _fit_for_a_file(self, stream: str) -> bool:
        """Outputs are called after their stream."""
        if stream and stream not in (".", "..") and not set(stream) & set("/\\\0"):
            return True
        self.mistakes.append(
            f"{self._place}: [streams.{_shown(stream)}]: outputs are called after their stream: "
            "expected a name without slashes"
        )
        return False


def _flags_of_stream(table: Any, flags: Sequence[Flag]) -> list[Flag]:
    """The flags for all streams, but for those that are for files only where the stream is a camera."""
    source = interpolate(table.get("source")).value if isinstance(table, dict) else None
    left_out = FOR_FILES if isinstance(source, str) and is_live(source) else ()
    return [flag for flag in flags if flag.table == "streams" and flag.key not in left_out]


def _shown(value: Any) -> str:
    """As it stands in the file, shortened; `${NAME}` is not replaced."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    words = value if isinstance(value, list) else [value]
    text = address.conceal_all(text, [word for word in words if isinstance(word, str)])
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _typed(value: Any) -> str:
    """As it was typed on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
