"""Endless video over HTTP, RTMP, UDP and RTP: pictures are as new as the network allows, and their times are true."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from live_page import JPEGS, LivePage, send_video
from marks import read_mark
from rtmp_server import RtmpServer

from watchline.streams.errors import SourceRefused, SourceTimeout, SourceUnsupported, StreamError
from watchline.streams.live.network import NetworkSource
from watchline.streams.source import Missed


def ages(source, camera, seconds, hold=None):
    """The age of each picture, and what its times say of it. Args: hold, seconds from when to when nothing is sent."""
    told = []
    with source.open() as reader:
        assert not reader.ends
        began = time.monotonic()
        if hold:
            threading.Timer(hold[0], camera.flows.clear).start()
            threading.Timer(hold[1], camera.flows.set).start()
        for frame in reader:
            if isinstance(frame, Missed):  # a busy machine was too slow after the hold
                continue
            now, wall = time.monotonic(), time.time()
            mark = read_mark(frame.picture.bgr())
            told.append((now - began, now - mark.monotonic_ns / 1e9, now - frame.arrival, wall - frame.time))
            if now - began > seconds:
                break
    return told


@pytest.mark.parametrize("format", ["mpegts", "flv", "h264"])
def test_a_hold_and_a_fast_clock_age_nothing(format):
    with LivePage(speed=1.1) as camera:
        told = ages(NetworkSource(camera.url(format), "gate"), camera, 4.0, hold=(0.7, 2.2))
    before = sorted(age for at, age, _, _ in told if 0.5 < at < 0.7)
    after = sorted(age for at, age, _, _ in told if at > 3.2)
    assert after[len(after) // 2] < before[len(before) // 2] + 0.75, "half of the hold"
    assert all(latency == pytest.approx(wall, abs=0.5) for _, _, latency, wall in told)
    assert all(latency < age + 0.1 for _, age, latency, _ in told), "no picture is newer than its arrival"


def test_opening_takes_no_seconds():
    with LivePage() as camera:
        started = time.monotonic()
        with NetworkSource(camera.url("flv")).open() as reader:
            assert time.monotonic() - started < 2.5, "five, if FFmpeg may look as long as it likes"
            assert reader.about.codec == "h264"


@pytest.mark.parametrize(("path", "seconds"), [("live.m3u8", "2"), ("live", "0.5")])
def test_silence_is_said_with_the_time_that_was_waited(path, seconds):
    source = NetworkSource(f"http://10.0.0.7/{path}", read_timeout=0.5)
    assert f" sent nothing for {seconds} s; " in str(source._explain(TimeoutError()))


def test_packets_of_which_nothing_comes_are_counted_and_forgotten(monkeypatch):
    monkeypatch.setattr("watchline.streams.live.reader.PENDING", 5)
    monkeypatch.setattr("watchline.streams.live.reader.REPORT_AFTER", 0.1)
    with LivePage() as camera, NetworkSource(camera.url("mpegts")).open() as reader:
        reader._codec.skip_frame = "ALL"
        missed = [got for got, _ in zip((got for got in reader if isinstance(got, Missed)), range(3), strict=False)]
        assert {got.cause for got in missed} == {"damaged"}
        assert len(reader._sent) <= 5


def counters(source, count=10):
    with source.open() as reader:
        return [read_mark(got.picture.bgr()).counter for got, _ in zip(reader, range(count), strict=False)]


@pytest.mark.parametrize("form", [name for name in JPEGS if name != "still"])
def test_jpegs_are_found_however_they_are_sent(form):
    with LivePage() as camera:
        source = NetworkSource(camera.url(form))
        assert counters(source) == list(range(10))
        with source.open() as reader:
            assert not reader.ends
            assert reader.about.rate is None


def test_a_still_is_one_picture():
    with LivePage() as camera, NetworkSource(camera.url("still")).open() as reader:
        assert len(list(reader)) == 1
        assert reader.ends


def test_rtmp_is_as_new_as_it_is_sent():
    with RtmpServer() as server, NetworkSource(server.url, "gate").open() as reader:
        assert not reader.ends
        for frame, _ in zip(reader, range(20), strict=False):
            mark = read_mark(frame.image)
        assert time.monotonic() - mark.monotonic_ns / 1e9 < 1
    with pytest.raises(SourceRefused, match="nothing listens at 127"):
        counters(NetworkSource("rtmp://127.0.0.1:9/live/gate"))


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def sending(scheme, format):
    """Sends pictures to an address of this machine, and yields it."""
    over, url = threading.Event(), f"{scheme}://127.0.0.1:{free_port()}"
    sender = threading.Thread(target=send_video, args=(f"{url}?pkt_size=1316", format, over))
    sender.start()
    try:
        yield url
    finally:
        over.set()
        sender.join()


@pytest.mark.parametrize(("scheme", "format"), [("udp", "mpegts"), ("rtp", "rtp_mpegts")])
def test_transport_streams_are_received(scheme, format):
    with sending(scheme, format) as url:
        seen = counters(NetworkSource(url))
    assert seen == list(range(seen[0], seen[0] + 10))
    with pytest.raises(SourceTimeout, match=r"got nothing within 0\.5 s"):
        counters(NetworkSource(url, open_timeout=0.5, read_timeout=0.5))


def test_rtp_that_needs_a_description_is_named():
    with sending("rtp", "rtp") as url, pytest.raises(SourceUnsupported, match="something else than MPEG-TS"):
        counters(NetworkSource(url))


def test_what_is_not_a_transport_stream_is_not_received():
    """Anybody may send to a port: nothing but MPEG-TS is taken for a video, no playlist above all."""
    port, over = free_port(), threading.Event()

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not over.wait(0.01):
                out.sendto(b"ffconcat version 1.0\nfile /etc/passwd\n", ("127.0.0.1", port))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(StreamError):
            counters(NetworkSource(f"udp://127.0.0.1:{port}", open_timeout=0.5, read_timeout=0.5))
    finally:
        over.set()
        sender.join()
