"""Names for a third-party model's classes: the user's, else the file's own, else those of the data set with as many."""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from watchline.export.errors import ExportRefused
from watchline.ops.coco import COCO
from watchline.ops.voc import VOC

KNOWN = {len(COCO): tuple(COCO), len(VOC): tuple(VOC)}
LONGEST = 1 << 20  # characters of a property that is worth reading; names of 10 000 classes are a fifth of it
REMEDY = "name them with --labels FILE, one name a line, or --labels coco"


def read_literal(text: str) -> Any:
    """The Python or JSON literal in a property of a file, None where there is none. Nothing is evaluated."""
    if not 0 < len(text) <= LONGEST:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return None


def own_names(properties: Mapping[str, str], where: str) -> tuple[str, ...] | None:
    """The class names that a file carries as Ultralytics writes them, `{0: 'person', …}`; None if it carries none.

    Raises:
        ExportRefused: they are there, and no names.
    """
    if "names" not in properties:
        return None
    names = read_literal(properties["names"])
    if isinstance(names, dict):
        numbers = {str(key): value for key, value in names.items()}  # JSON has strings for keys
        names = [numbers.get(str(i)) for i in range(len(numbers))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise ExportRefused(f"{where}: the class names in it cannot be read: {properties['names'][:60]!r}; {REMEDY}")
    return tuple(names)


def twice(names: Sequence[str]) -> tuple[int, int] | None:
    """Numbers of two classes with one name; None if all differ."""
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if first.setdefault(name, number) != number:
            return first[name], number
    return None


def labels_for(
    classes: int, asked: tuple[str, ...] | None, properties: Mapping[str, str], where: str
) -> tuple[str, ...]:
    """A name for each class.

    Args:
        classes: how many scores the network gives each box.
        asked: the user's names, which count more than the file's.
        properties: of the file.
        where: what errors name.

    Raises:
        ExportRefused: there are more or fewer names than classes, two of a kind, or none.
    """
    names = asked or own_names(properties, where) or KNOWN.get(classes)
    if names is None:
        raise ExportRefused(f"{where}: it has {classes} classes and no names for them; {REMEDY}")
    if len(names) != classes:
        whose = "given" if asked else "in it"
        raise ExportRefused(f"{where}: it has {classes} classes, but {len(names)} names are {whose}; {REMEDY}")
    if pair := twice(names):
        raise ExportRefused(
            f"{where}: its classes {pair[0]} and {pair[1]} are both {names[pair[0]]!r}; expected different class "
            f"names: tell them apart with --labels FILE, e.g. '{names[pair[0]]} 2'"
        )
    return names
