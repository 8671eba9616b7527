"""Checks that every frame of a run is accounted for in its events files: python tests/ledger_of.py out/*.jsonl

It takes the events files of one run: of several streams, each complete or in segments, or of all streams together. At
each frame's event, its index + 1 = frame events so far + frames dropped so far. So the event of a lost frame is before
that of the next frame. With the setting `every`, most frames have no event, and the sum is at most index + 1. The
footer of a file has the sums of its own events.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SEGMENT = re.compile(r"(.*-\d{8}T\d{6}Z)(?:-(\d+))?")


class Unaccounted(AssertionError):
    """Frames are missing, or there are too many of them. The message says where."""


@dataclass
class Account:
    """One stream.

    Attributes:
        frames: number of frame events.
        dropped: number of dropped frames, by cause.
        last: index of the last frame with an event, -1 if there is none.
        every: the setting of the run.
        epochs: of the lines, each once, in their order.
        states: in their order, one after another.
        seen: what stages have seen to happen, by name.
        whole: what the last footer says; None without any.
    """

    frames: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    last: int = -1
    every: int = 1
    epochs: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    whole: bool | None = None
    _before: tuple[int, Counter[str]] = field(default=(0, Counter()), compare=False)

    @property
    def decoded(self) -> int:
        """The number of all frames."""
        return self.frames + self.dropped.total()

    def begin(self, header: dict[str, Any]) -> None:
        """A header: another file, or another run."""
        self.every = header.get("config", {}).get("every", 1)
        self._before = self.frames, Counter(self.dropped)

    def end(self, footer: dict[str, Any]) -> None:
        """A footer. Raises Unaccounted: its sums are not those of the lines since the header."""
        frames, dropped = self.frames - self._before[0], self.dropped - self._before[1]
        self.whole = footer["whole"]
        unseen = footer["frames"] - frames  # without a line, as no detector looked at them
        if footer["dropped"] != dropped or unseen < 0 or (unseen and self.every == 1):
            raise Unaccounted(f"the footer says {footer}: expected {frames} frames, dropped {dict(dropped)}")

    def book(self, event: dict[str, Any]) -> None:
        """Count an event. Raises Unaccounted: it does not fit the earlier ones."""
        epoch = event.get("epoch")
        if epoch is not None and (not self.epochs or epoch > self.epochs[-1]):
            self.epochs.append(epoch)
        if epoch is not None and epoch < self.epochs[-1]:
            raise Unaccounted(f"epoch {epoch} after epoch {self.epochs[-1]}")
        if event.get("event") == "state":
            self.states.append(event["state"])
        elif event.get("event") == "dropped":
            self.dropped[event["cause"]] += event["frames"]
        elif "event" in event:
            self.seen[event["event"]] += 1
        else:
            self._frame(event["frame"])

    def _frame(self, index: int) -> None:
        if index <= self.last:
            raise Unaccounted(f"frame {index} after frame {self.last}")
        self.last = index
        self.frames += 1
        if self.decoded > index + 1 or (self.every == 1 and self.decoded < index + 1):
            raise Unaccounted(
                f"frame {index}: expected {index + 1} frames up to here, got {self.frames} lines and "
                f"{self.dropped.total()} dropped ({dict(self.dropped)})"
            )


def ledger_of(paths: Iterable[Path]) -> dict[str, Account]:
    """The accounts of all streams, by name.

    Raises:
        Unaccounted: they do not balance, or events have no header; the error has file and line.
    """
    accounts: dict[str, Account] = {}
    for line, event in _events(in_order(paths)):
        try:
            if "header" in event:
                header = event["header"]
                accounts.setdefault(header["stream"], Account()).begin(header)
            elif "footer" in event:
                accounts[event["footer"]["stream"]].end(event["footer"])
            elif event["stream"] not in accounts:
                raise Unaccounted(f"{event['stream']} has no header")
            else:
                accounts[event["stream"]].book(event)
        except Unaccounted as error:
            raise Unaccounted(f"{line}: {event.get('stream')}: {error}") from None
    return accounts


def in_order(paths: Iterable[Path]) -> list[Path]:
    """Segments in order of time."""

    def key(path: Path) -> tuple[str, int]:
        found = SEGMENT.fullmatch(path.stem)
        return (found[1], int(found[2] or 1)) if found else (path.stem, 0)

    return sorted(paths, key=key)


def _events(paths: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in paths:
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            raise Unaccounted(f"{path}: the last line is incomplete")
        for number, line in enumerate(data.splitlines(), 1):
            yield f"{path}:{number}", json.loads(line)


def main() -> int:
    """Print the accounts. Returns 1 if they do not balance."""
    try:
        accounts = ledger_of(map(Path, sys.argv[1:]))
    except Unaccounted as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for stream, account in accounts.items():
        lost = ", ".join(f"{cause} {frames}" for cause, frames in account.dropped.items()) or "none"
        sys.stdout.write(f"{stream}: {account.decoded} frames, {account.frames} written, dropped: {lost}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
