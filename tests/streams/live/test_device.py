from pathlib import Path

import pytest

from watchline.streams.errors import SourceDenied, SourceNotFound, SourceUnsupported
from watchline.streams.live.device import DeviceSource
from watchline.streams.live.network import NetworkSource
from watchline.streams.live.words import live_source
from watchline.streams.source import LIVE_TIME_BASE

DEVICES = sorted(map(str, Path("/dev").glob("video*")))


def test_words_become_sources():
    source = live_source("0")
    assert isinstance(source, DeviceSource)
    assert (source.device, source.stream, source.name) == ("/dev/video0", "video0", "/dev/video0")
    assert (source.live, source.ends) == (True, False)
    assert live_source("/dev/video7", "door").stream == "door"
    network = live_source("rtsp://cam/live", "gate", "udp")
    assert isinstance(network, NetworkSource)
    assert (network.stream, network.transport, network.ends) == ("gate", "udp", False)


def test_a_device_that_is_not_there_names_those_that_are():
    with pytest.raises(SourceNotFound) as error, DeviceSource("/dev/video97").open():
        pass
    assert str(error.value).startswith("video97: the camera /dev/video97 is not there; cameras of this machine: ")
    assert str(error.value).endswith(", ".join(DEVICES) or "there is none")


def test_what_is_no_device_is_told(tmp_path):
    file = tmp_path / "clip.mp4"
    file.write_bytes(b"")
    with (
        pytest.raises(SourceUnsupported, match=r"is not a device: expected /dev/videoN"),
        DeviceSource(str(file)).open(),
    ):
        pass
    with pytest.raises(SourceUnsupported, match="gives no pictures"), DeviceSource("/dev/null").open():
        pass


def test_a_device_that_may_not_be_used_is_told(as_nobody):
    device = next((d for d in ("/dev/mem", "/dev/kmsg") if Path(d).exists()), None)
    if device is None:
        pytest.skip("no device here that root alone may use")
    with as_nobody(), pytest.raises(SourceDenied, match="join the group video"), DeviceSource(device).open():
        pass


def test_half_a_size_is_refused():
    with pytest.raises(ValueError, match="width 640 and height None: expected both, or neither"):
        DeviceSource(width=640)


@pytest.mark.skipif(not DEVICES, reason="no camera at this machine (/dev/video*)")
def test_a_real_device_gives_frames():
    with DeviceSource(DEVICES[0]).open() as reader:
        frames = [frame for _, frame in zip(range(5), reader, strict=False)]
    assert [f.index for f in frames] == list(range(5))
    assert frames[0].time_base == LIVE_TIME_BASE
