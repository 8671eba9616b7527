"""A stage that runs elsewhere: in a process of its own, or on another host. For its runner it is a stage as any other.

    stage = placed(Detector(), place_of("process"))
    stage = placed(Detector(), place_of("tcp://gpu:5555", key=Path("laptop.key"), peer=Path("gpu.pub")))

Results are the same in every place, byte for byte; but for `pixels=jpeg`, which is lossy and meant for slow networks.
The pixels of an item are good until `process` returns: a stage that keeps a picture for later copies it.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl

from watchline.pipeline.errors import ConfigError, StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote.channel import Keys, host_of, is_loopback
from watchline.pipeline.remote.client import Remote
from watchline.pipeline.remote.endpoints import Child, Host, Way
from watchline.pipeline.remote.keys import read_keys
from watchline.pipeline.stages.registry import is_shared, name_of
from watchline.pipeline.stages.stage import Process, Stage

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Place:
    """Where a stage runs.

    Attributes:
        kind: "thread" of the hub, "process" that the hub starts, "tcp" for one that somebody started elsewhere.
        address: tcp://HOST:PORT.
        quality: 1 to 100, of JPEG for pixels to and from there; None sends them as they are.
        keys: the hub's secret key and the stage's public one; needed beyond loopback.
    """

    kind: Literal["thread", "process", "tcp"] = "thread"
    address: str = ""
    quality: int | None = None
    keys: Keys | None = None


def place_of(word: str, key: Path | None = None, peer: Path | None = None) -> Place:
    """The place that a word names: "thread", "process", or "tcp://HOST:PORT", with "?pixels=jpeg" or "?pixels=jpeg:80".

    Args:
        key, peer: files of the hub's secret key and of the stage's public one, for tcp.

    Raises:
        ConfigError: it is no such word, the keys cannot be read, or are missing where they are needed.
    """
    if (key is None) != (peer is None):
        raise ConfigError(f"{word}: expected both a key (ours, secret) and a peer (its public key), or neither")
    if word == "thread":
        return Place()
    if word == "process":
        if not hasattr(os, "memfd_create"):
            raise ConfigError("place 'process' needs Linux, for memory that is shared without a name: expected thread")
        return Place("process")
    address, _, options = word.partition("?")
    try:
        host = host_of(address)
    except ValueError:
        host = ""
    if not host or host == "*":
        raise ConfigError(f"place {word!r}: expected thread, process or tcp://HOST:PORT, e.g. tcp://gpu.local:5555")
    keys = None if key is None or peer is None else read_keys(key, [peer])
    if keys is None and not is_loopback(address):
        raise ConfigError(
            f"place {word!r} is another host: expected a key (ours, secret) and a peer (its public key), so "
            "that nobody between can see or change anything; `watchline keys` makes them"
        )
    return Place("tcp", address, _quality(word, options), keys)


def placed(stage: Stage, place: Place) -> Stage:
    """The stage as it shall run: itself in a thread of the hub, else a `Placed`.

    Raises:
        ConfigError: its class cannot be found from another process.
    """
    if place.kind == "thread":
        return stage
    name_of(stage)
    return Placed(stage, place)


class _Shared:
    """The connection that all workers of a placed stage share: opened by the first, closed by the last."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in between
        self._remote: Remote | None = None
        self._users = 0

    def enter(self, placed: "Placed") -> Remote:
        with self._lock:
            if self._remote is None:
                try:
                    self._remote = Remote(placed.stage, placed.way(), placed.place.quality)
                except OSError as error:
                    raise StageError(f"{placed.name}: memory to share with a process cannot be had: {error}") from None
            self._users += 1
            return self._remote

    def leave(self) -> None:
        with self._lock:
            remote, self._users = self._remote, self._users - 1
            is_last = self._users == 0
            if is_last:
                self._remote = None
        if remote is not None:
            remote.cancel()
            if is_last:
                remote.close()

    def hurry(self) -> None:
        with self._lock:
            remote = self._remote
        if remote is not None:
            remote.hurry()

    def cancel(self) -> None:
        with self._lock:
            remote = self._remote
        if remote is not None:
            remote.cancel()


@dataclass(frozen=True)
class Placed:
    """A stage whose `process` is done elsewhere.

    Attributes:
        stage: what runs there; its class is importable there.
        place: where.
    """

    stage: Stage
    place: Place
    _shared: _Shared = field(default_factory=_Shared, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def workers(self) -> int:
        """One more than the stage has, so that each of its workers finds the next frames there when it is done with the
        last ones; 1 for a stage that needs its frames in order.
        """
        return self.stage.workers + 1 if is_shared(type(self.stage)) else 1

    @property
    def batch(self) -> int:
        return self.stage.batch

    def way(self) -> Way:
        """How to get at it."""
        if self.place.kind == "process":
            return Child(self.name, name_of(self.stage), self.workers)
        return Host(self.name, self.place.address, self.place.keys)

    def cancel(self) -> None:
        """The run is being left: whoever waits in `open` or `process` gets a StageError. For any thread."""
        self._shared.cancel()

    def hurry(self) -> None:
        """The run is being stopped: no frame of a file waits for a stage that is away any longer. For any thread."""
        self._shared.hurry()

    @contextmanager
    def open(self) -> Iterator[Process]:
        """Connect, and wait until the stage is open there. When one worker leaves, none waits any longer.

        Raises:
            StageError: nobody answers, the key is not known there, the stage cannot open, it is busy, …
        """
        remote = self._shared.enter(self)
        try:
            remote.wait_open()

            def process(items: Sequence[Item]) -> list[Item]:
                return remote.call(items)

            yield process
        finally:
            self._shared.leave()

    def __reduce__(self) -> "tuple[type[Placed], tuple[Stage, Place]]":
        """Settings are pickled, the connection is not."""
        return Placed, (self.stage, self.place)


def _quality(word: str, options: str) -> int | None:
    """JPEG quality of `pixels=jpeg:80`, None for `pixels=raw` and for nothing."""
    given = dict(parse_qsl(options, keep_blank_values=True))
    pixels = given.pop("pixels", "raw")
    kind, _, quality = pixels.partition(":")
    if not given and pixels == "raw":
        return None
    if not given and kind == "jpeg" and (not quality or (quality.isdecimal() and 1 <= int(quality) <= 100)):
        return int(quality or JPEG_QUALITY)
    raise ConfigError(f"place {word!r}: expected after the ? pixels=raw, pixels=jpeg or pixels=jpeg:1 … jpeg:100")
