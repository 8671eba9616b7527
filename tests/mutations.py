"""Messages that are nearly right: seeded mutations of real ones."""

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
    """`count` messages, each a list of parts: one of the real ones with one to three things changed in it."""
    rng = random.Random(seed)
    for _ in range(count):
        parts = list(rng.choice(messages))
        for _ in range(rng.randint(1, 3)):
            rng.choice((_change_value, _change_value, _change_bytes, _change_parts))(parts, rng)
        yield parts


def _change_value(parts: list[bytes], rng: random.Random) -> None:
    """A value anywhere in the header becomes an odd one, or a key or a value goes, or comes twice."""
    try:
        header = json.loads(parts[0])
    except (ValueError, IndexError, RecursionError):
        return _change_bytes(parts, rng)
    places = list(_places(header))
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


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _change_bytes(parts: list[bytes], rng: random.Random) -> None:
    """A byte is flipped, or a piece goes, comes twice, or is noise."""
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
    """A part goes, comes twice, changes its place, or a new one comes."""
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
