"""Which files the settings of a client may name: the models that ship, and what the stage's owner allows.

A refusal is the same whether or not there is such a file: nobody can ask which files this host has.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchline.engines import zoo
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.schema import REQUIRED, fields_of
from watchline.pipeline.stages.stage import Stage

_A_PATH = re.compile(r'"format": "(\w+-)?path"')
_PATHS_AS_KEYS = re.compile(r'"propertyNames": \{[^{}]*"format": "(\w+-)?path"')


@dataclass(frozen=True)
class Allowed:
    """Files, and folders with all that is in them. A client names one by its path, or by its name in here."""

    files: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, models: tuple[str, ...], folders: tuple[Path, ...]) -> "Allowed":
        """What the owner has typed.

        Raises:
            ModelNotFound: a model is neither a file nor the name of a shipped one.
            ConfigError: a folder is not there.
        """
        for folder in folders:
            if not folder.is_dir():
                raise ConfigError(f"no folder {str(folder)!r}: expected one with the models that clients may ask for")
        return cls(tuple(map(_plain, map(zoo.find, models))), tuple(map(_plain, folders)))

    def find(self, name: str) -> Path | None:
        """The file that a client means; None if it may not have it, or there is none."""
        named = [file for file in self.files if name == file.name]
        within = [_plain(folder / name) for folder in self.folders]
        for path in (*named, *within, _plain(Path(name))):
            if path in self.files or (any(map(path.is_relative_to, self.folders)) and _is_file(path)):
                return path
        return None

    def granted(self, kind: type[Stage], settings: Mapping[str, Any]) -> dict[str, Any]:
        """A client's settings of a stage, with the paths of the files that they name.

        In a setting that has a path anywhere, e.g. in a table, every text is one.

        Raises:
            ConfigError: one of these is not allowed.
        """
        fields = fields_of(kind)
        schemas = {name: json.dumps(field.adapter.json_schema()) for name, field in fields.items()}
        own = {name for name, schema in schemas.items() if _A_PATH.search(schema)}.union(kind.files)
        usual = {
            key: fields[key].adapter.dump_python(fields[key].default, mode="json", warnings=False)
            for key in own
            if fields[key].default is not REQUIRED
        }

        def grant(key: str, value: Any) -> Any:
            if key in usual and value == usual[key]:
                return value
            if isinstance(value, list):
                return [grant(key, each) for each in value]
            if isinstance(value, dict):
                as_keys = bool(_PATHS_AS_KEYS.search(schemas[key]))
                return {grant(key, name) if as_keys else name: grant(key, each) for name, each in value.items()}
            if not isinstance(value, str) or value in zoo.names():
                return value
            found = self.find(value)
            if found is None:
                raise ConfigError(
                    f"{key} {value!r} is not offered here: expected one that ships, or that the stage's owner allows "
                    "(`watchline stage … --model FILE`, `--models DIR`)"
                )
            return str(found)

        def grant_all(table: Mapping[str, Any]) -> dict[str, Any]:
            return {key: grant(key, value) if key in own else value for key, value in table.items()}

        streams = settings.get("streams")
        if isinstance(streams, dict):
            settings = {
                **settings,
                "streams": {name: grant_all(t) for name, t in streams.items() if isinstance(t, dict)},
            }
        return grant_all(settings)


def _plain(path: Path) -> Path:
    """Absolute, without `..`; links stay, as their owner has made them."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _is_file(path: Path) -> bool:
    """False for what cannot be a name, too."""
    return os.path.isfile(path)  # noqa: PTH113
