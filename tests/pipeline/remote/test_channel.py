import os
import socket
import threading
import time

import numpy as np
import pytest
from leftovers import everything

from watchline.pipeline.remote import channel
from watchline.pipeline.remote.channel import Dialer, Keys, Listener, host_of, is_loopback, new_keys, public_of


@pytest.fixture
def ports():
    """Opens ends, and closes them all."""
    opened = []

    def new(kind, *args):
        opened.append(kind(*args))
        return opened[-1]

    yield new
    for port in opened:
        port.close()


def heard(port, seconds=3.0):
    """The messages that come within some seconds, as soon as there are any."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        arrived, _ = port.receive(0.05)
        if arrived:
            return arrived
    return []


def both(one, other, seconds=3.0):
    """What comes at `one` while `other` is polled too, as its handshakes need it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        arrived, _ = one.receive(0.02)
        if arrived:
            return arrived
        other.receive(0.02)
    return []


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "ipc"])
def test_messages_cross_in_order_in_both_directions(ports, tmp_path, address):
    server, client = ports(Listener), ports(Dialer)
    client.connect(server.listen(f"ipc://{tmp_path}/link" if address == "ipc" else address))
    pixels = np.arange(60, dtype=np.uint8).reshape(6, 10)
    for i in range(20):
        assert client.send(b"%d" % i, [pixels[:, :4], pixels[0]])
    got = []
    while len(got) < 20:
        got += heard(server)
    assert [a.header for a in got] == [b"%d" % i for i in range(20)]
    assert all((a.parts[0].reshape(6, 4) == pixels[:, :4]).all() and (a.parts[1] == pixels[0]).all() for a in got)
    assert server.send(b"back", [pixels], got[0].peer)
    [answer] = heard(client)
    assert (answer.header, answer.parts[0].tobytes()) == (b"back", pixels.tobytes())


def test_a_client_may_come_first(ports, tmp_path):
    client = ports(Dialer)
    client.connect(f"ipc://{tmp_path}/link")
    client.send(b"hello")
    assert heard(client, 0.2) == []
    server = ports(Listener)
    server.listen(f"ipc://{tmp_path}/link")
    assert heard(server)[0].header == b"hello"


def test_what_waited_is_gone_when_a_client_connects_anew(ports, tmp_path):
    client, server = ports(Dialer), ports(Listener)
    client.connect(f"ipc://{tmp_path}/link")
    client.send(b"old")
    client.connect(f"ipc://{tmp_path}/link")
    client.send(b"new")
    time.sleep(0.3)  # ZeroMQ's own thread closes the first connection
    server.listen(f"ipc://{tmp_path}/link")
    assert heard(server)[0].header == b"new"


def test_nothing_is_sent_before_connecting_or_to_nobody(ports):
    server = ports(Listener)
    server.listen("tcp://127.0.0.1:0")
    assert not ports(Dialer).send(b"x")
    assert server.send(b"x", peer=b"gone")
    assert heard(server, 0.1) == []


def test_a_full_queue_says_so_and_does_not_wait(ports, tmp_path):
    client = ports(Dialer)
    client.connect(f"ipc://{tmp_path}/nobody")
    sent = [client.send(b"x") for _ in range(channel.WAITING + 5)]
    assert sent == [True] * channel.WAITING + [False] * 5


def test_an_answer_that_finds_no_room_is_not_dropped(ports, tmp_path):
    server, client = ports(Listener), ports(Dialer)
    client.connect(server.listen(f"ipc://{tmp_path}/link"))
    client.send(b"x")
    [arrival] = heard(server)
    big = np.zeros(100_000, np.uint8)
    sent = 0
    while server.send(b"%d" % sent, [big], arrival.peer):
        sent += 1
    assert sent < 10 * channel.WAITING
    got = []
    while len(got) < sent and (arrived := heard(client)):
        got += arrived
    assert [a.header for a in got] == [b"%d" % i for i in range(sent)]


def test_other_threads_and_descriptors_wake_it(ports):
    client = ports(Dialer)
    end, other = os.pipe()
    client.watch(end)
    threading.Timer(0.1, client.wake).start()
    started = time.monotonic()
    assert client.receive(20) == ([], set())
    os.close(other)
    assert client.receive(20) == ([], {end})
    assert time.monotonic() - started < 10
    client.unwatch(end)
    assert client.receive(0.01) == ([], set())
    os.close(end)
    for _ in range(100_000):  # more than a pipe holds
        client.wake()  # never waits, however often
    client.close()
    client.wake()  # a stage that fails while its server ends


@pytest.mark.parametrize("size", [0, 9, 10, 11, 30, 31])
def test_a_part_crosses_whole_whatever_its_size(ports, monkeypatch, size):
    monkeypatch.setattr(channel, "PIECE", 10)
    server, client = ports(Listener), ports(Dialer)
    client.connect(server.listen("tcp://127.0.0.1:0"))
    part = np.arange(size, dtype=np.uint8)
    client.send(b"x", [part, part[:3], part])
    [arrival] = heard(server)
    assert [each.tolist() for each in arrival.parts] == [part.tolist(), part[:3].tolist(), part.tolist()]


def test_a_part_whose_rest_is_missing_is_left_out(ports, monkeypatch):
    server, client = ports(Listener), ports(Dialer)
    client.connect(server.listen("tcp://127.0.0.1:0"))
    client.send(b"x", [np.zeros(10, np.uint8)])
    monkeypatch.setattr(channel, "PIECE", 10)
    assert heard(server)[0].parts == ()


def test_too_large_frames_and_headers_go_no_further(ports, monkeypatch):
    server, client = ports(Listener), ports(Dialer)
    client.connect(server.listen("tcp://127.0.0.1:0"))
    monkeypatch.setattr(channel, "PIECE", channel.PIECE + 1000)
    client.send(b"x", [np.zeros(channel.PIECE - 1, np.uint8)])
    assert heard(server, 0.3) == []
    client.send(b"y")  # the connection was cut, and comes back
    assert heard(server)[0].header == b"y"
    monkeypatch.setattr(channel, "LARGEST_HEADER", 10)
    client.send(b"z" * 11)
    assert heard(server)[0].header == b""


def test_noise_on_the_port_harms_nobody(ports):
    server, client = ports(Listener), ports(Dialer)
    address = server.listen("tcp://127.0.0.1:0")
    port = int(address.rsplit(":", 1)[1])
    rng = np.random.default_rng(3)
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(rng.integers(0, 256, 200, np.uint8).tobytes())
    heard(server, 0.2)  # ZeroMQ takes some of it for messages of its first version, from before there were greetings
    client.connect(address)
    client.send(b"fine")
    came = []
    while b"fine" not in came and (arrived := heard(server)):
        came += [arrival.header for arrival in arrived]
    assert b"fine" in came


def pairs(count):
    return [new_keys() for _ in range(count)]


def test_who_has_a_key_comes_in(ports):
    (client_public, client_secret), (server_public, server_secret) = pairs(2)
    server, client = ports(Listener), ports(Dialer)
    address = server.listen("tcp://127.0.0.1:0", Keys(server_secret, (new_keys()[0], client_public)))
    client.connect(address, Keys(client_secret, (server_public,)))
    client.send(b"hello")
    [arrival] = both(server, client)
    assert arrival.header == b"hello"
    server.send(b"welcome", peer=arrival.peer)
    assert both(client, server)[0].header == b"welcome"
    assert (client.refusal, server.refused) == ("", 0)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("unknown", "does not know our key"),
        ("another server", "check that the peer key given here is its own"),
        ("client has none", "if it has keys, give our key"),
        ("server has none", "and that it has keys"),
    ],
)
def test_a_wrong_key_is_told_apart_and_nothing_comes_through(ports, wrong, why):
    (client_public, client_secret), (server_public, server_secret), (other, _) = pairs(3)
    server, client = ports(Listener), ports(Dialer)
    allowed = other if wrong == "unknown" else client_public
    theirs = None if wrong == "server has none" else Keys(server_secret, (allowed,))
    ours = Keys(client_secret, (other if wrong == "another server" else server_public,))
    address = server.listen("tcp://127.0.0.1:0", theirs)
    client.connect(address, None if wrong == "client has none" else ours)
    client.send(b"hello")
    end = time.monotonic() + 3
    while not client.refusal and time.monotonic() < end:
        assert server.receive(0.02) == ([], set())
        assert client.receive(0.02) == ([], set())
    assert why in client.refusal
    assert server.refused == (1 if wrong == "unknown" else 0)


def test_what_is_not_a_stage_is_said_not_to_be_one(ports):
    with socket.create_server(("127.0.0.1", 0)) as web:
        client = ports(Dialer)
        client.connect(f"tcp://127.0.0.1:{web.getsockname()[1]}")
        client.send(b"hello")
        connection, _ = web.accept()
        with connection:  # it greets as ZeroMQ does, and then says something else
            connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
            connection.sendall(b"\x04\x09\x04NONSENSE")
            assert heard(client, 0.3) == []
    assert "not a stage of Watchline" in client.refusal


def test_keys_never_show():
    public, secret = new_keys()
    assert public_of(secret) == public
    assert secret.decode() not in repr(Keys(secret, (public,)))


def test_a_taken_port_is_an_error(ports):
    first = ports(Listener)
    address = first.listen("tcp://127.0.0.1:0")
    with pytest.raises(OSError, match="in use"):
        ports(Listener).listen(address)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("tcp://127.0.0.1:5555", "127.0.0.1"),
        ("tcp://[::1]:1", "::1"),
        ("tcp://*:5555", "*"),
        ("tcp://gpu.local:5555", "gpu.local"),
    ],
)
def test_the_host_of_an_address(address, host):
    assert host_of(address) == host


@pytest.mark.parametrize(
    "address",
    ["", "gpu:5555", "tcp://gpu", "tcp://gpu:x", "tcp://gpu:70000", "udp://gpu:1", "tcp://a:1/x", "tcp://u@a:1"],
)
def test_what_is_not_an_address(address):
    with pytest.raises(ValueError, match="expected tcp://HOST:PORT"):
        host_of(address)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("ipc:///tmp/x", True),
        ("tcp://127.0.0.1:1", True),
        ("tcp://127.9.9.9:1", True),
        ("tcp://localhost:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://*:1", False),
        ("tcp://0.0.0.0:1", False),
        ("tcp://[::]:1", False),
        ("tcp://10.0.0.1:1", False),
        ("tcp://localhost.example.org:1", False),
        ("tcp://eth0:1", False),
    ],
)
def test_what_stays_on_this_host(address, inside):
    assert is_loopback(address) is inside


def test_nothing_is_left():
    before = everything()
    for _ in range(5):
        server, client = Listener(), Dialer()
        public, secret = new_keys()
        client.connect(server.listen("tcp://127.0.0.1:0", Keys(secret, (public,))), Keys(secret, (public,)))
        client.send(b"x")
        both(server, client)
        client.disconnect()
        client.close()
        server.close()
    assert everything() == before
