"""A stage that runs elsewhere: in a process of its own, or on another host. The runner treats it like any other stage.

    stage = placed(Detector(), place_of("process"))
    stage = placed(Detector(), place_of("tcp://gpu:5555", key=Path("laptop.key"), peer=Path("gpu.pub")))

Results are the same in every place, byte for byte; but for `pixels=jpeg`, which is lossy and meant for slow networks.
The pixels of an item are valid until `process` returns: a stage that keeps a picture for later copies it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

from watchline.pipeline.counts import Counted
from watchline.pipeline.errors import ConfigError, StageError, StateLost
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event, Item
from watchline.pipeline.remote.channel import Keys, host_of, is_loopback
from watchline.pipeline.remote.client import Client
from watchline.pipeline.remote.endpoints import Child, Endpoint, Host
from watchline.pipeline.remote.keys import read_keys
from watchline.pipeline.stages.registry import name_of
from watchline.pipeline.stages.stage import Stage, Work
from watchline.streams.source import About

JPEG_QUALITY = 90


@dataclass(frozen=True)
class Place:
    """Where a stage runs.

    Attributes:
        kind: "thread" of this process, "process" that it starts, "tcp" for one that somebody started elsewhere.
        address: tcp://HOST:PORT.
        quality: 1 to 100, of JPEG for pixels to and from there; None sends them as they are.
        keys: our secret key and the stage's public one; needed beyond loopback.
    """

    kind: Literal["thread", "process", "tcp"] = "thread"
    address: str = ""
    quality: int | None = None
    keys: Keys | None = None


def place_of(word: str, key: Path | None = None, peer: Path | None = None) -> Place:
    """The place that a word names: "thread", "process", or "tcp://HOST:PORT", with "?pixels=jpeg" or "?pixels=jpeg:80".

    Args:
        key, peer: files of our secret key and of the stage's public one, for tcp.

    Raises:
        ConfigError: it is not such a word, or the keys cannot be read, or they are missing where they are needed.
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


def placed(stage: Stage, place: Place, before: Sequence[Stage] = ()) -> Stage:
    """The stage at a place: itself for a thread of this process, else a `Placed`.

    Args:
        before: the stages before it in the chain.

    Raises:
        ConfigError: another process cannot import its class, or that of a stage before it.
    """
    if place.kind == "thread":
        return stage
    name_of(stage)
    return Placed(stage, place, tuple(_name_in_chain(stage, origin(each)) for each in before if each.gives))


def origin(stage: Stage) -> Stage:
    """The settings of the stage itself, wherever it runs."""
    return stage.stage if isinstance(stage, Placed) else stage


def _name_in_chain(stage: Stage, before: Stage) -> str:
    try:
        return name_of(before)
    except ConfigError as error:
        raise ConfigError(f"the {stage.name} needs the results of the {before.name}, but {error}") from None


class _Connection:
    """The client of a placed stage while it is open."""

    def __init__(self) -> None:
        self.client: Client | None = None


# What a stage says of itself is a class's or a setting's; here it is asked of the stage that is placed.
# mypy: disable-error-code="override, misc"
@dataclass(frozen=True)
class Placed(Stage):
    """A stage whose work is done elsewhere.

    Attributes:
        stage: the settings of what runs there; its class can be imported there.
        place: where it runs.
        chain: names of the stages before it that give results, which come with the items.
    """

    stage: Stage
    place: Place
    chain: tuple[str, ...] = ()
    _connection: _Connection = field(default_factory=_Connection, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def order(self) -> Literal["any", "stream"]:
        return self.stage.order

    @property
    def workers(self) -> int:
        """One more than the stage has, so that the next frames are there when one of its workers is free; 1 where
        `order` is "stream".
        """
        return self.stage.workers + 1 if self.stage.order == "any" else 1

    @property
    def batch(self) -> int:
        return self.stage.batch

    @property
    def gives(self) -> tuple[Kind[Any], ...]:
        return self.stage.gives

    @property
    def emits(self) -> Mapping[str, Mapping[str, Any]]:
        return self.stage.emits

    @property
    def counts(self) -> Mapping[str, Counted]:
        return self.stage.counts

    @property
    def changes_picture(self) -> bool:
        return self.stage.changes_picture

    @property
    def advice(self) -> str:
        return self.stage.advice

    def recorded(self) -> Mapping[str, Any]:
        return self.stage.recorded()

    def of(self, stream: str) -> Self:
        return replace(self, stage=self.stage.of(stream))

    def endpoint(self) -> Endpoint:
        """The endpoint of its server."""
        if self.place.kind == "process":
            return Child(self.name, name_of(self.stage), self.workers, self.chain)
        return Host(self.name, self.place.address, self.place.keys)

    def cancel(self) -> None:
        """The run is being left: whoever waits in `open` or in the work gets a StageError. For any thread."""
        client = self._connection.client
        if client is not None:
            client.calls.cancel()

    def hurry(self) -> None:
        """The run is being stopped: no frame of a file waits for a stage that is away any longer. For any thread."""
        client = self._connection.client
        if client is not None:
            client.calls.hurry()

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Connect, and wait until the stage is open there.

        Raises:
            StageError: no server answers, the key is not known there, the stage cannot open, it is busy, …
        """
        try:
            client = Client(self.stage, self.endpoint(), self.chain, self.place.quality)
        except OSError as error:
            raise StageError(f"{self.name}: memory to share with a process cannot be had: {error}") from None
        self._connection.client = client
        try:
            client.wait_open()
            yield Calling(client) if self.order == "any" else CallingInOrder(client)
        finally:
            self._connection.client = None
            client.close()

    def __reduce__(self) -> "tuple[type[Placed], tuple[Stage, Place, tuple[str, ...]]]":
        """Settings are pickled, the connection is not."""
        return Placed, (self.stage, self.place, self.chain)


class Calling(Work):
    """Calls the stage elsewhere."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def about(self) -> Mapping[str, Any]:
        return self._client.about

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return self._client.call(items)


class CallingInOrder(Calling):
    """The same for a stage of order "stream", which has to live as long as each of its streams."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._lives: dict[str, int] = {}  # in which each stream began; 0 once it was told that it has to begin anew

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._lives[stream] = self._client.begin(stream, about, epoch)

    def end(self, stream: str) -> Sequence[Event]:
        life = self._lives.pop(stream, 0)
        return self._client.end(stream, life) if life else ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        lives = {self._lives[item.stream] for item in items if item.stream in self._lives}
        if len(lives) > 1:  # the frames of the earlier life are lost: asked one by one, they and no others say so
            raise self._client.state_lost()
        try:
            return self._client.call_in_order(items, *lives)
        except StateLost:
            if len(items) == 1:
                self._lives[items[0].stream] = 0
            raise


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
