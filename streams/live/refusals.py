"""What a camera's refusal means, in one line: FFmpeg's error, and what the relay heard, in words for its user."""

import errno
import socket
import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urljoin

import av.error

from watchline.streams.address import RECEIVED, Address, conceal, parse
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
from watchline.streams.live.digest import FFMPEG_KNOWS, challenges
from watchline.streams.live.relay import LONGEST, Heard
from watchline.text import printable

NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)
REDIRECTS = 5  # that are followed
ADVICE = {
    400: "it does not understand the request: check what follows the host",
    453: "it has no bandwidth left: close other viewers, or take a smaller stream",
    454: "it has lost the session: restart it if this stays",
    461: "set transport to the other of tcp and udp",
    503: "it has too many viewers, or is starting",
}


def refusal(error: Exception, address: Address, label: str, transport: str, heard: Heard) -> StreamError:
    """The error to raise where a connection could not be opened, without credentials.

    Args:
        error: of FFmpeg.
        label: of the source.
        heard: what the camera answered; nothing of HTTP.
    """
    number = getattr(error, "errno", None)
    if heard.place:
        try:
            address = parse(urljoin(f"{address.scheme}://{address.server}/", heard.place))
        except StreamError:
            return SourceUnreadable(f"{label} sends us on to what is not an address; check its settings")
        label += f" sends us on to {address.shown}, which"
    status = (0 if heard.place else heard.status) or _status(error)  # who sends us on did not refuse
    code = f" ({status})" if status else ""
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            if status == 401 and address.user is None and not heard.place:
                return SourceDenied(f"{label} wants user name and password{code}; write them before the host")
            if heard.offers and not any(offer.is_known or offer.algorithm in FFMPEG_KNOWS for offer in heard.offers):
                return SourceDenied(
                    f"{label} takes only a login that is not known here{code}, the digest {heard.offers[0].algorithm}; "
                    "set it to MD5 or SHA-256"
                )
            return SourceDenied(f"{label} refused user name or password{code}; check them")
        case av.error.HTTPNotFoundError():
            return SourceNotFound(f"{label} does not have this path (404); check what follows the host")
        case TimeoutError():
            return SourceTimeout(f"{label} does not answer; check that it runs")
        case ConnectionRefusedError():
            return SourceRefused(f"{label} is not there: nothing listens at {address.server}; check host and port")
        case _ if number == errno.EPROTONOSUPPORT:
            other = "tcp" if transport == "udp" else "udp"
            return SourceUnsupported(f"{label} does not send by {transport}; set transport to {other}")
    why = conceal(getattr(error, "strerror", None) or str(error), address.url)
    if number in NO_WAY:
        return SourceRefused(f"{label} cannot be reached ({why}); check host and network")
    if number == errno.EIO and not _is_known(address.host):
        return SourceRefused(f"{label} is not there: no host of this name is known; check the name")
    if heard.refusal and not heard.place:
        return SourceLost(f"{label} refused {heard.refusal}; {ADVICE.get(status, 'check its path and its log')}")
    if isinstance(error, av.error.HTTPError):
        return SourceLost(f"{label} failed: {why}; {ADVICE.get(status, 'check its path and its log')}")
    if address.scheme.startswith("rtsp") and isinstance(error, av.error.InvalidDataError | PermissionError):
        return SourceLost(f"{label} broke off, or its answer makes no sense ({why}); check it and the path")
    if isinstance(error, av.error.InvalidDataError) and address.scheme in RECEIVED:
        return SourceUnsupported(f"{label} gets something else than MPEG-TS; check what is sent to it")
    if isinstance(error, av.error.InvalidDataError | ValueError):
        return SourceUnsupported(f"{label} sends nothing that is a video ({why}); check the path")
    return SourceUnreadable(f"{label} cannot be opened: {why}; check the address")


def heard_by_http(address: Address, timeout: float) -> Heard:
    """What a web server answers to a request without credentials, and where it sends us on to."""
    heard, place = Heard(), f"{address.scheme}://{address.server}{address.request}"
    for _ in range(REDIRECTS):
        try:
            there = parse(place)
            server = _server(there, timeout)
            with closing(server):
                server.request("GET", there.request)
                answer = server.getresponse()
        except (OSError, HTTPException, StreamError):
            break
        heard.offers = challenges(answer.headers.get_all("www-authenticate") or [])
        if answer.status >= 400 and answer.status != 401:  # which may be for want of credentials
            heard.status, heard.refusal = (
                answer.status,
                f"GET: {printable(f'{answer.status} {answer.reason}')[:LONGEST]}",
            )
        location = answer.headers.get("location")
        if not 300 <= answer.status < 400 or not location:
            break
        place = heard.place = urljoin(place, location)
    return heard


def _server(address: Address, timeout: float) -> HTTPConnection:
    if address.scheme != "https":
        return HTTPConnection(address.server, timeout=timeout)
    # As FFmpeg has it: cameras sign their certificates themselves.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(address.server, timeout=timeout, context=context)


def _status(error: Exception) -> int:
    for kind, status in (
        (av.error.HTTPBadRequestError, 400),
        (av.error.HTTPUnauthorizedError, 401),
        (av.error.HTTPForbiddenError, 403),
        (av.error.HTTPNotFoundError, 404),
    ):
        if isinstance(error, kind):
            return status
    return 0


def _is_known(host: str) -> bool:
    """Whether the name of a host can be resolved. FFmpeg has the same error for this and for other failures."""
    try:
        socket.getaddrinfo(host.strip("[]"), None)
    except OSError:
        return False
    return True
