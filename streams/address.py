"""What a user types as a camera: an address with its credentials, which are used, and never shown.

    rtsp://user:password@host:554/path?query     also rtsps, http, https
    0 or /dev/video0                             a camera at this machine (V4L2)

A password may be written as it is, or percent-encoded (RFC 3986). Where it has a slash, that is only told from the end
of the host if no second reading makes sense; the error says what to write instead.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from watchline.streams.errors import SourceUnreadable

SCHEMES = ("rtsp", "rtsps", "http", "https")
HIDDEN = "***"
# Query values of one to five letters ("1", "main") are hidden beside their key only: they stand in any text.
TELLING = 6
NAME_LENGTH = 80

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_DEVICE = re.compile(r"(?:/dev/video)?(\d+)")
_HOST = re.compile(r"(?P<host>\[[0-9a-f:.%]+\]|[^\s:\[\]@]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)
# Some recorders take the login in the path: /user=admin&password=secret&channel=1
_LOGIN_IN_PATH = re.compile(r"\b((?:user(?:name)?|pass(?:word|wd)?|pwd|token|key|auth|secret)=)[^&/;]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A network address in its parts; user, password and query as they are meant, no longer percent-encoded.

    Attributes:
        scheme: of SCHEMES, in lower case.
        host: a name, an IPv4 address, or an IPv6 address in brackets.
        port: None for the scheme's own.
        path: with its slash, as it was written; may be empty.
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
        """scheme://host:port/path, fit to be read by anybody."""
        return f"{self.scheme}://{self._place}{without_login(self.path)}"

    @property
    def url(self) -> str:
        """The whole address with its credentials, encoded so that it can be read in one way only."""
        login = "" if self.user is None else quote(self.user, safe="")
        if self.password is not None:
            login += ":" + quote(self.password, safe="")
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{login}{'@' if self.user is not None else ''}{self._place}{self.path}{query}"

    @property
    def stream(self) -> str:
        """A name for the stream that can be a file's: host and path, without what is hidden."""
        bare = _LOGIN_IN_PATH.sub("", unquote(self.path))
        return re.sub(r"[^\w.-]+", "-", f"{self.host}{bare}").strip("-._")[:NAME_LENGTH] or "camera"

    @property
    def _place(self) -> str:
        return self.host if self.port is None else f"{self.host}:{self.port}"


def is_live(word: str) -> bool:
    """Whether a word that a user typed means a camera or a network stream, and no file."""
    return bool(_SCHEME.match(word) or _DEVICE.fullmatch(word))


def device_of(word: str) -> str | None:
    """The path of the device that a word means, e.g. "/dev/video0" for "0"; None if it means none."""
    found = _DEVICE.fullmatch(word)
    return f"/dev/video{int(found[1])}" if found else None


def parse(url: str) -> Address:
    """The parts of an address.

    Raises:
        SourceUnreadable: it cannot be an address, or can be read in two ways. Nothing of it but its scheme is shown.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise SourceUnreadable("an address without a scheme: expected rtsp://host/path, or rtsps, http, https")
    kind = scheme[1].lower()
    if kind not in SCHEMES:
        raise SourceUnreadable(f"{kind}:// addresses cannot be read: expected one of {', '.join(SCHEMES)}")
    login, rest = _split_login(kind, url[scheme.end() :])
    head, tail = _cut(rest)
    place = _HOST.fullmatch(head)
    if place is None or not 0 < int(place["port"] or 1) < 65536:
        raise SourceUnreadable(
            f"the {kind}:// address has no host, or a port that is none: expected {kind}://user:password@host:port/path"
        )
    path, _, query = tail.partition("#")[0].partition("?")
    user, colon, password = login.partition(":") if login is not None else (None, "", "")
    return Address(
        scheme=kind,
        host=place["host"],
        port=int(place["port"]) if place["port"] else None,
        path=path,
        query=query,
        user=None if user is None else unquote(user),
        password=unquote(password) if colon else None,
    )


def without_login(path: str) -> str:
    """The path of an address, without the password that some recorders take in it."""
    return _LOGIN_IN_PATH.sub(rf"\g<1>{HIDDEN}", path)


def conceal(text: str, url: str) -> str:
    """The text without any credential of the address: login, password and values of the query, encoded or not.

    Args:
        text: any, e.g. an error of a library that has the address in it.
        url: as it was typed; one that cannot be parsed is hidden as a whole.
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
        secrets |= {value, unquote(value)} if len(value) >= TELLING else set()
        secrets |= {key, unquote(key)} if not equals and len(key) >= TELLING else set()
    for found in _LOGIN_IN_PATH.finditer(address.path):
        secrets |= {found[0], unquote(found[0])}
    for secret in sorted(secrets - {""}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def conceal_all(text: str, words: Iterable[str]) -> str:
    """The text without any credential of those of the words that are addresses."""
    for word in words:
        if _SCHEME.match(word):
            text = conceal(text, word)
    return text


def _split_login(kind: str, rest: str) -> tuple[str | None, str]:
    """What stands before the @ of an address, None if nothing does, and what follows it."""
    head, tail = _cut(rest)
    login, at, host = head.rpartition("@")
    if "@" not in tail:
        return (login if at else None), host + tail
    if ":" not in head:
        return None, rest  # there is no password, and the @ is one of the path
    if not _HOST.fullmatch(host):
        login, _, rest = rest.rpartition("@")  # what looks like a port is none, but a part of a password with a slash
        return login, rest
    raise SourceUnreadable(
        f"the {kind}:// address can be read in two ways: in a password write / as %2F, after the host write @ as %40"
    )


def _cut(rest: str) -> tuple[str, str]:
    """Before and from the first of / ? #."""
    end = re.search(r"[/?#]|$", rest)
    assert end is not None, "$ always matches"
    return rest[: end.start()], rest[end.start() :]
