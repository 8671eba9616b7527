"""Nearly valid messages: seeded mutations of real ones."""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

ODD = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    2**64,
    10**30,
    1.5,
    -0.0,
    "",
    "x" * 300,
    "%ff",
    [],
    [[]],
    {},
    {"kind": "work"},
)


def mutations(messages: Sequence[Sequence[bytes]], count: int, seed: int) -> Iterator[list[bytes]]:
    """`count` messages, each a list of parts: a real one with one to three changes."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = list(rng.choice(messages))
        for _ in range(rng.randint(1, 3)):
            rng.choice((_change_value, _change_value, _change_bytes, _change_parts))(parts, rng)
        yield parts


def _change_value(parts: list[bytes], rng: random.Random) -> None:
    """Replace a value in the header by an odd one, or remove or duplicate a key or a value."""
    try:
        header = json.loads(parts[0])
    except (ValueError, IndexError, RecursionError):
        return _change_bytes(parts, rng)
    places = _places(header) if isinstance(header, dict | list) else []
    if places:
        inside, key = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, list):
            inside.insert(key, inside[key])
        elif kind == 1:
            inside[f"{key}x"] = inside[key]
        elif kind == 2 and isinstance(inside[key], int):
            inside[key] += rng.choice((-1, 1, 7, 1 << 16, -(1 << 40), 1 << 40))
        else:
            inside[key] = rng.choice(ODD)
        parts[0] = json.dumps(header).encode()
    return None


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each dictionary or list inside a value, with each of its keys."""
    places: list[tuple[Any, Any]] = []
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        places.append((value, key))
        if isinstance(value[key], dict | list):
            places += _places(value[key])
    return places


def _change_bytes(parts: list[bytes], rng: random.Random) -> None:
    """Flip a byte, or remove, duplicate or randomise a piece."""
    if not parts:
        return
    at = rng.randrange(len(parts))
    part = bytearray(parts[at])
    a, b = sorted(rng.randrange(len(part) + 1) for _ in range(2))
    kind = rng.randrange(5)
    if kind == 0 and part:
        part[rng.randrange(len(part))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del part[a:b]
    elif kind == 2:
        part[a:a] = part[a:b]
    elif kind == 3:
        part[a:b] = rng.randbytes(rng.randrange(40))
    else:
        del part[a:]
    parts[at] = bytes(part)


def _change_parts(parts: list[bytes], rng: random.Random) -> None:
    """Remove, duplicate or move a part, or insert a new one."""
    at = rng.randrange(len(parts) + 1)
    kind = rng.randrange(4)
    if kind == 0 and at < len(parts) and len(parts) > 1:
        del parts[at]
    elif kind == 1 and parts:
        parts.insert(at, rng.choice(parts))
    elif kind == 2:
        rng.shuffle(parts)
    else:
        parts.insert(at, rng.randbytes(rng.randrange(100)))
