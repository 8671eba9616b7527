"""Login for RTSP and HTTP: by digest (RFC 7616), with MD5 and SHA-256, and Basic (RFC 7617)."""

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FFMPEG_KNOWS = ("MD5", "MD5-SESS")
BASIC = "BASIC"
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PART = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]*))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants to have signed.

    Attributes:
        algorithm: of a digest, as the server calls it, in capital letters; MD5 if it does not say. Or BASIC.
        parts: realm, nonce, opaque, qop, …
    """

    algorithm: str
    parts: Mapping[str, str]

    @property
    def is_known(self) -> bool:
        """Whether `sign` can sign it."""
        return self.algorithm == BASIC or self.algorithm in _HASHES

    @property
    def is_stale(self) -> bool:
        """Whether only the nonce of the last signature was too old: the password was right."""
        return self.parts.get("stale", "").lower() == "true"

    def sign(self, user: str, password: str, method: str, uri: str) -> str:
        """The value of the Authorization header of a request."""
        if self.algorithm == BASIC:
            return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        parts = self.parts
        signed = {"username": user, "realm": parts.get("realm", ""), "nonce": parts.get("nonce", ""), "uri": uri}
        middle = [signed["nonce"]]
        bare = {"algorithm": self.algorithm} if "algorithm" in parts else {}
        if "auth" in parts.get("qop", "").replace(" ", "").split(","):
            signed["cnonce"] = secrets.token_hex(8)
            bare |= {"nc": "00000001", "qop": "auth"}
            middle += [bare["nc"], signed["cnonce"], bare["qop"]]
        who = self._hash(f"{user}:{signed['realm']}:{password}")
        signed["response"] = self._hash(":".join([who, *middle, self._hash(f"{method}:{uri}")]))
        signed |= {"opaque": parts["opaque"]} if "opaque" in parts else {}
        quoted = [f'{name}="{value}"' for name, value in signed.items()]
        return "Digest " + ", ".join([*quoted, *(f"{name}={value}" for name, value in bare.items())])

    def _hash(self, text: str) -> str:
        return _HASHES[self.algorithm](text.encode()).hexdigest()


def challenges(headers: Sequence[str]) -> list[Challenge]:
    """The logins that a server offers, in its order. Args: the values of its WWW-Authenticate headers."""
    found = []
    for header in headers:
        if header.lower().startswith("digest "):
            parts = {name.lower(): quoted or bare for name, quoted, bare in _PART.findall(header)}
            found.append(Challenge(parts.get("algorithm", "MD5").upper(), parts))
        elif header.lower().startswith("basic"):
            found.append(Challenge(BASIC, {}))
    return found
