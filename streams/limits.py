"""How large a picture may be. Larger ones are refused before memory is allocated for them."""

from watchline.streams.errors import SourceUnreadable

MAX_PIXELS = 200_000_000
"""Pixels of a picture, unless a setting says otherwise. The largest sensors of phones have as many."""


def check_pixels(name: object, width: int, height: int, limit: int) -> None:
    """Check the size that the header of a file declares.

    Raises:
        SourceUnreadable: the picture has more pixels than `limit`.
    """
    if width * height > limit:
        raise SourceUnreadable(
            f"{name} declares {width} x {height} pixels: expected {limit} at most; "
            f"if you trust it, set --max-pixels {width * height}"
        )
