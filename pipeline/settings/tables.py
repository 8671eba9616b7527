"""Reads the tables of a config: each becomes a class with `@settings`, and every mistake in it one line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchline.errors import SettingsError, unknown
from watchline.pipeline.settings.environment import Interpolated, conceal, interpolate
from watchline.pipeline.settings.schema import REQUIRED, Checked, check_field, fields_of
from watchline.streams import address

LONGEST_VALUE = 60  # letters of a wrong value that an error shows


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
class _Setting:
    """A value as it is used, and as an error shows it: `watchline.toml: [detector] conf = 7`."""

    value: Interpolated
    written: str


class Tables:
    """Collects the mistakes of a config's tables.

    Args:
        file: its name, for errors.

    Attributes:
        mistakes: a line each.
        secrets: values of the environment variables that were put in, by name.
    """

    def __init__(self, file: str) -> None:
        self.mistakes: list[str] = []
        self.secrets: dict[str, str] = {}
        self._file = file

    def build(
        self, kind: type, name: str, given: Any, flags: Sequence[Flag] = (), more: Mapping[str, Any] | None = None
    ) -> Any:
        """What a table and the flags describe; None if there are mistakes in it. Args: more, fields of no table."""
        before = len(self.mistakes)
        fields = {key: about for key, about in fields_of(kind).items() if about.in_table}
        values = self.values(kind, name, given, list(fields), flags)
        where = self.where(name)
        present = {*values, *given, *(flag.key for flag in flags)} if isinstance(given, dict) else {*fields}
        self.mistakes += [
            f"{where} {key} is missing: expected {about.description}"
            for key, about in fields.items()
            if about.default is REQUIRED and key not in present
        ]
        return None if len(self.mistakes) > before else self.construct(kind, values | dict(more or {}), where)

    def values(
        self, kind: type, name: str, given: Any, allowed: Sequence[str], flags: Sequence[Flag] = ()
    ) -> dict[str, Any]:
        """The values of a table's keys, those of them that are right.

        Args:
            allowed: the fields of `kind` that may stand there.
        """
        fields = fields_of(kind)
        where = self.where(name)
        settings: dict[str, _Setting] = {}
        for key, value in self.known("key", self.table(name, given), allowed, where):
            replaced = interpolate(value)
            self.secrets |= replaced.secrets
            written = f"{where} {key} = {shown(value)}"
            self.mistakes += [f"{written}: {mistake}" for mistake in replaced.mistakes]
            if not replaced.mistakes:
                settings[key] = _Setting(replaced, written)
        for flag in flags:
            settings[flag.key] = _Setting(Interpolated(flag.value), f"{flag.name} {_typed(flag.value)}")
        values = {}
        for key, setting in settings.items():
            checked = check_field(fields[key], setting.value)
            if not self._note(setting.written, checked):
                values[key] = checked.value
        return values

    def construct(self, kind: Any, values: Mapping[str, Any], where: str) -> Any:
        """Make what has rules over several of its fields; None if there are mistakes."""
        try:
            return kind(**values)
        except SettingsError as error:
            self.mistakes += [f"{where} {conceal(mistake, self.secrets)}" for mistake in error.mistakes]
        return None

    def table(self, name: str, given: Any) -> dict[str, Any]:
        """What must be a table."""
        if isinstance(given, dict):
            return given
        self.mistakes.append(f"{self._file}: {name} = {shown(given)}: must be a table, [{name}]")
        return {}

    def known(
        self, what: str, given: Mapping[str, Any], allowed: Mapping[str, Any] | Sequence[str], where: str
    ) -> list[tuple[str, Any]]:
        """The keys that there are, with their values."""
        wrong = [key for key in given if key not in allowed]
        self.mistakes += [f"{where.removesuffix(':')}: {unknown(what, key, allowed)}" for key in wrong]
        return [(key, value) for key, value in given.items() if key in allowed]

    def where(self, name: str) -> str:
        """How errors begin that are about a table."""
        return f"{self._file}: [{name}]" if name else f"{self._file}:"

    def _note(self, written: str, checked: Checked) -> bool:
        if checked.mistake:
            self.mistakes.append(f"{written}: {conceal(checked.mistake, self.secrets)}")
        return bool(checked.mistake)


def shown(value: Any) -> str:
    """As it stands in the file, shortened; `${NAME}` is not replaced."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    words = value if isinstance(value, list) else [value]
    text = address.conceal_all(text, [word for word in words if isinstance(word, str)])
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _typed(value: Any) -> str:
    """As it was typed on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
