"""Addresses of cameras, as a user types them. Their credentials are used, but never shown.

    rtsp://user:password@host:554/path?query     also rtsps, http, https, rtmp
    udp://:5000 or udp://239.0.0.1:5000          MPEG-TS that is sent to this host or to a group; also rtp
    0 or /dev/video0                             a camera of this machine (V4L2)

A password may be written as it is, or percent-encoded (RFC 3986). If a password contains a slash, the address is read
correctly only if no other reading makes sense. Otherwise the error says what to write instead.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from watchline.streams.errors import SourceUnreadable

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp", "rtp")
RECEIVED = ("udp", "rtp")  # the host is where data comes to, not a server
ANY_HOST = "0.0.0.0"  # data is received there, nothing is served
HIDDEN = "***"
# Query values of one to five letters ("1", "main") are hidden only next to their key, because they occur in any text.
SHORTEST_SECRET = 6
NAME_LENGTH = 80

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_DEVICE = re.compile(r"(?:/dev/video)?(\d+)")
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.%]+\]|[^\s:\[\]@]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)
# Some recorders take the login in the path: /user=admin&password=secret&channel=1
_LOGIN_IN_PATH = re.compile(r"\b((?:user(?:name)?|pass(?:word|wd)?|pwd|token|key|auth|secret)=)[^&/;]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A network address in its parts. User and password are decoded, no longer encoded. Both or neither are given.

    Attributes:
        scheme: one of SCHEMES, in lower case.
        host: a name, an IPv4 address, or an IPv6 address in brackets.
        port: None for the scheme's default port.
        path: with its leading slash, as it was written; may be empty.
    """

    scheme: str
    host: str
    port: int | None
    path: str = field(repr=False)
    query: str = field(default="", repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """scheme://host:port/path, without credentials: safe to show."""
        return f"{self.scheme}://{self.server}{without_login(self.path)}"

    @property
    def url(self) -> str:
        """The complete address with its credentials, encoded so that only one reading is possible."""
        # Without a colon, FFmpeg would not send the user's name.
        login = "" if self.user is None else f"{quote(self.user, safe='')}:{quote(self.password or '', safe='')}"
        return f"{self.scheme}://{login}{'@' if self.user is not None else ''}{self.server}{self._tail}"

    @property
    def request(self) -> str:
        """What a request asks for: path and query."""
        return self._tail if self.path else f"/{self._tail}"

    @property
    def stream(self) -> str:
        """A name for the stream that is also valid as a file name: host and path, without credentials."""
        bare = _LOGIN_IN_PATH.sub("", unquote(self.path))
        return re.sub(r"[^\w.-]+", "-", f"{self.host}{bare}").strip("-._")[:NAME_LENGTH] or "camera"

    @property
    def _tail(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def server(self) -> str:
        """host:port, or the host alone."""
        return self.host if self.port is None else f"{self.host}:{self.port}"


def is_live(text: str) -> bool:
    """Whether a text that a user typed names a camera or a network stream, not a file."""
    return bool(_SCHEME.match(text) or _DEVICE.fullmatch(text))


def device_of(text: str) -> str | None:
    """The path of the device that a text names, e.g. "/dev/video0" for "0"; None if it names no device."""
    found = _DEVICE.fullmatch(text)
    return f"/dev/video{int(found[1])}" if found else None


def parse(url: str) -> Address:
    """Split an address into its parts.

    Raises:
        SourceUnreadable: the text is not an address, or can be read in two ways. The error shows only its scheme.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise SourceUnreadable("an address without a scheme: expected rtsp://host/path, or rtsps, http, https")
    kind = scheme[1].lower()
    if kind == "file":
        raise SourceUnreadable("file:// names a file of this machine: give its path alone, /folder/clip.mp4")
    if kind not in SCHEMES:
        raise SourceUnreadable(
            f"{kind}:// addresses cannot be read: expected one of {', '.join(SCHEMES)}; a relay such as MediaMTX, or "
            "`ffmpeg -i ADDRESS -c copy -f mpegts udp://127.0.0.1:5000`, makes one of the other"
        )
    login, rest = _split_login(kind, url[scheme.end() :])
    if kind in RECEIVED:
        login, rest = None, f"{ANY_HOST}{rest}" if rest.startswith(":") else rest  # some players write udp://@host
    head, tail = _cut(rest)
    server = _HOST.fullmatch(head)
    if server is None or not 0 < int(server["port"] or 1) < 65536:
        raise SourceUnreadable(
            f"the {kind}:// address has no host, or its port is not valid: expected {kind}://user:password@host:port/path"
        )
    path, _, query = tail.partition("#")[0].partition("?")
    user, _, password = login.partition(":") if login is not None else (None, "", "")
    return Address(
        scheme=kind,
        host=server["host"],
        port=int(server["port"]) if server["port"] else None,
        path=path,
        query=query,
        user=None if user is None else unquote(user),
        password=None if user is None else unquote(password),
    )


def without_login(path: str) -> str:
    """The path of an address, without the password that it contains for some recorders."""
    return _LOGIN_IN_PATH.sub(rf"\g<1>{HIDDEN}", path)


def conceal(text: str, url: str) -> str:
    """Remove every credential of an address from a text: login, password and values of the query, encoded or not.

    Args:
        text: any text, e.g. an error message of a library that contains the address.
        url: the address as it was typed. If it cannot be parsed, all of it is hidden.
    """
    try:
        address = parse(url)
    except SourceUnreadable:
        return text if url.endswith("://") else text.replace(url, HIDDEN)
    text = text.replace(url, address.shown).replace(address.url, address.shown)
    typed = _split_login(address.scheme, url[url.index("://") + 3 :])[0] or ""
    secrets = {typed, unquote(typed), typed.partition(":")[2]}
    if address.password:
        secrets |= {address.password, quote(address.password), quote(address.password, safe="")}
    for pair in re.split("[&;]", address.query):
        key, equals, value = pair.partition("=")
        secrets |= {pair, unquote(pair)} if equals and value else set()
        secrets |= {value, unquote(value)} if len(value) >= SHORTEST_SECRET else set()
        secrets |= {key, unquote(key)} if not equals and len(key) >= SHORTEST_SECRET else set()
    for found in _LOGIN_IN_PATH.finditer(address.path):
        secrets |= {found[0], unquote(found[0])}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def conceal_all(text: str, arguments: Iterable[str]) -> str:
    """Remove from a text every credential of the addresses among the arguments."""
    for argument in arguments:
        if _SCHEME.match(argument):
            text = conceal(text, argument)
    return text


def _split_login(kind: str, rest: str) -> tuple[str | None, str]:
    """The login before the @ of an address (None if there is none), and the text after it."""
    head, tail = _cut(rest)
    login, at, host = head.rpartition("@")
    if "@" not in tail:
        return (login if at else None), host + tail
    if ":" not in head:
        return None, rest  # there is no password, and the @ belongs to the path
    if not _HOST.fullmatch(host):
        login, _, rest = rest.rpartition("@")  # what looks like a port is part of a password with a slash
        return login, rest
    raise SourceUnreadable(
        f"the {kind}:// address can be read in two ways: in a password write / as %2F, after the host write @ as %40"
    )


def _cut(rest: str) -> tuple[str, str]:
    """The text before the first of / ? #, and the text from there on."""
    end = re.search(r"[/?#]|$", rest)
    assert end is not None, "$ always matches"
    return rest[: end.start()], rest[end.start() :]
