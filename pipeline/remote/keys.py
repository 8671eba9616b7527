"""Key files: each host has a pair, `gpu.key` that stays there and `gpu.pub` for the others. Text, Z85."""

import logging
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from watchline.files import replacing
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.channel import Keys, new_keys, public_of

log = logging.getLogger(__name__)

SECRET, PUBLIC = "watchline secret key", "watchline public key"  # the first words of each kind of file
_Z85 = re.compile(rb"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")


def write_pair(name: Path) -> tuple[Path, Path]:
    """Make a pair of keys: NAME.key, which only its owner may read, and NAME.pub. Nothing is ever overwritten.

    Returns:
        the two files, the secret one first.

    Raises:
        ConfigError: one of the files is there already, or cannot be written.
    """
    secret_file, public_file = (name.with_name(f"{name.name}.{end}") for end in ("key", "pub"))
    public, secret = new_keys()
    try:
        with ExitStack() as made:  # both, or none
            for path in (secret_file, public_file):
                path.touch(exist_ok=False)  # so the name is ours, whoever else makes keys at this moment
                made.callback(path.unlink, missing_ok=True)
            with replacing(public_file) as public_part, replacing(secret_file) as secret_part:
                _write(secret_part, f"{SECRET} of {name.name}: it stays on this host", secret, 0o600)
                _write(public_part, f"{PUBLIC} of {name.name}: for the hosts that work with it", public, 0o644)
            made.pop_all()
    except FileExistsError:
        raise ConfigError(f"{path} is there already, and keys are never overwritten: choose another name") from None
    except OSError as error:
        raise ConfigError(f"{secret_file}: the key cannot be written: {error.strerror}") from None
    return secret_file, public_file


def read_keys(own: Path, peers: Sequence[Path]) -> Keys:
    """The keys of one side: its own secret key, and the public keys of the other side.

    Raises:
        ConfigError: a file is not such a key, or cannot be read.
    """
    secret = _read(own, SECRET)
    try:
        public_of(secret)
    except ValueError:
        raise ConfigError(f"{own}: the key in it is damaged: copy it again, or make a new pair") from None
    if own.stat().st_mode & 0o077:
        log.warning("%s: others on this host may read this secret key: chmod 600 %s", own, own)
    return Keys(secret, tuple(_read(peer, PUBLIC) for peer in peers))


def _write(path: Path, title: str, key: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(title.encode(errors="backslashreplace") + b"\n" + key + b"\n")


def _read(path: Path, kind: str) -> bytes:
    try:
        with path.open("rb") as file:
            title, key, *rest = file.read(4096).splitlines() or [b"", b""]
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be read: {error.strerror}; `watchline keys` makes a pair") from None
    except ValueError:  # a single line
        title, key, rest = b"", b"", []
    if title.startswith(kind.encode()) and _Z85.fullmatch(key) and not any(rest):
        return key
    other = {SECRET: "a public one, NAME.pub", PUBLIC: "a secret one, NAME.key"}[kind]
    wrong = title.startswith((PUBLIC if kind == SECRET else SECRET).encode())
    what = f"is {other}" if wrong else "is not a key"
    expected = f"{kind.removeprefix('watchline ')}, {'NAME.key' if kind == SECRET else 'NAME.pub'}"
    raise ConfigError(f"{path} {what}: expected a {expected}, as `watchline keys NAME` writes it")
