"""The client of a stage that runs elsewhere: what callers see of it, over one connection.

While the stage is away, live frames are given up at once, and frames of files wait and are done again. What a stage of
order "stream" knew of its streams is lost with it: their frames are given up until the streams begin anew.
"""

import itertools
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from watchline.pipeline.causes import lost
from watchline.pipeline.errors import FrameLost, StageError, StateLost
from watchline.pipeline.message import Event, Item
from watchline.pipeline.remote.calls import Lost
from watchline.pipeline.remote.codec import merge, pack, pack_about, unpack_events
from watchline.pipeline.remote.connection import Connection
from watchline.pipeline.remote.endpoints import Endpoint
from watchline.pipeline.remote.guard import LARGEST
from watchline.pipeline.remote.protocol import Course, Done, Heard, Hello, Malformed, PartsInSlot, WorkRequest, encode
from watchline.pipeline.remote.ring import Slot
from watchline.pipeline.stages.registry import kinds_of, name_of, settings_of
from watchline.pipeline.stages.stage import Stage
from watchline.streams.source import About

LOOK = 0.5  # seconds between looks at whether the run was left, while no memory is free
DEATHS = 3  # how often a stage may be lost with the same request before the request is to blame


class Client:
    """A stage elsewhere.

    Args:
        stage: its settings.
        endpoint: of its server.
        chain: names of the stages before it, whose results come with the items.
        quality: of JPEG, for pixels in both directions; None sends them as they are.
    """

    def __init__(self, stage: Stage, endpoint: Endpoint, chain: Sequence[str] = (), quality: int | None = None) -> None:
        self._name = stage.name
        self._endpoint = endpoint
        self._quality = quality
        self._kinds = kinds_of([type(stage)])
        self._ids = itertools.count()
        self._alone = threading.Lock()  # for a request that the stage may die of
        hello = Hello(secrets.token_hex(8), name_of(stage), settings_of(stage), tuple(chain))
        self.connection = Connection(stage.name, endpoint, hello)
        self.calls = self.connection.calls

    @property
    def about(self) -> Mapping[str, Any]:
        """What runs there, as the stage says when it is open."""
        return self.connection.about

    def wait_open(self) -> None:
        """Wait until the stage is open.

        Raises:
            StageError: it cannot be opened, or `cancel` was called.
        """
        self.calls.wait_open(live=False)

    def call(self, items: Sequence[Item]) -> list[Item]:
        """Send items to a stage of order "any", and wait for the answer.

        Raises:
            FrameLost: the stage is away, or was lost meanwhile, and one of the items is of a live stream.
            StageError: the stage failed on them, or died of them again and again; or `cancel` was called.
        """
        live = _is_live(items)
        for deaths in range(DEATHS):
            self.calls.wait_open(live)
            try:
                if deaths < DEATHS - 1:
                    return self._ask(items)
                with self._alone:  # one suspect at a time, so that no innocent request is blamed
                    self.calls.wait_open(live)
                    return self._ask(items)
            except Lost:
                if live:
                    raise self.calls.frame_lost() from None
        named = ", ".join(f"{item.stream} frame {item.frame.index}" for item in items)
        raise StageError(f"{self._endpoint.what} was lost {DEATHS} times at {named}: they are given up")

    def call_in_order(self, items: Sequence[Item], life: int | None = None) -> list[Item]:
        """The same for a stage of order "stream".

        Args:
            life: in which the streams of the items began.

        Raises:
            FrameLost: the stage is away, and one of the items is of a live stream.
            StateLost: what it knew of the streams is gone. A live stream is told when the stage is back, not before:
                else it would begin anew with a stage that is away, and once more when that is back.
            StageError: the stage failed on them; or `cancel` was called.
        """
        live = _is_live(items)
        if live:
            self.calls.wait_open(live)
        try:
            return self._ask(items, life)
        except Lost:
            if live:
                self.calls.wait_open(live)
            raise self.state_lost() from None

    def begin(self, stream: str, about: About, epoch: int | None) -> int:
        """Tell a stage of order "stream" that a stream begins. Returns the life in which it did.

        A live stream does not wait for a stage that is away: then it begins in life 0, which there never is.

        Raises:
            StageError: the stage failed, or died of it again and again; or `cancel` was called.
        """
        for _ in range(DEATHS):
            try:
                self.calls.wait_open(live=epoch is not None)
                life, _ = self._tell(Course(next(self._ids), stream, pack_about(about), epoch))
                return life
            except FrameLost:
                return 0
            except Lost:
                continue
        raise StageError(f"{self.connection.gone} was lost {DEATHS} times at the beginning of {stream}: it is given up")

    def end(self, stream: str, life: int) -> Sequence[Event]:
        """Tell a stage of order "stream" that a stream is over, which began in this life. Returns what it says.

        Raises:
            StateLost: what it knew of the stream is gone.
            StageError: the stage failed; or `cancel` was called.
        """
        try:
            _, heard = self._tell(Course(next(self._ids), stream), life)
            return unpack_events(heard.events)
        except Lost:
            raise self.state_lost() from None
        except Malformed as error:
            raise self._senseless(error) from None

    def state_lost(self) -> StateLost:
        """The error of a stream that the stage knows no longer."""
        return StateLost(f"{self.connection.gone} was lost, and with it what it knew of the stream", lost(self._name))

    def close(self) -> None:
        """Leave the stage; a child process ends. No calls may follow."""
        self.connection.close()
        if self._endpoint.ring is not None:
            self._endpoint.ring.close()

    def _ask(self, items: Sequence[Item], life: int | None = None) -> list[Item]:
        """Send items, and wait for the answer. Raises Lost: the stage was lost meanwhile, or lives another life."""
        ring = self._endpoint.ring
        slot = None
        while ring is not None and slot is None:
            slot = ring.take(LOOK)
            self.calls.check_left()
        try:
            return self._ask_in(slot, items, life)
        finally:
            if ring is not None and slot is not None:
                ring.give(slot)

    def _ask_in(self, slot: Slot | None, items: Sequence[Item], life: int | None) -> list[Item]:
        """The same, with the parts in a slot of shared memory, if there is one."""
        number = next(self._ids)
        try:
            entries, parts = pack(items, self._quality)
            size = sum(part.nbytes for part in parts)
            if size > LARGEST:
                raise ValueError(f"a request of {size >> 20} MiB, {LARGEST >> 20} at most: send fewer frames at once")
            where = None if slot is None else PartsInSlot(slot.number, slot.write(parts))
            header = encode(WorkRequest(number, entries, self._quality, where))
        except ValueError as error:
            raise StageError(f"{self._name}: {error}") from None
        answer, parts_back, _ = self.calls.ask(number, header, parts if slot is None else (), life)
        try:
            if not isinstance(answer, Done):
                raise Malformed("it is to another request")
            spans = answer.where.spans if answer.where else ()
            found = parts_back if slot is None else slot.read(spans)
            return merge(items, answer.results, found, self._kinds)
        except ValueError as error:
            raise self._senseless(error) from None

    def _tell(self, course: Course, life: int | None = None) -> tuple[int, Heard]:
        """Send a course, and wait for the answer. Returns the life in which it was told, and the answer.

        Raises Lost: the stage was lost meanwhile, or lives another life.
        """
        answer, _, told = self.calls.ask(course.id, encode(course), life=life)
        if not isinstance(answer, Heard):
            raise self._senseless(Malformed("it is to another request"))
        return told, answer

    def _senseless(self, error: ValueError) -> StageError:
        self.connection.malformed += 1
        return StageError(f"{self._endpoint.what} sent an answer that makes no sense: {error}")


def _is_live(items: Sequence[Item]) -> bool:
    return any(item.deadline is not None for item in items)
