"""Penn-Fudan's layout: photos in `images`, and a PNG of each one's name in `masks` (see ops/penn_fudan.py)."""

from pathlib import Path

PHOTOS, MASKS = "images", "masks"


def has_masks(folder: Path) -> bool:
    """Whether a folder has photos and masks."""
    return (folder / PHOTOS).is_dir() and (folder / MASKS).is_dir()


def mask_file(photo: Path) -> Path:
    """The masks of a photo in `images`."""
    return photo.parent.parent / MASKS / f"{photo.stem}.png"
