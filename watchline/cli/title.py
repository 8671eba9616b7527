"""The process's title: any user of the machine sees the command line in `ps`, and it may hold a camera's password."""

import logging
import re
import sys
from collections.abc import Sequence

from watchline.streams.address import HIDDEN, without_login

log = logging.getLogger(__name__)

_ADDRESS = re.compile(r"(?s)(\w[\w+.-]*://)(.*@)?([^?]*)(\?.*)?")
_LOGIN = re.compile(r"[^\s'\"/:=]+:(?!//)[^\s'\"]*@")  # of an address whose scheme was forgotten or mistyped


def conceal_command_line(words: Sequence[str] | None = None) -> None:
    """Takes user names, passwords and queries of addresses out of what `ps` and /proc show of this process.

    To be called before anything slow. What a password was in until then, some tens of milliseconds, cannot be helped:
    who cannot allow that names a config that says `${NAME}`.

    Args:
        words: the command line; the interpreter's own if None.
    """
    words = sys.orig_argv if words is None else words
    shown = [concealed(word) for word in words]
    if shown == list(words):
        return
    from setproctitle import getproctitle, setproctitle  # here, as few commands need it

    title = " ".join(shown)
    setproctitle(title)
    if getproctitle() != title:
        log.warning("the command line cannot be changed here, so that `ps` shows the addresses in it; use a config")


def concealed(word: str) -> str:
    """`rtsp://user:password@host/path?key=1` as `rtsp://***@host/path?***`; an address may stand within the word.

    A password may hold any letter, so all up to the last @ is taken for one.
    """
    return _LOGIN.sub(f"{HIDDEN}@", _ADDRESS.sub(lambda found: _without_secrets(*found.groups()), word))


def concealed_text(text: str, typed: Sequence[str] | None = None) -> str:
    """A message that may quote what was typed, with each word in it as `concealed` has it.

    Args:
        typed: the command line; the program's own if None.
    """
    for word in sys.argv[1:] if typed is None else typed:
        for part in (word, word.partition("=")[2]):
            shown = concealed(part)
            if shown != part:
                text = text.replace(part, shown).replace(repr(part)[1:-1], shown)
    return text


def _without_secrets(scheme: str, user: str | None, place: str, query: str | None) -> str:
    return f"{scheme}{f'{HIDDEN}@' if user else ''}{without_login(place)}{f'?{HIDDEN}' if query else ''}"
