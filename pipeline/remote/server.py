"""The side that serves: one stage of a pipeline that runs elsewhere, for a hub at a time or for several that want the
same of it. `watchline stage` runs it.

    with Server("detector", "tcp://127.0.0.1:5555") as server:
        server.run()        # until `stop`

The hub says which settings it needs; whoever serves may choose how many workers, threads and which runtime. The thread
that runs the server has the socket and answers pings, while the crew's threads work.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from watchline.errors import unknown
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.opencv_threads import single_threaded
from watchline.pipeline.remote.channel import LARGEST_HEADER, LARGEST_PART, Arrival, Keys, Listener, is_loopback
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    Failed,
    Hello,
    Malformed,
    Message,
    OtherVersion,
    Refused,
    Welcome,
    Word,
    Work,
    decode,
    encode,
    unlike,
)
from watchline.pipeline.remote.ring import Inherited
from watchline.pipeline.remote.workers import Answer, Crew, Job
from watchline.pipeline.settings.schema import fields_of
from watchline.pipeline.stages.registry import build, is_shared, kind_of

log = logging.getLogger(__name__)

FORGOTTEN = 10.0  # seconds without a word after which a hub is gone
MOST_WORKERS = 64
UNDER_WAY = 64  # requests of a hub at once
LOOK = 1.0  # seconds between looks at who is gone, and between log lines about what makes no sense
SOON = 0.01  # seconds until an answer that found no room is tried again
PATIENCE = 2.0  # seconds that the workers have to end


@dataclass
class Session:
    """A hub that said hello: at which address, when it was last heard, how much it has under way."""

    peer: bytes
    heard: float
    welcome: bool = False
    under_way: int = 0


class Server:
    """One stage, listening.

    Args:
        name: of the stage, as `name_of` gives it.
        address: tcp://HOST:PORT (port 0 for any), or ipc://PATH.
        keys: this side's secret key, and the public keys of the hubs that may come; needed beyond loopback.
        overrides: settings that are chosen here, whatever the hub says.
        ring: memory shared with the hub that has started this process.

    Attributes:
        address: with the real port.

    Raises:
        ConfigError: there is no such stage, it has no such setting, or nobody can listen there.
    """

    def __init__(
        self,
        name: str,
        address: str,
        keys: Keys | None = None,
        overrides: Mapping[str, Any] | None = None,
        ring: Inherited | None = None,
    ) -> None:
        self._refused = 0
        self._unlike = ""  # why a hub of another version was refused, until the log says it
        self._name, self._kind = name, kind_of(name)
        self._overrides = {key: value for key, value in (overrides or {}).items() if value is not None}
        fields = fields_of(self._kind)
        wrong = [unknown("setting", key, fields) for key in self._overrides if key not in fields]
        if wrong:
            raise ConfigError(f"{name}: {'; '.join(wrong)}")
        if keys is None and not _checked(address):
            raise ConfigError(
                f"{address} can be reached from other hosts, and anybody there could use this stage: give it --key and "
                "--allow (`watchline keys` makes the keys), or listen on tcp://127.0.0.1"
            )
        self._ring = ring
        self._crew: Crew | None = None
        self._owner = ""  # the hub whose alone the crew is, if it is no shared one
        self._sessions: dict[str, Session] = {}  # by hub
        self._hubs: dict[bytes, str] = {}  # by address
        self._answers: deque[Answer] = deque()
        self._stopping = False
        self._port = Listener(LARGEST_HEADER if ring else LARGEST_PART)
        try:
            self.address = self._port.listen(address, keys)
        except OSError as error:
            self._port.close()
            raise ConfigError(f"{address}: nobody can listen there: {error.strerror}; choose another") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stop(self) -> None:
        """Have `run` end. For any thread, and for signal handlers."""
        self._stopping = True
        self._port.wake()

    def run(self, parent: int | None = None) -> None:
        """Serve until `stop`, or until there is nothing more to read at the descriptor `parent`: the hub is gone."""
        if parent is not None:
            self._port.watch(parent)
        with single_threaded():
            self._serve(parent)

    def _serve(self, parent: int | None) -> None:
        look = time.monotonic() + LOOK
        said = 0
        while not self._stopping:
            arrived, readable = self._port.receive(SOON if self._answers else LOOK)
            if readable and parent is not None and not os.read(parent, 4096):
                return
            for arrival in arrived:
                self._hear(arrival)
            self._tend()
            for _ in range(len(self._answers)):
                answer = self._answers.popleft()
                if not self._send(answer):
                    self._answers.append(answer)
            now = time.monotonic()
            if now >= look:
                look = now + LOOK
                self._forget(now)
                said = self._complain(said)

    def close(self) -> None:
        """End the workers and free everything. A worker that takes too long is left behind."""
        crew = self._crew
        self._dismiss()
        if crew is not None and not crew.join(PATIENCE):
            log.warning("%s: a worker does not end; it is left behind", self._name)
        self._port.close()

    @property
    def malformed(self) -> int:
        """Messages so far that made no sense, and keys that were not let in."""
        return self._refused + self._port.refused + (self._crew.malformed if self._crew else 0)

    def _hear(self, arrival: Arrival) -> None:
        peer = arrival.peer
        try:
            message = decode(arrival.header)
            if arrival.parts and not isinstance(message, Work):
                raise Malformed("parts beside a message that has none")
            self._answer(peer, message, arrival)
        except OtherVersion as error:
            self._unlike = unlike(SCHEMA, error.schema)
            self._reply(peer, Refused(self._unlike))
        except Malformed as error:
            self._refused += 1
            log.debug("refused a message: %s", error)

    def _answer(self, peer: bytes, message: Message, arrival: Arrival) -> None:
        hub = self._hubs.get(peer)
        session = self._sessions[hub] if hub is not None else None
        match message:
            case Hello():
                self._greet(peer, message)
            case Word("bye"):
                if hub is not None:
                    self._leave(hub)
            case Work() | Word("ping") if session is None:
                self._reply(peer, Word("unknown"))
            case Work() if session is not None:
                session.heard = time.monotonic()
                self._take(session, message, arrival)
            case Word("ping") if session is not None:
                session.heard = time.monotonic()
                self._reply(peer, Word("pong"))
            case _:
                raise Malformed("a message that only a stage sends")

    def _greet(self, peer: bytes, hello: Hello) -> None:
        """Take a hub on, or say why not."""
        why = self._hire(hello)
        if why:
            self._reply(peer, Refused(why))
            return
        self._leave(hello.hub)
        self._leave(self._hubs.get(peer, ""))
        self._sessions[hello.hub] = Session(peer, time.monotonic())
        self._hubs[peer] = hello.hub

    def _hire(self, hello: Hello) -> str:
        """Have a crew for a hub. Returns why not, if not."""
        if hello.stage != self._name:
            return f"the stage here is {self._name}, not {hello.stage}"
        try:
            stage = build(self._kind, hello.settings, self._overrides)
        except ConfigError as error:
            return str(error)
        if stage.workers > MOST_WORKERS:
            return f"workers must be at most {MOST_WORKERS}"
        crew, owner = self._crew, "" if is_shared(self._kind) else hello.hub
        if crew is not None and crew.state != "failed" and (crew.stage, self._owner) == (stage, owner):
            return ""
        if self._sessions.keys() - {hello.hub}:
            return "busy: it works for another hub; stop that one, or start another stage for this one"
        self._dismiss()
        self._owner = owner
        self._crew = Crew(stage, self._ring, self._put, self._port.wake)
        return ""

    def _take(self, session: Session, work: Work, arrival: Arrival) -> None:
        if session.under_way >= UNDER_WAY or self._crew is None or self._crew.state != "open":
            why = f"expected at most {UNDER_WAY} requests at once, and none before the welcome"
            self._reply(session.peer, Failed(work.id, why))
            return
        session.under_way += 1
        self._crew.put(Job(session.peer, work, arrival.parts))

    def _put(self, answer: Answer) -> None:
        """From a worker."""
        self._answers.append(answer)
        self._port.wake()

    def _send(self, answer: Answer) -> bool:
        """Returns whether there was room for it. To a hub that is gone it goes nowhere."""
        session = self._sessions.get(self._hubs.get(answer.peer, ""))
        if session is None:
            return True
        sent = self._port.send(answer.header, answer.parts, answer.peer)
        session.under_way -= sent
        return sent

    def _reply(self, peer: bytes, message: Message) -> None:
        self._port.send(encode(message), peer=peer)

    def _tend(self) -> None:
        """Tell the hubs when the stage is open, or that it cannot be."""
        crew = self._crew
        if crew is None or crew.state == "opening":
            return
        for hub, session in list(self._sessions.items()):
            if crew.state == "failed":
                self._reply(session.peer, Refused(crew.why))
                self._leave(hub)
            elif not session.welcome:
                session.welcome = True
                self._reply(session.peer, Welcome(crew.stage.workers))
        if crew.state == "failed":
            self._dismiss()

    def _dismiss(self) -> None:
        if self._crew is not None:
            self._crew.dismiss()
            self._refused += self._crew.malformed
            self._crew = None

    def _leave(self, hub: str) -> None:
        session = self._sessions.pop(hub, None)
        if session is not None:
            del self._hubs[session.peer]

    def _forget(self, now: float) -> None:
        for hub, session in list(self._sessions.items()):
            if now - session.heard > FORGOTTEN:
                log.warning("%s: a hub said nothing for %.0f s; it is forgotten", self._name, FORGOTTEN)
                self._leave(hub)

    def _complain(self, said: int) -> int:
        """Say that a hub of another version was refused, and how many messages made no sense, if there are new ones.
        Returns how many were said.
        """
        if self._unlike:
            log.warning("%s: a hub was refused: %s", self._name, self._unlike)
            self._unlike = ""
        count = self.malformed
        if count > said:
            log.warning("%s: %d messages or keys so far made no sense and were refused", self._name, count)
        return count


def _checked(address: str) -> bool:
    try:
        return is_loopback(address)
    except ValueError as error:
        raise ConfigError(str(error)) from None
