"""The source of a camera that a user names by an address or a device."""

from typing import Literal

from watchline.streams.address import device_of, is_live
from watchline.streams.live.connection import TIMEOUT
from watchline.streams.live.device import DeviceSource
from watchline.streams.live.network import NetworkSource

__all__ = ["is_live", "live_source"]


def live_source(
    text: str, stream: str = "", transport: Literal["tcp", "udp"] = "tcp", timeout: float = TIMEOUT
) -> NetworkSource | DeviceSource:
    """The source of a text for which `is_live` is true.

    Args:
        text: an address, the number of a device, or its path.
        stream: its name in every output; by default made from the text.
        transport: of RTSP; other sources ignore it.
        timeout: seconds for each answer, and seconds of silence after which the stream counts as lost.

    Raises:
        SourceUnreadable: the address is not valid.
    """
    device = device_of(text)
    if device:
        return DeviceSource(device, stream, read_timeout=timeout)
    return NetworkSource(text, stream, transport, open_timeout=timeout, read_timeout=timeout)
