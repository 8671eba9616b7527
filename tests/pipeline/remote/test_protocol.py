"""The protocol between a hub and a stage elsewhere: pinned as it is; two versions of it refuse each other in a line."""

import json
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from fractions import Fraction
from importlib.metadata import version
from typing import get_args

import numpy as np
import pytest
from cli.shell import within
from clips import write_clip
from odd_stages import Echo

from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.message import Item
from watchline.pipeline.remote import protocol
from watchline.pipeline.remote import server as serve
from watchline.pipeline.remote.channel import Dialer, Listener
from watchline.pipeline.remote.codec import pack, pack_results
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    DetectionsEntry,
    Done,
    Envelope,
    Failed,
    Hello,
    ItemEntry,
    Malformed,
    OtherVersion,
    PixelsEntry,
    PlanesEntry,
    Refused,
    ResultEntry,
    Welcome,
    Where,
    Word,
    Work,
    decode,
    encode,
)
from watchline.pipeline.remote.server import Server
from watchline.streams.frame import ArrayPicture, Frame

REMEDY = "install the same version of Watchline on both hosts"
HERE = f"(Watchline {version('watchline')})"

# The messages of each version of the protocol, to the byte. Who changes them raises SCHEMA, and pins the new ones here
# in place of the old ones: hosts of two versions then say that they differ, instead of misreading one another.
PLANES = PlanesEntry("yuv420p", 64, 48, 1, 1, True, ((48, 64), (24, 32)), -1)
FOUND, DRAWN = DetectionsEntry(2, ("person", "Rad 100 %")), PixelsEntry(64, 48, "jpeg")
PINNED = {
    1: [
        (
            Hello("a1", "detector", {"conf": 0.25, "classes": ["person"]}),
            b'{"hub":"a1","stage":"detector","settings":{"conf":0.25,"classes":["person"]},"kind":"hello","schema":1}',
        ),
        (Welcome(2), b'{"workers":2,"kind":"welcome","schema":1}'),
        (Refused("busy: 100 %"), b'{"why":"busy: 100 %25","kind":"refused","schema":1}'),
        (
            Work(
                7,
                (ItemEntry(3, "gate", 5, -7, (1, 90_000), PLANES, "a.jpg", 4, 1.75e9, FOUND, DRAWN),),
                90,
                Where(1, ((0, 3072), (3072, 768))),
            ),
            b'{"id":7,"items":[{"sequence":3,"stream":"gate","index":5,"pts":-7,"time_base":[1,90000],"picture":'
            b'{"format":"yuv420p","width":64,"height":48,"colorspace":1,"color_range":1,"transposed":true,'
            b'"shapes":[[48,64],[24,32]],"flip":-1,"kind":"planes"},"file":"a.jpg","epoch":4,"time":1750000000.0,'
            b'"detections":{"count":2,"labels":["person","Rad 100 %25"]},"drawn":{"width":64,"height":48,"kind":"jpeg"}'
            b'}],"quality":90,"where":{"slot":1,"places":[[0,3072],[3072,768]]},"kind":"work","schema":1}',
        ),
        (
            Done(7, (ResultEntry(FOUND, DRAWN),), Where(0, ((64, 48),))),
            b'{"id":7,"results":[{"detections":{"count":2,"labels":["person","Rad 100 %25"]},'
            b'"drawn":{"width":64,"height":48,"kind":"jpeg"}}],"where":{"slot":0,"places":[[64,48]]},'
            b'"kind":"done","schema":1}',
        ),
        (Failed(7, "no"), b'{"id":7,"why":"no","kind":"failed","schema":1}'),
        (Word("ping"), b'{"kind":"ping","schema":1}'),
        (Word("bye"), b'{"kind":"bye","schema":1}'),
        (Word("pong"), b'{"kind":"pong","schema":1}'),
        (Word("unknown"), b'{"kind":"unknown","schema":1}'),
    ]
}


def test_the_messages_of_this_version_are_pinned():
    for message, header in PINNED[SCHEMA]:
        assert encode(message) == header
        assert decode(header) == message


def test_every_field_of_every_message_is_pinned():
    """So that a field that is added, to whatever is sent, fails above."""
    seen = {}

    def look(value):
        if is_dataclass(value):
            for field in fields(value):
                if getattr(value, field.name) is not None:
                    seen.setdefault(type(value).__name__, set()).add(field.name)
                look(getattr(value, field.name))
        elif isinstance(value, tuple):
            for part in value:
                look(part)

    for message, _ in PINNED[SCHEMA]:
        look(message)
    kinds = [kind for kind in vars(protocol).values() if is_dataclass(kind) and kind.__module__ == protocol.__name__]
    assert seen == {kind.__name__: {field.name for field in fields(kind)} for kind in kinds if kind is not Envelope}
    words = {message.kind for message, _ in PINNED[SCHEMA] if isinstance(message, Word)}
    assert words == set(get_args(Word.__annotations__["kind"]))


def test_the_parts_of_this_version_are_pinned():
    """What lies beside a header: pixels row by row, detections as rows of little-endian numbers."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    item = Item(0, Frame("a", 0, 0, Fraction(1, 25), ArrayPicture(pixels)))
    box, score, kind = np.array([[1.5, 2, 30, 40]], np.float32), np.array([0.5], np.float32), np.array([1], np.int64)
    done = Item(0, item.frame, Detections(box, score, kind, ("a", "b")))
    assert [part.tobytes() for part in pack([item], None)[1]] == [bytes(range(18))]
    [row] = pack_results([item], [done], None)[1]
    assert row.tobytes().hex(" ", 4) == "0000c03f 00000040 0000f041 00002042 0000003f 01000000 00000000"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b'{"kind": "ping", "schema": 2}', ""),
        (b'{"kind": "hello", "schema": 7, "more": 1}', ""),
        (b'{"schema": 2, "greeting": {"stages": []}}', ""),
        (b'{"kind": "refused", "schema": 2, "why": "too old", "since": 3}', "too old"),
    ],
)
def test_a_message_of_another_version_is_known_whatever_else_is_in_it(header, why):
    with pytest.raises(OtherVersion) as caught:
        decode(header)
    assert caught.value.schema == json.loads(header)["schema"]
    assert caught.value.why == why


@pytest.mark.parametrize("schema", ["1", '"2"', "true", "2.5", "-1", "null", "9" * 5000])
def test_what_names_no_version_is_malformed(schema):
    with pytest.raises(Malformed) as caught:
        decode(b'{"kind": "greeting", "schema": %s}' % schema.encode())
    assert not isinstance(caught.value, OtherVersion)


@contextmanager
def answering(*headers):
    """A stage of another version: a real socket that gives these answers to whatever comes. Yields its address."""
    port, stop = Listener(), threading.Event()

    def serve():
        while not stop.is_set():
            for arrival in port.receive(0.02)[0]:
                for header in headers:
                    port.send(header, peer=arrival.peer)

    address = port.listen("tcp://127.0.0.1:0")
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield address
    finally:
        stop.set()
        thread.join()
        port.close()


NEWER = b'{"kind": "refused", "schema": 2, "why": "the stage speaks protocol 2 (Watchline 0.2.0), the hub protocol 1"}'


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (NEWER, r"the stage speaks protocol 2 \(Watchline 0\.2\.0\), the hub protocol 1"),
        (b'{"schema": 3, "welcome": {"stages": 4}}', rf"the stage speaks protocol 3, the hub protocol 1 .*: {REMEDY}"),
    ],
)
def test_a_hub_says_at_once_that_the_stage_is_of_another_version(header, why):
    started = time.monotonic()
    with (
        answering(header) as address,
        pytest.raises(StageError, match=rf"^echo at {address} refused: {why}$"),
        placed(Echo(), Place("tcp", address)).open(),
    ):
        pass
    assert time.monotonic() - started < 3


def test_the_command_says_it_in_a_line_with_the_remedy(tmp_path):
    write_clip(tmp_path / "a.mp4", 2)
    with answering(b'{"schema": 2}') as address:
        done = within(tmp_path, "run", "a.mp4", "--no-video", "--place", f"detector={address}")
    said = f"detector at {address} refused: the stage speaks protocol 2, the hub protocol 1 {HERE}: {REMEDY}"
    assert (done.code, done.err[-1]) == (2, f"watchline: {said}")


def test_a_stage_refuses_a_hub_of_another_version_and_serves_the_next(monkeypatch, caplog):
    monkeypatch.setattr(serve, "LOOK", 0.05)
    with Server("odd_stages:Echo", "tcp://127.0.0.1:0") as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        hub = Dialer()
        try:
            hub.connect(server.address)
            hub.send(b'{"schema": 2, "kind": "greeting", "hub": "b", "more": [1]}')
            why = f"the stage speaks protocol 1 {HERE}, the hub protocol 2: {REMEDY}"
            assert heard(hub) == Refused(why)
            hub.send(b'{"schema": 2, "kind": "ping"}')
            assert heard(hub) == Refused(why)
            with placed(Echo(), Place("tcp", server.address)).open():
                pass
            assert server.malformed == 0
            until = time.monotonic() + 5
            while not caplog.records and time.monotonic() < until:
                time.sleep(0.02)
        finally:
            server.stop()
            thread.join()
            hub.close()
    said = {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING}
    assert said == {f"odd_stages:Echo: a hub was refused: {why}"}


def test_noise_of_another_version_costs_an_open_stage_nothing():
    with answering(encode(Welcome(1)), b'{"schema": 2}') as address:
        stage = placed(Echo(), Place("tcp", address))
        with stage.open():
            remote, until = stage._shared._remote, time.monotonic() + 5
            while not remote.malformed and time.monotonic() < until:
                time.sleep(0.02)
            assert (remote.malformed, remote._state) == (1, "open")


def heard(port):
    """The next message, within five seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for arrival in port.receive(0.05)[0]:
            return decode(arrival.header)
    pytest.fail("no answer")
