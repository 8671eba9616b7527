"""Where what can be made again is kept: built plans, downloaded weights."""

import os
from pathlib import Path

from watchline.engines.errors import RequestRefused

VARIABLE = "WATCHLINE_CACHE"


def where(*parts: str) -> Path:
    """The path of the folder, or of folders inside it: WATCHLINE_CACHE, or else `watchline` in XDG_CACHE_HOME, or else
    ~/.cache/watchline.
    """
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(VARIABLE) or Path(home, "watchline"), *parts)


def cache_folder(*parts: str) -> Path:
    """The same, made if it is not there, for its owner alone: plans in it are native code that will be run.

    Raises:
        RequestRefused: it cannot be made.
    """
    folder = where(*parts)
    try:
        folder.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RequestRefused(
            f"{folder}: the cache folder cannot be made ({error.strerror}); name another by {VARIABLE}"
        ) from error
    return folder
