"""Files of class names: one a line as Darknet's `.names` are, or YAML or JSON as trainings write them.

read(Path("coco.names")), read(Path("data.yaml")), read(Path("classes.json"))  # ("person", "bicycle", …)
read(Path("coco"))  # the names of a known data set, where there is no such file
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watchline.engines.checked import first_line
from watchline.export.class_names import twice
from watchline.export.errors import ExportRefused
from watchline.ops.coco import COCO
from watchline.ops.voc import VOC

MOST_BYTES = 1 << 20  # a file of names is some kilobytes; more is another file
EXPECTED = "expected a text file of class names, one a line, or a data.yaml or JSON with `names`"
SETS = {"coco": tuple(COCO), "voc": tuple(VOC)}
KEYS = ("names", "id2label", "classes", "labels", "categories")  # under which trainings keep names


def read(path: Path) -> tuple[str, ...]:
    """The names in the order of their numbers. Spaces around a name and empty lines at the end do not count.

    Raises:
        ExportRefused: the file cannot be read, is no text, or a class has no name or one that was there before.
    """
    if str(path) in SETS and not path.exists():
        return SETS[str(path)]
    text = _text(path)
    names = _structured(text, path)
    where = "class" if names is not None else "line"
    names = names if names is not None else [line.strip() for line in text.rstrip().splitlines()]
    if not names:
        raise ExportRefused(f"{path}: it holds no names; {EXPECTED}")
    first = 0 if where == "class" else 1
    for number, name in enumerate(names, first):
        if not isinstance(name, str) or not name or not name.isprintable():
            raise ExportRefused(f"{path}: {where} {number} is {name!r}; expected a class name")
    if pair := twice(names):
        a, b = (number + first for number in pair)
        words = f"lines {a} and {b}" if where == "line" else f"classes {a} and {b}"
        raise ExportRefused(
            f"{path}: {words} are both {names[pair[0]]!r}; name each class once, e.g. '{names[pair[0]]} 2'"
        )
    return tuple(names)


def mapping(path: Path) -> Mapping[str, Any]:
    """What else a `data.yaml` says, by its keys; all scalars are text. Raises ExportRefused: it is not such a file."""
    loaded = _loaded(_yaml(path), _text(path), path, "YAML")
    if not isinstance(loaded, Mapping):
        raise ExportRefused(f"{path}: it has no keys; {EXPECTED}")
    return loaded


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ExportRefused(
            f"{path}: it cannot be read ({error.strerror}); {EXPECTED}, or one of {', '.join(SETS)}"
        ) from error
    if len(content) > MOST_BYTES:
        raise ExportRefused(f"{path}: it has more than {MOST_BYTES} bytes; {EXPECTED}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportRefused(f"{path}: it is no UTF-8 text ({error.reason}); {EXPECTED}") from error


def _structured(text: str, path: Path) -> list[Any] | None:
    """The names in JSON or YAML; None where it is neither. Raises ExportRefused: it is, and holds none."""
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        loaded = _loaded(json.loads, text, path, "JSON")
    elif path.suffix.lower() in (".yaml", ".yml") or re.search(r"^names\s*:", text, re.MULTILINE):
        loaded = _loaded(_yaml(path), text, path, "YAML")
    else:
        return None
    if isinstance(loaded, Mapping):
        loaded = next((loaded[key] for key in KEYS if key in loaded), loaded)
    names = _in_order(loaded)
    if names is None:
        raise ExportRefused(f"{path}: no class names are under `names` in it; {EXPECTED}")
    return names


def _in_order(found: Any) -> list[Any] | None:
    """Names from a list of them, of {"name": …}, from {number: name}, or {name: number}."""
    if isinstance(found, list):
        return [_name(item.get("name") if isinstance(item, Mapping) else item) for item in found]
    if not isinstance(found, Mapping):
        return None
    numbers = {str(key): value for key, value in found.items()}  # JSON has strings for keys
    wanted = [str(i) for i in range(len(numbers))]
    values = found.values()
    if not set(wanted) <= numbers.keys() and all(
        type(value) in (str, int) and str(value).isdigit() for value in values
    ):
        numbers = {str(value): key for key, value in found.items()}
    return [_name(numbers.get(number)) for number in wanted]


def _name(value: Any) -> Any:
    """A name without spaces around it; classes may be called by numbers. None if it is a list or a mapping."""
    return str(value).strip() if type(value) in (str, int, float) else None


def _loaded(load: Any, text: str, path: Path, kind: str) -> Any:
    try:
        return load(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise ExportRefused(f"{path}: it is no {kind} ({first_line(error)[:120]}); {EXPECTED}") from error


def _yaml(path: Path) -> Any:
    """A function from YAML to Python that raises ValueError. Raises ExportRefused: its library is not installed."""
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ExportRefused(f"{path}: YAML needs PyYAML: pip install pyyaml, or {EXPECTED}") from error

    def load(text: str) -> Any:
        try:
            return yaml.load(text, yaml.BaseLoader)  # all scalars are text: `no` and `on` are names
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error

    return load
