"""Against a real RTSP server (rtsp.py) and a real HTTP server."""

import gc
import logging
import random
import threading
import time
import traceback
from itertools import pairwise
from pathlib import Path

import pytest
from marks import read_mark
from rtsp import BadWire, RtspServer, need_rtsp_server

from watchline.streams.errors import (
    SourceDenied,
    SourceLost,
    SourceNotFound,
    SourceRefused,
    SourceTimeout,
    SourceUnsupported,
    StreamError,
)
from watchline.streams.live import reader as live
from watchline.streams.live.network import NetworkSource
from watchline.streams.source import LIVE_TIME_BASE, Missed

PASSWORD = "c@n:a/r%y"


@pytest.fixture(scope="module", autouse=True)
def _needs():
    need_rtsp_server()


@pytest.fixture(scope="module")
def h264():
    with RtspServer() as server:
        yield server


@pytest.fixture(scope="module")
def guarded():
    with RtspServer("--auth", "digest", "--transport", "tcp", login=f"gate:{PASSWORD}") as server:
        yield server


def watch(source, count, work=lambda frame: None):
    """Frames with their marks, and what was missed."""
    frames, marks, missed = [], [], []
    with source.open() as reader:
        for got in reader:
            if isinstance(got, Missed):
                missed.append(got)
                continue
            frames.append(got)
            marks.append((read_mark(got.picture.bgr()), time.monotonic_ns()))
            work(got)
            if len(frames) == count:
                break
    return frames, marks, missed, reader


@pytest.mark.parametrize("codec", ["h264", "h265", "mjpeg"])
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_every_frame_comes_soon_and_in_order(codec, transport):
    with RtspServer("--codec", codec) as server:
        started = time.monotonic()
        frames, marks, missed, reader = watch(NetworkSource(server.url(), "gate", transport), 40)
    assert missed == []
    assert frames[0].arrival - started < 0.5, "the key frame that a server begins with is not to be lost"
    assert [f.index for f in frames] == list(range(40))
    assert {(f.stream, f.width, f.height, f.time_base, f.epoch) for f in frames} == {
        ("gate", 640, 360, LIVE_TIME_BASE, None)
    }
    counters = [mark.counter for mark, _ in marks]
    assert counters == list(range(counters[0], counters[0] + 40))
    assert frames[0].pts == 0
    assert 0 < frames[1].pts < 18_000  # FFmpeg has no time for the first packet: that of its arrival counts
    assert all(b.pts - a.pts == pytest.approx(3600, abs=100) for a, b in pairwise(frames[1:]))
    ages = sorted((seen - mark.monotonic_ns) / 1e6 for mark, seen in marks)
    assert ages[0] < 250  # FFmpeg waits for the next frame to see that one is whole: 40 ms of it
    assert all(abs(f.time - time.time()) < 60 and abs(f.arrival - time.monotonic()) < 60 for f in frames)
    about = reader.about
    codec = {"h265": "hevc"}.get(codec, codec)
    assert (about.name, about.width, about.height, about.codec) == (server.url(), 640, 360, codec)
    assert (about.time_base, about.path, about.frames) == (LIVE_TIME_BASE, None, None)


def test_two_readers_see_the_same(h264):
    seen = [[], []]

    def read(mine):
        mine += [mark.counter for mark, _ in watch(NetworkSource(h264.url()), 20)[1]]

    threads = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(mine) == 20 for mine in seen)


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_a_password_of_any_letters_is_taken(method):
    with RtspServer("--auth", method, login=f"gate:{PASSWORD}") as server:
        for url in (server.url(), f"rtsp://gate:{PASSWORD}@127.0.0.1:{server.port}/live"):
            frames, _, _, reader = watch(NetworkSource(url), 2)
            assert len(frames) == 2
            assert reader.about.name == f"rtsp://127.0.0.1:{server.port}/live"
        with BadWire(server.port) as wire:
            source = NetworkSource(server.url(login="gate:wrong", port=wire.port), "gate")
            with pytest.raises(SourceDenied) as error, source.open():
                pass
    shown = f"rtsp://127.0.0.1:{wire.port}/live"
    assert str(error.value) == f"gate: the camera at {shown} refused user name or password (401); check them"
    tried = [line for line in wire.requests if line.startswith("Authorization:")]
    assert len(tried) <= 2, "a wrong password must not be tried again and again: the camera may lock the account"


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/nope", SourceNotFound, "does not have this path (404); check what follows the host"),
        ("/audio", SourceUnsupported, "has no video in it, only audio; check its path, or which stream it sends"),
        ("/strange", SourceUnsupported, "has no video in it, only data; check its path, or which stream it sends"),
    ],
)
def test_what_is_wrong_with_a_path_is_told(h264, path, error, message):
    with pytest.raises(error) as told, NetworkSource(h264.url(path), "gate").open():
        pass
    assert str(told.value) == f"gate: the camera at {h264.url(path)} {message}"


def test_a_transport_that_the_server_does_not_offer_is_told(guarded):
    with pytest.raises(SourceUnsupported, match="does not send by udp; set transport to tcp"):
        watch(NetworkSource(guarded.url(), transport="udp"), 1)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("rtsp://127.0.0.1:9/x", "is not there: nothing listens at 127.0.0.1:9; check host and port"),
        ("rtsp://no-such-host.invalid/x", "is not there: no host of this name is known; check the name"),
        ("http://127.0.0.1:9/x", "is not there: nothing listens at 127.0.0.1:9; check host and port"),
    ],
)
def test_nobody_there_is_told_at_once(url, message):
    with pytest.raises(SourceRefused) as error, NetworkSource(url, "gate").open():
        pass
    assert str(error.value) == f"gate: the camera at {url} {message}"


def test_a_frozen_server_does_not_hold_us():
    with RtspServer() as server:
        source = NetworkSource(server.url())
        with source.open() as reader:
            frames = iter(reader)
            next(frames)
            server.freeze()
            frozen = time.monotonic()
            with pytest.raises(SourceTimeout, match="sent nothing for 4 s; check it and the network"):
                list(frames)
            assert 3.5 < time.monotonic() - frozen < 5
            left = time.monotonic()
        assert time.monotonic() - left < 1
        frozen = time.monotonic()
        with pytest.raises(SourceTimeout, match="did not answer within 4 s; check that it runs"), source.open():
            pass
        assert time.monotonic() - frozen < 5
        server.thaw()
        assert len(watch(source, 3)[0]) == 3


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_dies_ends_the_stream_and_can_be_read_again(transport):
    with RtspServer() as server:
        source = NetworkSource(server.url(), transport=transport, read_timeout=2)
        for _ in range(2):
            with source.open() as reader:
                frames = iter(reader)
                next(frames)
                server.kill()
                died = time.monotonic()
                try:
                    list(frames)
                except (SourceTimeout, ConnectionError):
                    assert transport == "udp", "a closed connection is seen at once"
                assert time.monotonic() - died < 3
            server.start()
        assert len(watch(source, 3)[0]) == 3


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_leaving_is_quick_and_leaves_nothing(h264):
    source = NetworkSource(h264.url())
    watch(source, 2)
    threads, files = threading.active_count(), open_files()
    for _ in range(3):
        with source.open() as reader:
            next(iter(reader))
            left = time.monotonic()
        assert time.monotonic() - left < 1
    gc.collect()
    assert (threading.active_count(), open_files()) == (threads, files)


def test_a_picture_may_change_its_size(h264):
    frames, marks, missed, reader = watch(NetworkSource(h264.url("/resize")), 75)
    assert {(f.width, f.height) for f in frames} == {(640, 360), (320, 180)}
    assert missed == []
    assert None not in [mark for mark, _ in marks]
    assert (reader.about.width, reader.about.height) == (frames[0].width, frames[0].height)


def test_a_stream_without_key_frames_is_not_waited_for(monkeypatch):
    """The first reader gets the only one there is."""
    monkeypatch.setattr(live, "KEY_PATIENCE", 1.0)
    with RtspServer("--gop", "10000") as server, NetworkSource(server.url()).open() as first:
        next(iter(first))
        with pytest.raises(SourceTimeout, match="no picture to begin with for 1 s; set its key frame interval"):
            watch(NetworkSource(server.url()), 1)


def test_a_stream_that_ends_before_its_first_frame_is_lost(h264):
    def cut(number, packet):  # FFmpeg takes an RTP packet that is shorter than its header for the end
        return packet[:7] if number == 3 else packet

    with BadWire(h264.port, cut) as wire, pytest.raises(SourceLost, match="ended before a frame of its h264 video"):
        watch(NetworkSource(h264.url(port=wire.port)), 1)


def lose_whole(number, packet, lost=set()):  # noqa: B006
    """Loses every 20th picture."""
    lost.add(packet[4:8])
    return None if len(lost) % 20 == 0 else packet


def lose_some(number, packet):
    return None if number % 300 == 299 else packet


def flip(number, packet):
    if number % 300 != 299 or len(packet) < 60:
        return packet
    bits = random.Random(number)
    damaged = bytearray(packet)
    for _ in range(8):
        damaged[bits.randrange(20, len(packet))] ^= 1 << bits.randrange(8)
    return bytes(damaged)


class DecodingOrder:
    """Stamps pictures in the order in which they are sent, as live555 does, also where they are shown in another."""

    def __init__(self):
        self.stamps = {}

    def __call__(self, number, packet):
        stamp = int.from_bytes(packet[4:8], "big")
        first = next(iter(self.stamps.values()), stamp)
        told = self.stamps.setdefault(stamp, first + 3600 * len(self.stamps))
        return packet[:4] + (told % (1 << 32)).to_bytes(4, "big") + packet[8:]


@pytest.mark.parametrize("stamp", [DecodingOrder(), lambda number, packet: packet], ids=["decoding", "showing"])
def test_pictures_that_are_shown_in_another_order_than_sent_are_all_there(stamp):
    with RtspServer("--codec", "h264-b") as server, BadWire(server.port, stamp) as wire:
        frames, marks, missed, _ = watch(NetworkSource(server.url(port=wire.port)), 60)
    counters = [mark.counter for mark, _ in marks]
    assert counters == list(range(counters[0], counters[0] + 60))
    assert missed == []
    assert all(b.pts > a.pts for a, b in pairwise(frames))
    assert frames[-1].pts == pytest.approx(59 * 3600, abs=6 * 3600)
    assert all(seen / 1e9 - mark.monotonic_ns / 1e9 < 1.5 for mark, seen in marks)


@pytest.mark.parametrize(
    ("codec", "noise", "fault"),
    [
        pytest.param("h264", False, lose_whole, id="h264, pictures lost whole"),
        pytest.param("h264", True, lose_some, id="h264, pictures lost in part"),
        pytest.param("h264", True, flip, id="h264, bits turned"),
        pytest.param("h265", False, lose_whole, id="h265, pictures lost whole"),
        pytest.param("h264-b", False, lose_whole, id="h264 with B-frames, pictures lost whole"),
    ],
)
def test_no_damaged_picture_is_given(codec, noise, fault):
    options = ["--noise"] if noise else []
    with RtspServer("--codec", codec, "--kbps", "4000", *options) as server, BadWire(server.port, fault) as wire:
        frames, marks, missed, _ = watch(NetworkSource(server.url(port=wire.port)), 60)
    assert None not in [mark for mark, _ in marks], "a picture was given that the server never made"
    counters = [mark.counter for mark, _ in marks]
    assert counters == sorted(set(counters))
    assert {m.cause for m in missed} == {"damaged"}
    span = counters[-1] - counters[0] + 1
    told = sum(m.frames for m in missed)
    lost = span - len(frames) - told  # those never arrived
    assert 0 <= lost <= span / 10


def test_a_slow_reader_sees_what_is_new(h264):
    """Five times too slow for a while, then fast again."""
    slow = []

    def work(frame):
        if len(slow) < 15:
            slow.append(frame)
            time.sleep(0.2)

    frames, marks, missed, _ = watch(NetworkSource(h264.url()), 50, work)
    ages = [(seen - mark.monotonic_ns) / 1e9 for mark, seen in marks]
    assert max(ages) < 0.8
    assert max(ages[30:]) < 0.4
    assert {m.cause for m in missed} == {"behind"}
    counters = [mark.counter for mark, _ in marks]
    assert len(frames) + sum(m.frames for m in missed) == counters[-1] - counters[0] + 1
    assert counters == sorted(set(counters))


def test_credentials_show_nowhere(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    secret = "canary-9!x"
    login = f"gate:{secret}"
    sources = [
        NetworkSource(guarded.url(login=login)),
        NetworkSource(guarded.url("/nope?key=canary-9!x", login=login)),
        NetworkSource(guarded.url(login=login, port=9)),
        NetworkSource(guarded.url(login=login).replace("127.0.0.1", "no-such-host.invalid")),
        NetworkSource(guarded.url(login=login).replace("rtsp:", "http:")),
    ]
    texts = []
    for source in sources:
        with pytest.raises(StreamError) as told, source.open():
            pass
        error = told.value
        assert error.__cause__ is None
        assert error.__suppress_context__
        texts += [repr(source), str(source), source.name, source.stream, str(error), repr(error)]
        texts += ["".join(traceback.format_exception(error)), str(error.args)]
        with pytest.raises(ValueError, match="expected") as bad:
            NetworkSource(guarded.url(login=login), transport="smoke", read_timeout=-1)
        texts += [str(bad.value), repr(bad.value)]
    texts += [record.getMessage() + repr(record.args) for record in caplog.records]
    texts += [thread.name for thread in threading.enumerate()]
    for text in texts:
        assert secret not in text
        assert "canary" not in text
