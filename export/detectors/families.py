"""The families of detectors that other projects export, by name."""

from watchline.export.detectors import detr, nanodet, picodet, ssd, ultralytics, yolox
from watchline.export.detectors.family import Family

FAMILIES: dict[str, Family] = {
    "yolox": yolox.FAMILY,
    "ultralytics": ultralytics.FAMILY,
    "nanodet": nanodet.FAMILY,
    "picodet": picodet.FAMILY,
    "ssd": ssd.FAMILY,
    "detr": detr.FAMILY,
}
"""What `--family` names."""
