"""A camera in the network, by RTSP or by HTTP (MJPEG, HLS, a video file)."""

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import av
import av.error
from av.container import InputContainer
from pydantic import ConfigDict, Field

from watchline.settings import settings
from watchline.streams.address import Address, conceal, parse
from watchline.streams.errors import (
    SourceDenied,
    SourceLost,
    SourceNotFound,
    SourceRefused,
    SourceTimeout,
    SourceUnreadable,
    SourceUnsupported,
    StreamError,
)
from watchline.streams.live.reader import CameraReader, Connection, reading

# The protocols that FFmpeg may use. None of them opens a local file, whatever a server or its playlist says.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls",
    "http": "http,https,httpproxy,tcp,tls,crypto",
    "https": "http,https,httpproxy,tcp,tls,crypto",
}
# Bytes that FFmpeg reads to recognise the format. By default it reads more than it needs, which delays the first
# picture: RTSP announces its format, HTTP needs some bytes. fflags=nobuffer is not set, because it would discard these
# bytes, and with them the first key frame.
PROBE_SIZE = {"rtsp": "32", "http": "500000"}
ANALYSIS = "100000"  # microseconds of video that FFmpeg may read after that; 0 would mean five seconds and more
NO_TIMESTAMPS = 0x80  # AVFMT_NOTIMESTAMPS: a format's times are FFmpeg's invention
UDP_BUFFER = 4 << 20  # bytes of the socket buffer, enough for all packets of a large picture
PLAYLISTS = (".m3u8", ".m3u")
SEGMENT_PATIENCE = 4  # factor on the time-out, because a playlist sends a segment of some seconds, then nothing
NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


@settings
class NetworkSource:
    """A live stream at an address.

    Attributes:
        url: rtsp, rtsps, http or https, with user name and password if the server needs them; see address.py.
        stream: its name in every output; by default host and path.
        transport: of RTSP. Over UDP, data gets lost in a busy network. FFmpeg does not notice if some of an H.265
            picture is lost; for H.264, Watchline does.
        open_timeout: seconds within which the server must answer.
        read_timeout: seconds of silence after which the stream counts as lost.

    Raises:
        SourceUnreadable: the address is not valid.
    """

    __pydantic_config__ = ConfigDict(hide_input_in_errors=True)  # the address may have a password in it

    url: str = Field(repr=False)
    stream: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout: float = Field(default=4.0, gt=0)
    read_timeout: float = Field(default=4.0, gt=0)
    live: ClassVar[Literal[True]] = True
    ends: ClassVar[bool] = False

    def __post_init__(self) -> None:
        address = parse(self.url)
        if not self.stream:
            object.__setattr__(self, "stream", address.stream)

    @property
    def name(self) -> str:
        """The address without credentials and query."""
        return parse(self.url).shown

    @contextmanager
    def open(self) -> Iterator[CameraReader]:
        """Connects, and decodes the first frame.

        Raises:
            SourceDenied: user name or password is wrong (they are sent once).
            SourceRefused: no server answers at the address.
            SourceNotFound: the server does not know the path.
            SourceUnsupported: the stream has no video that can be decoded here.
            SourceTimeout: no answer, or no picture.
            SourceLost: the server failed, or the connection broke.
        """
        address = parse(self.url)
        patience = SEGMENT_PATIENCE if address.path.lower().endswith(PLAYLISTS) else 1
        container = self._connect(address, patience)
        kind = container.format.name
        is_rtsp, is_hls = kind == "rtsp", kind == "hls"
        connection = Connection(
            container=container,
            stream=self.stream,
            name=address.shown,
            label=self._label,
            read_timeout=self.read_timeout * patience,
            explain=lambda error: self._explain(error, address, is_open=True),
            has_times=not container.format.flags & NO_TIMESTAMPS,
            is_paced=is_hls,
            # What has a size or a duration is a recording. HLS has a duration if its playlist has an end.
            ends=not is_rtsp
            and kind != "mpjpeg"
            and ((container.duration or 0) > 0 or (container.size > 0 and not is_hls)),
            may_lose=is_rtsp,
        )
        with reading(connection) as reader:
            yield reader

    @property
    def _label(self) -> str:
        return f"{self.stream}: the camera at {self.name}"

    def _connect(self, address: Address, patience: int) -> InputContainer:
        is_rtsp = address.scheme.startswith("rtsp")
        options = {
            "protocol_whitelist": PROTOCOLS[address.scheme],
            "analyzeduration": "0" if is_rtsp else ANALYSIS,
            "probesize": PROBE_SIZE["rtsp" if is_rtsp else "http"],
        }
        if is_rtsp:
            options |= {"rtsp_transport": self.transport, "timeout": str(int(self.open_timeout * 1e6))}
            options |= {"buffer_size": str(UDP_BUFFER)} if self.transport == "udp" else {}
        else:
            options |= {"live_start_index": "-1", "rw_timeout": str(int(self.read_timeout * patience * 1e6))}
        # With RTSP, FFmpeg ends a read after twice the time that is set.
        silence = self.read_timeout / 2 if is_rtsp else self.read_timeout * patience
        started = time.monotonic()
        try:
            return av.open(address.url, options=options, timeout=(self.open_timeout, silence))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            late = time.monotonic() - started >= self.open_timeout
            failure = self._late() if late else self._explain(error, address, is_open=False)
        raise failure from None  # outside `except`, or FFmpeg's error with the address would be its `__context__`

    def _late(self) -> SourceTimeout:
        return SourceTimeout(f"{self._label} did not answer within {self.open_timeout:g} s; check that it runs")

    def _explain(self, error: Exception, address: Address, is_open: bool) -> StreamError:
        """Convert an error of FFmpeg to a StreamError without credentials, neither in its text nor in its context."""
        label, number = self._label, getattr(error, "errno", None)
        server = address.shown.removeprefix(f"{address.scheme}://").partition("/")[0]
        match error:
            case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
                code = 401 if isinstance(error, av.error.HTTPUnauthorizedError) else 403
                return SourceDenied(f"{label} refused user name or password ({code}); check them")
            case av.error.HTTPNotFoundError():
                return SourceNotFound(f"{label} does not have this path (404); check what follows the host")
            case av.error.ExitError() | TimeoutError() if is_open:
                return SourceTimeout(f"{label} sent nothing for {self.read_timeout:g} s; check it and the network")
            case TimeoutError():
                return SourceTimeout(f"{label} did not answer within {self.open_timeout:g} s; check that it runs")
            case ConnectionRefusedError():
                return SourceRefused(f"{label} is not there: nothing listens at {server}; check host and port")
            case _ if number == errno.EPROTONOSUPPORT:
                return SourceUnsupported(
                    f"{label} does not send by {self.transport}; set transport to "
                    f"{'tcp' if self.transport == 'udp' else 'udp'}"
                )
        why = conceal(getattr(error, "strerror", None) or str(error), self.url)
        if is_open:
            return SourceLost(f"{label} broke off: {why}; check it and the network")
        if number in NO_WAY:
            return SourceRefused(f"{label} cannot be reached ({why}); check host and network")
        if number == errno.EIO and not _is_known(address.host):
            return SourceRefused(f"{label} is not there: no host of this name is known; check the name")
        if isinstance(error, av.error.HTTPError):
            return SourceLost(f"{label} failed: {why}; check its path and its log")
        if address.scheme.startswith("rtsp") and isinstance(error, av.error.InvalidDataError):
            return SourceLost(f"{label} broke off, or its answer makes no sense ({why}); check it and the path")
        if isinstance(error, av.error.InvalidDataError | ValueError):
            return SourceUnsupported(f"{label} sends nothing that is a video ({why}); check the path")
        return SourceUnreadable(f"{label} cannot be opened: {why}; check the address")


def _is_known(host: str) -> bool:
    """Whether the name of a host can be resolved. FFmpeg has the same error for this and for other failures."""
    try:
        socket.getaddrinfo(host.strip("[]"), None)
    except OSError:
        return False
    return True
