"""The families of detectors that other projects export, by name."""

from watchline.export.detectors import (
    deepstream,
    detr,
    nanodet,
    picodet,
    ppyoloe,
    rtdetr,
    sigmoid_detr,
    ssd,
    ultralytics,
    yolonas,
    yolov6,
    yolox,
)
from watchline.export.detectors.family import Family

FAMILIES: dict[str, Family] = {
    "yolox": yolox.FAMILY,
    "ultralytics": ultralytics.FAMILY,
    "yolov6": yolov6.FAMILY,
    "yolonas": yolonas.FAMILY,
    "deepstream": deepstream.FAMILY,
    "nanodet": nanodet.FAMILY,
    "picodet": picodet.FAMILY,
    "ppyoloe": ppyoloe.FAMILY,
    "ppyoloe-plus": ppyoloe.PLUS,
    "ssd": ssd.FAMILY,
    "detr": detr.FAMILY,
    "rtdetr": rtdetr.FAMILY,
    "rfdetr": sigmoid_detr.RFDETR,
    "deformable-detr": sigmoid_detr.DEFORMABLE,
}
"""What `--family` names."""
