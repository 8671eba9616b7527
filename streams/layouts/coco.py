"""COCO's layout: `annotations/instances_SPLIT.json`, or Roboflow's `SPLIT/_annotations.coco.json`.

Photos are in `SPLIT`, `images/SPLIT` or `images`; Roboflow's are next to the JSON.
"""

from pathlib import Path
from typing import Any

INSTANCES, ROBOFLOW = "instances_", "_annotations.coco.json"
FARTHEST = 1e6  # pixels of a coordinate


def splits(folder: Path) -> dict[str, Path]:
    """The JSON of each split, by the split's name; empty if the folder is in another layout."""
    files = sorted(folder.glob(f"annotations/{INSTANCES}*.json")) or sorted(folder.glob(f"*/{ROBOFLOW}"))
    return {split_of(file): file for file in files}


def split_of(file: Path) -> str:
    """The name of the split that a JSON is of."""
    return file.absolute().parent.name if file.name == ROBOFLOW else file.stem.removeprefix(INSTANCES)


def photos_of(file: Path, folder: Path, split: str) -> Path:
    """The folder of a split's photos: the first that is there. Args: file, the JSON; folder, of the data."""
    if file.name == ROBOFLOW:
        return file.parent
    usual = (folder / split, folder / "images" / split, folder / "images")
    return next((path for path in usual if path.is_dir()), folder)


def is_inside(name: object) -> bool:
    """Whether a photo's name, maybe with folders, stays in the folder of the photos."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = Path(name)
    return bool(path.name) and not path.is_absolute() and ".." not in path.parts


def is_box(bbox: Any) -> bool:
    """Whether it is four numbers of pixels, none beyond FARTHEST; JSON has whole numbers that no float holds."""
    return (
        isinstance(bbox, list)
        and len(bbox) == 4
        and all(type(side) in (int, float) and -FARTHEST <= side <= FARTHEST for side in bbox)  # NaN is not
    )
