"""The protocol between a client and the server of a stage is pinned; two versions refuse each other in a line."""

import json
import logging
import threading
import time
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
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
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.message import Item
from watchline.pipeline.remote import protocol
from watchline.pipeline.remote import server as serve
from watchline.pipeline.remote.channel import Dialer, Listener
from watchline.pipeline.remote.codec import pack, pack_results
from watchline.pipeline.remote.placed import Place, placed
from watchline.pipeline.remote.protocol import (
    SCHEMA,
    AboutEntry,
    ArrayEntry,
    Course,
    Done,
    Envelope,
    EventEntry,
    Failed,
    Heard,
    Hello,
    ItemEntry,
    KindEntry,
    Malformed,
    OtherVersion,
    PartsInSlot,
    PixelsEntry,
    PlanesEntry,
    Refused,
    ResultEntry,
    Signal,
    Welcome,
    WorkRequest,
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
CROWD = KindEntry("crowd", {"words": {"who": "Rad 100 %"}}, (ArrayEntry("<f4", (2, 4)), ArrayEntry("|u1", ())))
DRAWN = KindEntry("drawn", None, (ArrayEntry("|u1", (48, 64, 3), jpeg=True),))
SEEN = EventEntry("seen", {"n": 1})
PINNED = {
    3: [
        (
            Hello("a1", "detector", {"conf": 0.25, "classes": ["person"]}, ("mine:Blurs",)),
            b'{"client":"a1","stage":"detector","settings":"{\\"conf\\": 0.25, \\"classes\\": [\\"person\\"]}",'
            b'"chain":["mine:Blurs"],"kind":"hello","schema":3}',
        ),
        (
            Welcome(2, {"model": "ä"}),
            b'{"workers":2,"about":"{\\"model\\": \\"\\\\u00e4\\"}","kind":"welcome","schema":3}',
        ),
        (Refused("busy: 100 %"), b'{"why":"busy: 100 %25","kind":"refused","schema":3}'),
        (
            WorkRequest(
                7,
                (ItemEntry("gate", 5, -7, (1, 90_000), PLANES, "a.jpg", 4, 1.75e9, (CROWD,), (SEEN,)),),
                90,
                PartsInSlot(1, ((0, 3072), (3072, 768))),
            ),
            b'{"id":7,"items":[{"stream":"gate","index":5,"pts":-7,"time_base":[1,90000],"picture":'
            b'{"format":"yuv420p","width":64,"height":48,"colorspace":1,"color_range":1,"transposed":true,'
            b'"shapes":[[48,64],[24,32]],"flip":-1,"kind":"planes"},"file":"a.jpg","epoch":4,"time":1750000000.0,'
            b'"results":[{"key":"crowd","value":"{\\"words\\": {\\"who\\": \\"Rad 100 %\\"}}","arrays":['
            b'{"dtype":"<f4","shape":[2,4],"jpeg":false},{"dtype":"|u1","shape":[],"jpeg":false}]}],'
            b'"events":[{"name":"seen","data":"{\\"n\\": 1}"}]}],'
            b'"quality":90,"where":{"slot":1,"spans":[[0,3072],[3072,768]]},"kind":"work","schema":3}',
        ),
        (
            Done(7, (ResultEntry((DRAWN,), (SEEN,), PixelsEntry(64, 48, "bgr")),), PartsInSlot(0, ((64, 48),))),
            b'{"id":7,"results":[{"results":[{"key":"drawn","value":"null","arrays":['
            b'{"dtype":"|u1","shape":[48,64,3],"jpeg":true}]}],"events":[{"name":"seen","data":"{\\"n\\": 1}"}],'
            b'"picture":{"width":64,"height":48,"kind":"bgr"}}],"where":{"slot":0,"spans":[[64,48]]},'
            b'"kind":"done","schema":3}',
        ),
        (
            Course(7, "gate", AboutEntry("a.mp4", 64, 48, (1, 90_000), (4, 3), (30_000, 1001), 250, "h264"), 4),
            b'{"id":7,"stream":"gate","about":{"name":"a.mp4","width":64,"height":48,"time_base":[1,90000],'
            b'"pixel_aspect":[4,3],"rate":[30000,1001],"frames":250,"codec":"h264"},"epoch":4,'
            b'"kind":"course","schema":3}',
        ),
        (
            Course(8, "gate"),
            b'{"id":8,"stream":"gate","about":null,"epoch":null,"kind":"course","schema":3}',
        ),
        (
            Heard(8, (SEEN,)),
            b'{"id":8,"events":[{"name":"seen","data":"{\\"n\\": 1}"}],"kind":"heard","schema":3}',
        ),
        (Failed(7, "no"), b'{"id":7,"why":"no","kind":"failed","schema":3}'),
        (Signal("ping"), b'{"kind":"ping","schema":3}'),
        (Signal("bye"), b'{"kind":"bye","schema":3}'),
        (Signal("pong"), b'{"kind":"pong","schema":3}'),
        (Signal("unknown"), b'{"kind":"unknown","schema":3}'),
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
    words = {message.kind for message, _ in PINNED[SCHEMA] if isinstance(message, Signal)}
    assert words == set(get_args(Signal.__annotations__["kind"]))


def test_the_parts_of_this_version_are_pinned():
    """What lies beside a header: pixels row by row, arrays in C order, little-endian, in the order of their columns."""
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    item = Item(Frame("a", 0, 0, Fraction(1, 25), ArrayPicture(pixels)))
    box, score, kind = np.array([[1.5, 2, 30, 40]], np.float32), np.array([0.5], np.float32), np.array([1], np.int64)
    done = item.with_result(DETECTIONS, Detections(box, score, kind, ("a", "b"), np.array([7]), data={"n": box > 2}))
    assert [part.tobytes() for part in pack([item], None)[1]] == [bytes(range(18))]
    [entry], parts = pack_results([item], [done], None)
    assert [part.tobytes().hex(" ", 4) for part in parts] == [
        "0000c03f 00000040 0000f041 00002042",
        "0000003f",
        "01000000 00000000",
        "07000000 00000000",
        "00000101",
    ]
    assert entry.results[0].value == {
        "labels": ["a", "b"],
        "columns": ["xyxy", "confidence", "class_id", "tracker_id"],
        "data": ["n"],
        "masks": None,
    }
    [arrays] = [result.arrays for result in entry.results]
    assert [(array.dtype, array.shape) for array in arrays] == [
        ("<f4", (1, 4)),
        ("<f4", (1,)),
        ("<i8", (1,)),
        ("<i8", (1,)),
        ("|b1", (1, 4)),
    ]


VERSION_1 = {  # as version 1 said them
    "hello": b'{"hub":"a1","stage":"detector","settings":{"conf":0.25},"kind":"hello","schema":1}',
    "welcome": b'{"workers":2,"kind":"welcome","schema":1}',
    "refused": b'{"why":"busy: 100 %25","kind":"refused","schema":1}',
    "ping": b'{"kind":"ping","schema":1}',
}


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (VERSION_1["hello"], ""),
        (VERSION_1["welcome"], ""),
        (VERSION_1["refused"], "busy: 100 %"),
        (VERSION_1["ping"], ""),
        (b'{"kind": "ping", "schema": 4}', ""),
        (b'{"kind": "hello", "schema": 7, "more": 1}', ""),
        (b'{"schema": 4, "greeting": {"stages": []}}', ""),
        (b'{"kind": "refused", "schema": 4, "why": "too old", "since": 3}', "too old"),
    ],
)
def test_a_message_of_another_version_is_known_whatever_else_is_in_it(header, why):
    with pytest.raises(OtherVersion) as caught:
        decode(header)
    assert caught.value.schema == json.loads(header)["schema"]
    assert caught.value.why == why


@pytest.mark.parametrize("schema", ["3", '"4"', "true", "2.5", "-1", "null", "9" * 5000])
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


OLDER = (
    b'{"why":"the stage speaks protocol 1 (Watchline 0.1.0), the hub protocol 2: install the same version of '
    b'Watchline on both hosts","kind":"refused","schema":1}'
)
NEWER = (
    b'{"kind": "refused", "schema": 4, "why": "the stage speaks protocol 4 (Watchline 0.4.0), its client protocol 3"}'
)


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (OLDER, rf"the stage speaks protocol 1 \(Watchline 0\.1\.0\), the hub protocol 2: {REMEDY}"),
        (NEWER, r"the stage speaks protocol 4 \(Watchline 0\.4\.0\), its client protocol 3"),
        (VERSION_1["welcome"], rf"the stage speaks protocol 1, its client protocol 3 .*: {REMEDY}"),
        (
            b'{"schema": 5, "welcome": {"stages": 4}}',
            rf"the stage speaks protocol 5, its client protocol 3 .*: {REMEDY}",
        ),
    ],
)
def test_a_client_says_at_once_that_the_stage_is_of_another_version(header, why):
    started = time.monotonic()
    with (
        answering(header) as address,
        pytest.raises(StageError, match=rf"^echo at {address} refused: {why}$"),
        placed(Echo(), Place("tcp", address)).open(),
    ):
        pass
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("schema", [1, 4])
def test_the_command_says_it_in_a_line_with_the_remedy(tmp_path, schema):
    write_clip(tmp_path / "a.mp4", 2)
    with answering(b'{"schema": %d}' % schema) as address:
        done = within(tmp_path, "run", "a.mp4", "--no-video", "--place", f"detector={address}")
    said = f"detector at {address} refused: the stage speaks protocol {schema}, its client protocol 3 {HERE}: {REMEDY}"
    assert (done.code, done.err[-1]) == (2, f"watchline: {said}")


@pytest.mark.parametrize(
    ("schema", "hello", "ping"),
    [
        (1, VERSION_1["hello"], VERSION_1["ping"]),
        (4, b'{"schema": 4, "kind": "greeting", "client": "b", "more": [1]}', b'{"schema": 4, "kind": "ping"}'),
    ],
)
def test_a_server_refuses_a_client_of_another_version_and_serves_the_next(monkeypatch, caplog, schema, hello, ping):
    monkeypatch.setattr(serve, "LOOK", 0.05)
    with Server("odd_stages:Echo", "tcp://127.0.0.1:0") as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        client = Dialer()
        try:
            client.connect(server.address)
            client.send(hello)
            why = f"the stage speaks protocol 3 {HERE}, its client protocol {schema}: {REMEDY}"
            assert heard(client) == Refused(why)
            client.send(ping)
            assert heard(client) == Refused(why)
            with placed(Echo(), Place("tcp", server.address)).open():
                pass
            assert server.malformed == 0
            until = time.monotonic() + 5
            while not caplog.records and time.monotonic() < until:
                time.sleep(0.02)
        finally:
            server.stop()
            thread.join()
            client.close()
    said = {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING}
    assert said == {f"odd_stages:Echo: a client was refused: {why}"}


def test_noise_of_another_version_costs_an_open_stage_nothing():
    with answering(encode(Welcome(1, {})), b'{"schema": 4}') as address:
        stage = placed(Echo(), Place("tcp", address))
        with stage.open():
            client, until = stage._connection.client.connection, time.monotonic() + 5
            while not client.malformed and time.monotonic() < until:
                time.sleep(0.02)
            assert (client.malformed, client.calls.state) == (1, "open")


def test_a_header_has_a_largest_size():
    entry = replace(PINNED[SCHEMA][3][0].items[0], stream="x" * 60_000)
    with pytest.raises(ValueError, match=r"a header of 6\d+ bytes, 4194304 at most: send fewer frames at once"):
        encode(WorkRequest(1, (entry,) * 100))


def heard(port):
    """The next message, within five seconds."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        for arrival in port.receive(0.05)[0]:
            return decode(arrival.header)
    pytest.fail("no answer")
