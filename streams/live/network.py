"""A camera in the network: RTSP, HTTP (MJPEG, HLS, MPEG-TS, FLV, …), RTMP, and MPEG-TS by UDP or RTP."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import ClassVar, Literal

import av
import av.error
from av.container import InputContainer
from pydantic import ConfigDict, Field

from watchline.settings import settings
from watchline.streams.address import RECEIVED, Address, conceal, parse
from watchline.streams.container import has_times
from watchline.streams.errors import SourceLost, SourceTimeout, SourceUnsupported, StreamError
from watchline.streams.live.connection import TIMEOUT, Connection
from watchline.streams.live.reader import CameraReader, reading
from watchline.streams.live.refusals import heard_by_http, refusal
from watchline.streams.live.relay import Heard, relay

# The protocols that FFmpeg may use. None of them opens a local file, whatever a server or its playlist says.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,udp,tcp,tls",
    "http": "http,https,httpproxy,tcp,tls,crypto",
    "https": "http,https,httpproxy,tcp,tls,crypto",
    "rtmp": "rtmp,tcp",
    "udp": "udp",
    "rtp": "rtp,udp",
}
FORMATS = {"udp": "mpegts", "rtmp": "flv"}  # of the protocols that have one; what comes by UDP is from anybody
# Bytes that FFmpeg reads to recognise the codecs. By default it reads more than it needs, which delays the first
# picture: RTSP announces its format, others need some bytes. fflags=nobuffer is not set, because it would discard these
# bytes, and with them the first key frame.
PROBE_SIZE = {"rtsp": "32", "rtsps": "32"}
MORE_TO_PROBE = "500000"
ANALYSIS = "100000"  # microseconds of video that FFmpeg may read after that; 0 would mean five seconds and more
FORMAT_PROBE_SIZE = "32768"  # bytes that say which format it is; small JPEGs come slowly
JPEGS = "mjpeg"  # the format that finds JPEGs in anything, one picture late; for what lacks boundaries or headers
INVENTED_SIZE = (1 << 31) - 1  # bytes
UDP_BUFFER = 4 << 20  # bytes of the socket buffer, enough for all packets of a large picture
PLAYLISTS = (".m3u8", ".m3u")
SEGMENT_PATIENCE = 4  # factor on the time-out, because a playlist sends a segment of some seconds, then nothing
BUSY = 503  # what some cameras answer while they still close the connection before
CLOSING = 0.5  # seconds that they get for it
ANSWERS = 6  # that RTSP needs before the first picture
Failures = (av.error.FFmpegError, OSError, ValueError)


@settings
class NetworkSource:
    """A live stream at an address.

    Attributes:
        url: rtsp, rtsps, http, https, rtmp, udp or rtp, with user name and password if the server needs them; see
            address.py.
        stream: its name in every output; by default host and path.
        transport: of RTSP. Over UDP, data gets lost in a busy network. FFmpeg does not notice if some of an H.265
            picture is lost; for H.264, Watchline does.
        open_timeout: seconds within which the server must answer; RTSP asks for several answers.
        read_timeout: seconds of silence after which the stream counts as lost.

    Raises:
        SourceUnreadable: the address is not valid.
    """

    __pydantic_config__ = ConfigDict(hide_input_in_errors=True)  # the address may have a password in it

    url: str = Field(repr=False)
    stream: str = ""
    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout: float = Field(default=TIMEOUT, gt=0)
    read_timeout: float = Field(default=TIMEOUT, gt=0)
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
        with ExitStack() as opened:
            yield self._reader(address, opened)

    @property
    def _label(self) -> str:
        return f"{self.stream}: the camera at {self.name}"

    def _reader(self, address: Address, opened: ExitStack) -> CameraReader:
        try:
            return self._read(address, FORMATS.get(address.scheme), opened)
        except SourceUnsupported as unsupported:
            failure = unsupported
        if address.scheme.startswith("http"):
            try:
                return self._read(address, JPEGS, opened)
            except StreamError:  # then it is not that
                raise failure from None
        raise failure

    def _read(self, address: Address, format: str | None, opened: ExitStack) -> CameraReader:
        container = self._connect(address, format, opened)
        kind = container.format.name
        is_web = address.scheme.startswith("http")
        # What has a size or a duration has an end. HLS has a duration if its playlist has an end; the size is the
        # playlist's. Cameras that send JPEGs invent a size, and some others a very large one.
        has_size = 0 < container.size < INVENTED_SIZE and kind not in ("hls", "mpjpeg", "mjpeg")
        ends = (is_web and has_size) or (kind != "flv" and (container.duration or 0) > 0)
        connection = Connection(
            container=container,
            stream=self.stream,
            name=address.shown,
            label=self._label,
            read_timeout=self.read_timeout * _patience(address),
            explain=self._explain,
            has_times=has_times(container),
            is_paced=kind == "hls" or (ends and is_web),
            ends=ends,
            may_lose=not is_web and kind != "flv",
        )
        return opened.enter_context(reading(connection))

    def _connect(self, address: Address, format: str | None, opened: ExitStack) -> InputContainer:
        """Connect; if the camera refuses, ask what it said, and try again with a login that FFmpeg does not know."""
        heard = Heard()
        for pause in (0.0, CLOSING):
            time.sleep(pause)
            started = time.monotonic()
            try:
                return self._open(address, address.url, format)
            except Failures as error:
                failure: Exception = error
            is_answer = isinstance(failure, av.error.HTTPError | ConnectionRefusedError)
            late = not is_answer and time.monotonic() - started >= self.open_timeout
            if late or address.scheme != "rtsp":
                break
            if isinstance(failure, av.error.HTTPServerError) and not pause:
                continue  # who is only busy needs no relay
            container, heard, failure = self._relayed(address, format, opened, failure)
            if container:
                return container
            if heard.status != BUSY:
                break
        if address.scheme.startswith("http") and not late:
            heard = heard_by_http(address, self.open_timeout)
            if heard.untried and address.user is not None and not heard.place:
                signed = heard.untried.sign(address.user, address.password or "", "GET", address.request)
                try:
                    url = replace(address, user=None).url
                    return self._open(address, url, format, {"headers": f"Authorization: {signed}\r\n"})
                except Failures as error:
                    failure = error
        # Outside `except`, or FFmpeg's error with the address would be its `__context__`.
        raise self._late(address) if late else refusal(failure, address, self._label, self.transport, heard) from None

    def _relayed(
        self, address: Address, format: str | None, opened: ExitStack, failure: Exception
    ) -> tuple[InputContainer | None, Heard, Exception]:
        """Connect through a relay that knows more logins, and hears what the camera says.

        Returns: the connection, None if there is none; what was heard; of this failure and the relay's, the one that
            says more.
        """
        knows_password = not isinstance(failure, av.error.HTTPUnauthorizedError)
        heard = Heard()
        try:
            between = opened.enter_context(relay(address, self.open_timeout, knows_password))
            heard = between.heard
            return self._open(address, between.url, format), heard, failure
        except Failures as error:
            if knows_password and isinstance(error, av.error.HTTPUnauthorizedError):  # the first one says more
                heard = Heard(place=heard.place)
            elif heard.refusal:
                failure = error
        return None, heard, failure

    def _open(
        self, address: Address, url: str, format: str | None, more: dict[str, str] | None = None
    ) -> InputContainer:
        scheme = address.scheme
        is_rtsp = scheme.startswith("rtsp")
        silence = self.read_timeout * _patience(address)
        options = {
            "protocol_whitelist": PROTOCOLS[scheme],
            "analyzeduration": "0" if is_rtsp else ANALYSIS,
            "probesize": PROBE_SIZE.get(scheme, MORE_TO_PROBE),
        }
        if is_rtsp:  # its time-out is for each answer, PyAV's for all of them
            options |= {"rtsp_transport": self.transport, "timeout": str(int(self.open_timeout * 1e6))}
            options |= {"buffer_size": str(UDP_BUFFER)} if self.transport == "udp" else {}
            # With RTSP, FFmpeg ends a read after twice the time that is set.
            timeout = ANSWERS * self.open_timeout, self.read_timeout / 2
            return av.open(url, options=options, timeout=timeout, metadata_errors="replace")
        if scheme in RECEIVED:
            options |= {"buffer_size": str(UDP_BUFFER)}
            options |= {"overrun_nonfatal": "1"} if scheme == "udp" else {}
        else:
            options |= {"rw_timeout": str(int(silence * 1e6))}
        if scheme.startswith("http"):
            options |= {"live_start_index": "-1", "formatprobesize": FORMAT_PROBE_SIZE, **(more or {})}
        timeout = self.open_timeout, silence
        return av.open(url, format=format, options=options, timeout=timeout, metadata_errors="replace")

    def _late(self, address: Address) -> SourceTimeout:
        if address.scheme in RECEIVED:
            return SourceTimeout(
                f"{self._label} got nothing within {self.open_timeout:g} s; check that MPEG-TS is sent to it"
            )
        return SourceTimeout(
            f"{self._label} did not answer within {self.open_timeout:g} s; check that it runs, or set a longer timeout"
        )

    def _explain(self, error: Exception) -> StreamError:
        """Convert an error of FFmpeg, while it reads, to a StreamError without credentials."""
        if isinstance(error, av.error.ExitError | TimeoutError):
            silence = f"sent nothing for {self.read_timeout * _patience(parse(self.url)):g} s"
            return SourceTimeout(f"{self._label} {silence}; check it and the network, or set a longer timeout")
        why = conceal(getattr(error, "strerror", None) or str(error), self.url)
        if isinstance(error, av.error.InvalidDataError):
            return SourceUnsupported(f"{self._label} sends what makes no sense ({why}); check it and its path")
        return SourceLost(f"{self._label} broke off: {why}; check it and the network")


def _patience(address: Address) -> int:
    return SEGMENT_PATIENCE if address.path.lower().endswith(PLAYLISTS) else 1
