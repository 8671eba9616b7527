"""The server of one stage, for pipelines in other processes or on other hosts. `watchline stage` runs it.

    with Server("detector", "tcp://127.0.0.1:5555") as server:
        server.run()        # until `stop`

The client says which settings it needs; the server's own options choose workers, threads and runtime. Clients with
equal settings share the stage; others are refused until these have left. The thread that runs the server owns the
socket and answers pings, while the threads of the worker pool work.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from watchline.errors import unknown
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.opencv_threads import single_threaded
from watchline.pipeline.remote.allowed import Allowed
from watchline.pipeline.remote.channel import Arrival, Keys, Listener, is_loopback
from watchline.pipeline.remote.guard import MOST, MOST_HELD
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    Course,
    Failed,
    Hello,
    Malformed,
    Message,
    OtherVersion,
    Refused,
    Signal,
    Welcome,
    WorkRequest,
    decode,
    encode,
    unlike,
)
from watchline.pipeline.remote.ring import Inherited
from watchline.pipeline.remote.workers import LONGEST_WHY, QueuedRequest, Reply, WorkerPool
from watchline.pipeline.settings.schema import fields_of
from watchline.pipeline.stages.registry import BY_NAME, build, kind_of, kinds_of
from watchline.settings import MOST_THREADS

log = logging.getLogger(__name__)

FORGOTTEN = 10.0  # seconds without a message after which a client is gone
UNDER_WAY = MOST_THREADS + 1  # the most requests of a client at once: see Placed.workers
MOST_WAITING = 2 * UNDER_WAY  # the most messages of a client that are not read yet
LOOK = 1.0  # seconds between looks at silent clients, and between log lines about messages that make no sense
SOON = 0.01  # seconds until an answer that found no room is sent again
PATIENCE = 2.0  # seconds that the workers have to end


@dataclass
class Session:
    """A client that said hello, its address and socket, when it was last heard, and its requests that are under way."""

    hello: Hello
    peer: bytes
    descriptor: int
    heard: float
    welcome: bool = False
    under_way: list[QueuedRequest] = field(default_factory=list)


class Server:
    """One stage, listening.

    Args:
        name: of the stage, as `name_of` gives it.
        address: tcp://HOST:PORT (port 0 for any), or ipc://PATH.
        keys: our secret key, and the public keys of the clients that are allowed; needed beyond loopback.
        overrides: settings that count more than what the client says.
        others: names of stages of your own whose results may come with the items.
        ring: memory shared with the client that has started this process, and may name any file.
        allowed: the files that other clients may name.

    Attributes:
        address: the same with the real port.

    Raises:
        ConfigError: there is no such stage or setting, or the address cannot be listened at.
    """

    def __init__(
        self,
        name: str,
        address: str,
        keys: Keys | None = None,
        overrides: Mapping[str, Any] | None = None,
        ring: Inherited | None = None,
        others: Sequence[str] = (),
        allowed: Allowed = Allowed(),  # noqa: B008  # it is frozen
    ) -> None:
        self._refused = 0
        self._unlike = ""  # why a client of another version was refused, until the log says it
        self._name, self._kind = name, kind_of(name)
        self._others = {**BY_NAME, **{other: kind_of(other) for other in (*others, name)}}
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
        self._ring, self._allowed = ring, allowed
        self._pool: WorkerPool | None = None
        self._sessions: dict[str, Session] = {}  # by client
        self._clients: dict[bytes, str] = {}  # by address
        self._inbox: dict[bytes, deque[Arrival]] = {}  # what is not read yet, by address
        self._answers: deque[Reply] = deque()
        self._stopping = False
        self._port = Listener()
        try:
            self.address = self._port.listen(address, keys)
        except OSError as error:
            self._port.close()
            raise ConfigError(f"cannot listen at {address}: {error.strerror}; choose another address") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stop(self) -> None:
        """End `run`. For any thread, and for signal handlers."""
        self._stopping = True
        self._port.wake()

    def run(self, parent: int | None = None) -> None:
        """Serve until `stop`, or until the descriptor `parent` is at its end: the client that started us is gone."""
        if parent is not None:
            self._port.watch(parent)
        with single_threaded():
            self._serve(parent)

    def _serve(self, parent: int | None) -> None:
        look = time.monotonic() + LOOK
        said = 0
        while not self._stopping:
            arrived, readable = self._port.receive(0 if self._inbox else SOON if self._answers else LOOK)
            if readable and parent is not None and not os.read(parent, 4096):
                return
            for arrival in arrived:
                self._queue(arrival)
            for peer in [*self._inbox]:  # one of each, so that nobody who sends much keeps the others waiting for long
                self._hear(self._inbox[peer].popleft())
                if not self._inbox[peer]:
                    del self._inbox[peer]
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
        """End the worker pool and free everything. A worker that does not end within PATIENCE is left behind."""
        pool = self._pool
        self._dismiss()
        if pool is not None and not pool.join(PATIENCE):
            log.warning("%s: a worker does not end; it is left behind", self._name)
        self._port.close()

    @property
    def malformed(self) -> int:
        """How many messages so far made no sense, or had an unknown key."""
        return self._refused + self._port.refused + (self._pool.malformed if self._pool else 0)

    def _queue(self, arrival: Arrival) -> None:
        """Have a message wait for its turn. Who sends faster than we can read is cut off, and what waits is dropped."""
        waiting = self._inbox.setdefault(arrival.peer, deque())
        waiting.append(arrival)
        client = self._clients.get(arrival.peer, "")
        under_way = self._sessions[client].under_way if client else ()
        held = sum(each.nbytes for each in (*waiting, *under_way))
        if len(waiting) > MOST_WAITING or held > MOST_HELD:
            self._refused += len(waiting)
            self._port.cut(arrival.descriptor)
            self._leave(client)
            del self._inbox[arrival.peer]

    def _hear(self, arrival: Arrival) -> None:
        peer = arrival.peer
        try:
            message = decode(arrival.header)
            if arrival.parts and not isinstance(message, WorkRequest):
                raise Malformed("parts beside a message that has none")
            self._answer(peer, message, arrival)
        except OtherVersion as error:
            self._unlike = unlike(SCHEMA, error.schema)
            self._reply(peer, Refused(self._unlike))
        except Malformed as error:
            self._refused += 1
            log.debug("refused a message: %s", error)

    def _answer(self, peer: bytes, message: Message, arrival: Arrival) -> None:
        client = self._clients.get(peer)
        session = self._sessions[client] if client is not None else None
        match message:
            case Hello():
                self._greet(arrival, message)
            case Signal("bye"):
                if client is not None:
                    self._leave(client)
            case WorkRequest() | Course() | Signal("ping") if session is None:
                self._reply(peer, Signal("unknown"))
            case WorkRequest() | Course() if session is not None:
                session.heard = time.monotonic()
                self._take(session, message, arrival)
            case Signal("ping") if session is not None:
                session.heard = time.monotonic()
                self._reply(peer, Signal("pong"))
            case _:
                raise Malformed("a message that only a server sends")

    def _greet(self, arrival: Arrival, hello: Hello) -> None:
        """Take a client on, or say why not."""
        peer = arrival.peer
        session = self._sessions.get(hello.client)
        if session is not None and (session.peer, session.hello) == (peer, hello):
            session.welcome = False  # it said hello again before it got our welcome; the stage goes on
            return
        why = self._hire(hello) if len(self._sessions) < MOST else "busy: it has as many clients as it can have"
        if why:
            self._reply(peer, Refused(why[:LONGEST_WHY]))
            return
        self._leave(hello.client)
        self._leave(self._clients.get(peer, ""))
        self._sessions[hello.client] = Session(hello, peer, arrival.descriptor, time.monotonic())
        self._clients[peer] = hello.client
        self._port.know(arrival.descriptor)

    def _hire(self, hello: Hello) -> str:
        """Provide a worker pool for a client. Returns "", or why that cannot be."""
        if hello.stage != self._name:
            return f"the stage here is {self._name}, not {hello.stage}"
        try:
            if not isinstance(hello.settings, dict):
                return "its settings are not a table"
            settings = hello.settings if self._ring else self._allowed.granted(self._kind, hello.settings)
            stage = build(self._kind, settings, self._overrides)
            kinds = self._kinds(hello)
        except ConfigError as error:
            return str(error)
        if stage.workers > MOST_THREADS:
            return f"workers must be at most {MOST_THREADS}"
        pool = self._pool
        is_shared = stage.order == "any"  # else it begins anew: no client sees what it knew of another's streams
        if is_shared and pool is not None and pool.state != "failed" and (pool.stage, pool.kinds) == (stage, kinds):
            return ""
        if self._sessions.keys() - {hello.client}:
            return "busy: it works for another client; stop that one, or start another stage for this one"
        self._dismiss()
        self._pool = WorkerPool(stage, kinds, self._ring, self._put, self._port.wake)
        return ""

    def _kinds(self, hello: Hello) -> dict[str, Kind[Any]]:
        """The kinds of results that may come. Raises ConfigError: a stage of the chain is not known here."""
        wrong = next((name for name in hello.chain if name not in self._others), None)
        if wrong is not None:
            own = ":" in wrong
            remedy = f"start it with --stage {wrong}" if own else "install the same version of Watchline on both hosts"
            raise ConfigError(f"the stage {wrong} of the chain is not known here: {remedy}")
        return kinds_of([self._others[name] for name in hello.chain])

    def _take(self, session: Session, request: WorkRequest | Course, arrival: Arrival) -> None:
        if len(session.under_way) >= UNDER_WAY or self._pool is None or self._pool.state != "open":
            why = f"expected at most {UNDER_WAY} requests at once, and none before the welcome"
            self._reply(session.peer, Failed(request.id, why))
            return
        job = QueuedRequest(session.peer, request, arrival.parts, arrival.nbytes)
        session.under_way.append(job)
        self._pool.put(job)

    def _put(self, answer: Reply) -> None:
        """For the workers, with an answer."""
        self._answers.append(answer)
        self._port.wake()

    def _send(self, answer: Reply) -> bool:
        """Send an answer. Returns whether there was room for it. An answer to a client that is gone is dropped."""
        session = self._sessions.get(self._clients.get(answer.job.peer, ""))
        if session is None or answer.job not in session.under_way:
            return True
        sent = self._port.send(answer.header, answer.parts, session.peer)
        if sent:
            session.under_way.remove(answer.job)
        return sent

    def _reply(self, peer: bytes, message: Message) -> None:
        self._port.send(encode(message), peer=peer)

    def _tend(self) -> None:
        """Tell the clients when the stage is open, or that it cannot be."""
        pool = self._pool
        if pool is None or pool.state == "opening":
            return
        for client, session in list(self._sessions.items()):
            if pool.state == "failed":
                self._reply(session.peer, Refused(pool.why))
                self._leave(client)
            elif not session.welcome:
                session.welcome = True
                self._reply(session.peer, Welcome(pool.stage.workers, dict(pool.about)))
        if pool.state == "failed":
            self._dismiss()

    def _dismiss(self) -> None:
        if self._pool is not None:
            self._pool.dismiss()
            self._refused += self._pool.malformed
            self._pool = None

    def _leave(self, client: str) -> None:
        session = self._sessions.pop(client, None)
        if session is not None:
            del self._clients[session.peer]
            self._port.know(session.descriptor, is_known=False)
            for job in session.under_way:
                job.parts = None  # nobody waits for it, and it must not keep memory until its turn

    def _forget(self, now: float) -> None:
        for client, session in list(self._sessions.items()):
            if now - session.heard > FORGOTTEN:
                log.warning("%s: a client said nothing for %.0f s; it is forgotten", self._name, FORGOTTEN)
                self._leave(client)

    def _complain(self, said: int) -> int:
        """Tell the log of a client of another version, and of messages that made no sense, where there are new ones.

        Returns how many messages it was told of.
        """
        if self._unlike:
            log.warning("%s: a client was refused: %s", self._name, self._unlike)
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
