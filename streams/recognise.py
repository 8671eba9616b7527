"""What a file is that is not a video, by its first bytes, and what to do with it instead."""

import re
from pathlib import Path

HEAD = 4096  # bytes that are looked at
# How the lists begin that players open. Their names say nothing: an .mp4 may be one.
_PLAYLIST = re.compile(
    r"#EXTM3U|ffconcat version|\[playlist\]|\[Reference\]|v=0\r?\n|<(\?xml[^>]*>\s*<)?(!--.*?-->\s*<)?"
    r"(MPD|SmoothStreamingMedia|asx|smil|CompositionPlaylist|playlist)\b",
    re.IGNORECASE | re.DOTALL,
)
# HEIC and AVIF. FFmpeg opens them, but a single tile of them is a video to it. Animated ones have other brands.
_HEIF = re.compile(rb"....ftyp(hei[cxms]|mif[123]|avif)", re.DOTALL)
_CONFIGS = (".toml", ".yaml", ".yml", ".json", ".ini", ".cfg", ".conf")


def what_instead(path: Path) -> str | None:
    """What a file that is not a container is, what was expected, and what to do; None if its first bytes do not say.

    Args:
        path: of the file; it can be read.
    """
    with path.open("rb") as file:
        text = _text(file.read(HEAD))
    if text is None:
        return None
    if _PLAYLIST.match(text.lstrip()):
        return (
            "is a playlist, a text that names other files: expected a video; name those files (`run` plays HLS by http)"
        )
    if path.suffix.lower() == ".toml":
        return "is a config: expected a video; give it with --config"
    if path.suffix.lower() in _CONFIGS:
        return f"is a text file ({path.suffix}): expected a video; a config is TOML, and given with --config"
    first = text.strip().partition("\n")[0].strip()
    if re.match(r"(rtsps?|https?)://", first):
        return (
            "is a list of addresses: expected a video; give the addresses to `watchline run`, or a config with streams"
        )
    if first and _exists(first, path.parent):
        return f"is a list of names: expected a video; give the names: xargs -d '\\n' watchline annotate < '{path}'"
    return "is a text file: expected a video"


def _exists(name: str, folder: Path) -> bool:
    """Whether there is such a file, from here or from the folder of the list."""
    try:
        return Path(name).exists() or (folder / name).exists()
    except OSError:  # too long for a name
        return False


def is_heif(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a HEIC or AVIF photo."""
    return bool(_HEIF.match(head))


def _text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "ignore")
    if re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", head):
        return None
    return head.decode("utf-8-sig", "replace")
