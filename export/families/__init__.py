from watchline.export.families import detr, nanodet, picodet, ssd, ultralytics, yolox
from watchline.export.families.family import Family

FAMILIES: dict[str, Family] = {
    "yolox": yolox.FAMILY,
    "ultralytics": ultralytics.FAMILY,
    "nanodet": nanodet.FAMILY,
    "picodet": picodet.FAMILY,
    "ssd": ssd.FAMILY,
    "detr": detr.FAMILY,
}
"""What `--family` names."""
