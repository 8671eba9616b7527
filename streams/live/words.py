"""What a user types as a camera, as a source."""

from typing import Literal

from watchline.streams.address import device_of, is_live
from watchline.streams.live.device import DeviceSource
from watchline.streams.live.network import NetworkSource

__all__ = ["is_live", "live_source"]


def live_source(
    word: str, stream: str = "", transport: Literal["tcp", "udp"] = "tcp", timeout: float = 4.0
) -> NetworkSource | DeviceSource:
    """The source of a word for which `is_live` is true.

    Args:
        word: an address, the number of a device, or its path.
        stream: its name in every output; made from the word if empty.
        transport: what RTSP brings the pictures by; of no meaning for others.
        timeout: seconds of silence after which it is given up.

    Raises:
        SourceUnreadable: the address makes no sense.
    """
    device = device_of(word)
    if device:
        return DeviceSource(device, stream, read_timeout=timeout)
    return NetworkSource(word, stream, transport, open_timeout=timeout, read_timeout=timeout)
