"""What a listener's connections may cost: number, time and bytes, before a key is checked and after."""

import threading
from contextlib import contextmanager, suppress

import pytest
from zmtp_peer import Peer, dialled, is_cut

from watchline.pipeline.remote import channel, guard
from watchline.pipeline.remote.channel import Dialer, Keys, Listener, new_keys


@contextmanager
def listening(keys=None):
    """A listener that a thread polls, and knows who says "honest". Yields its address and the headers that came."""
    port, headers, stop = Listener(), [], threading.Event()

    def poll():
        while not stop.is_set():
            for arrival in port.receive(0.02)[0]:
                headers.append(arrival.header)
                if arrival.header == b"honest":
                    port.know(arrival.descriptor)

    address = port.listen("tcp://127.0.0.1:0", keys)
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield address, headers
    finally:
        stop.set()
        thread.join()
        port.close()


@contextmanager
def calling(address, keys=None):
    """A client that says "honest", and is polled until that came."""
    client = Dialer()
    client.connect(address, keys)
    client.send(b"honest")
    try:
        yield client
    finally:
        client.close()


def wait_for(condition, client):
    for _ in range(500):
        if condition():
            return True
        client.receive(0.02)
    return False


@pytest.mark.parametrize("mechanism", [b"NULL", b"CURVE"])
def test_who_does_not_shake_hands_is_cut(monkeypatch, mechanism):
    monkeypatch.setattr(guard, "UNPROVEN_SECONDS", 0.2)
    with listening() as (address, _), dialled(address, mechanism) as raw:
        assert is_cut(raw)


@pytest.mark.parametrize("said", [(), (b"nonsense",)])
def test_who_shakes_hands_and_is_not_known_soon_is_cut_and_who_is_known_is_not(monkeypatch, said):
    monkeypatch.setattr(guard, "UNPROVEN_SECONDS", 0.2)
    with listening() as (address, headers), calling(address) as client:
        assert wait_for(lambda: b"honest" in headers, client)
        with Peer(address) as silent:
            silent.send(*said)
            assert is_cut(silent.socket)
        client.send(b"again")
        assert wait_for(lambda: b"again" in headers, client)
        assert not client.cut


def test_of_too_many_connections_the_oldest_unproven_ones_are_cut(monkeypatch):
    monkeypatch.setattr(guard, "MOST", 4)
    public, secret = new_keys()
    keys = Keys(secret, (public,))
    with listening(keys) as (address, headers):
        crowd = [dialled(address, b"CURVE") for _ in range(12)]
        with calling(address, keys) as client:
            assert wait_for(lambda: b"honest" in headers, client)
            assert all(is_cut(raw) for raw in crowd[:8])
            with calling(address, keys) as other:  # the next ones cut others, not who is known
                assert wait_for(lambda: headers.count(b"honest") == 2, other)
            assert not client.cut
        for raw in crowd:
            raw.close()


@pytest.mark.parametrize("claimed", [channel.PIECE + 1000, 400 << 20])
def test_a_handshake_has_no_room_for_more_than_a_frame(claimed):
    with listening() as (address, _), dialled(address, b"CURVE") as raw:
        raw.sendall(b"\x06" + claimed.to_bytes(8, "big"))
        assert is_cut(raw)


def test_a_message_without_end_is_cut(monkeypatch):
    monkeypatch.setattr(guard, "MOST_HELD", 4 << 20)
    with listening() as (address, headers), Peer(address) as peer:
        peer.send(b"honest")
        assert wait_for(lambda: headers, Quiet())
        with suppress(OSError):
            for _ in range(1000):
                peer.send(bytes(1 << 20), more=True)
        assert is_cut(peer.socket)


class Quiet:
    """Waits as a client does that nobody answers."""

    def receive(self, seconds):
        threading.Event().wait(seconds)
