"""The text of a Darknet .cfg: sections of key=value lines, and the questions a reader asks of them.

The grammar is that of Darknet's `read_cfg`: white space means nothing, a line is a [section], a comment (# or ;) or
key=value; of a key that is given twice, the first counts. Where Darknet warns and goes on, we stop: a key that nobody
asked for may change the numbers.
"""

import math
from pathlib import Path

from watchline.export.errors import CheckpointNotFound, CheckpointRefused

MAX_BYTES = 1 << 20  # the longest .cfg that people have is some 10 KB; this ends the reading of a swapped .weights
MAX_NUMBER = 1 << 16  # of filters, cells a kernel, classes, pixels a side: more is a slip or an attack


def sections(path: Path) -> list["Section"]:
    """The sections of a .cfg in their order.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is no such text, or a line of it is none of the above.
    """
    return _split(_text(path), str(path))


class Section:
    """One section's lines. A value that is asked for is crossed off; `finish` complains of those that are left."""

    def __init__(self, name: str, line: int, kind: str) -> None:
        self.kind = kind
        self.where = f"{name}, line {line}, [{kind}]"
        self._name = name
        self._values: dict[str, tuple[int, str]] = {}
        self._known: set[str] = set()

    def put(self, line: int, key: str, value: str) -> None:
        self._values.setdefault(key, (line, value))

    def word(self, key: str, default: str, among: tuple[str, ...]) -> str:
        value = self._text(key)
        if value is None:
            return default
        if value not in among:
            raise self._refuse(key, f"one of {', '.join(among)}")
        return value

    def integer(self, key: str, default: int | None, low: int = 0, high: int = MAX_NUMBER) -> int:
        text = self._text(key)
        if text is None:
            if default is None:
                raise CheckpointRefused(f"{self.where}: it has no `{key}`; expected a whole number in {low}..{high}")
            return default
        [value] = self._integers(key, [text], low, high)
        return value

    def integers(self, key: str, low: int = -MAX_NUMBER, high: int = MAX_NUMBER) -> tuple[int, ...] | None:
        text = self._text(key)
        return None if text is None else self._integers(key, text.rstrip(",").split(","), low, high)

    def numbers(self, key: str) -> tuple[float, ...] | None:
        text = self._text(key)
        if text is None:
            return None
        try:
            values = tuple(float(part) for part in text.rstrip(",").split(","))
        except ValueError:
            values = (math.nan,)
        if not all(map(math.isfinite, values)):
            raise self._refuse(key, "numbers")
        return values

    def number(self, key: str, default: float) -> float:
        values = self.numbers(key) or (default,)
        if len(values) > 1:
            raise self._refuse(key, "one number")
        return values[0]

    def ignore(self, *keys: str) -> None:
        """These say how to train, or what to do with boxes that are found already."""
        self._known.update(keys)

    def neutral(self, **values: float) -> None:
        """These would change the numbers in a way that is not exported, unless they have the value named here."""
        for key, value in values.items():
            if self.number(key, value) != value:
                raise self._refuse(key, f"{value:g}, as nothing else can be exported")

    def finish(self) -> None:
        for key, (line, value) in self._values.items():
            if key not in self._known:
                raise CheckpointRefused(
                    f"{self._name}, line {line}, [{self.kind}]: unknown key `{key}={value}`, which may change the "
                    "network's numbers; expected a network without it"
                )

    def _text(self, key: str) -> str | None:
        self._known.add(key)
        return self._values[key][1] if key in self._values else None

    def _integers(self, key: str, parts: list[str], low: int, high: int) -> tuple[int, ...]:
        try:
            values = tuple(int(part) for part in parts)
        except ValueError:
            values = (low - 1,)
        if not all(low <= value <= high for value in values):
            raise self._refuse(key, f"whole numbers in {low}..{high}")
        return values

    def _refuse(self, key: str, expected: str) -> CheckpointRefused:
        line, value = self._values[key]
        return CheckpointRefused(
            f"{self._name}, line {line}, [{self.kind}]: `{key}` is {_short(value)}; expected {expected}"
        )


def looks_like(head: bytes) -> str | None:
    """What a file that should be something else begins like, in words; None where nothing is plain."""
    start = head.lstrip()[:1]
    if start == b"<":
        return "an HTML or XML page, as a failed download leaves behind"
    if head[:2] == b"PK":
        return "a ZIP archive or a PyTorch checkpoint"
    if head and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in head):
        return "text"
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise CheckpointNotFound(f"{path}: there is no such file; expected a Darknet .cfg") from None
    except OSError as error:
        raise CheckpointRefused(f"{path}: it cannot be read ({error.strerror}); expected a Darknet .cfg") from error
    kind = looks_like(data[:64])
    if b"\0" in data or len(data) > MAX_BYTES or kind not in (None, "text"):
        raise CheckpointRefused(
            f"{path}: it holds {kind or 'binary data'}; expected a Darknet .cfg, which is text of at most "
            f"{MAX_BYTES >> 20} MB (were .cfg and .weights swapped?)"
        )
    return data.decode("utf-8-sig", errors="replace")  # comments come in any encoding


def _split(text: str, name: str) -> list[Section]:
    sections: list[Section] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = "".join(raw.split("#")[0].split(";")[0].split())
        if not line:
            continue
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            sections.append(Section(name, number, line[1:-1]))
        elif sections and equals and key and value:
            sections[-1].put(number, key, value)
        else:
            raise CheckpointRefused(
                f"{name}, line {number}: it reads {_short(raw.strip())}; expected [section], key=value or a # comment"
            )
    return sections


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
