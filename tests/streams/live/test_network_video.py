"""Endless video over HTTP: pictures are as new as the network allows, and their times are true."""

import threading
import time

import pytest
from live_page import LivePage
from marks import read_mark

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
            assert not isinstance(frame, Missed)
            now = time.monotonic()
            mark = read_mark(frame.picture.bgr())
            told.append((now - began, now - mark.monotonic_ns / 1e9, now - frame.arrival, time.time() - frame.time))
            if now - began > seconds:
                break
    return told


@pytest.mark.parametrize("format", ["mpegts", "flv", "h264"])
def test_a_hold_and_a_fast_clock_age_nothing(format):
    with LivePage(speed=1.1) as camera:
        told = ages(NetworkSource(camera.url(format), "gate"), camera, 3.0, hold=(0.7, 1.7))
    before = sorted(age for at, age, _, _ in told if 0.5 < at < 0.7)
    after = sorted(age for at, age, _, _ in told if at > 2.5)
    assert after[len(after) // 2] < before[len(before) // 2] + 0.15
    assert all(latency == pytest.approx(wall, abs=0.05) for _, _, latency, wall in told)
    assert all(latency < age + 0.05 for _, age, latency, _ in told), "no picture is older than it is"


def test_opening_takes_no_seconds():
    with LivePage() as camera:
        started = time.monotonic()
        with NetworkSource(camera.url("flv")).open() as reader:
            assert time.monotonic() - started < 2.5, "five, if FFmpeg may look as long as it likes"
            assert reader.about.codec == "h264"
