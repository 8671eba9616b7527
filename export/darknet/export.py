"""A detector of Darknet, .cfg and .weights, as one ONNX file under the contract of engines: YOLOv2, v3, v4 and kin.

    model = darknet.export(Path("yolov2.cfg"), Path("yolov2.weights"), Request("yolov2"))
    onnx.save(model, "yolov2.onnx")

No torch is needed. The way there: darknet_text and darknet_cfg read what the layers are, darknet_layout lays them out,
darknet_weights reads the numbers and darknet_graph writes the graph.
"""

from pathlib import Path

import onnx

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.export.class_names import labels_for
from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import graph as darknet_graph
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet import weights as darknet_weights
from watchline.export.darknet.cfg import Convolutional, Layer, Route, Yolo
from watchline.export.digest import sha256
from watchline.export.request import Request

# Darknet's letterbox is 0.5 of 255, and 127 what it makes of that itself when it saves a picture.
GREY = (127, 127, 127)


def export(cfg: Path, weights: Path, request: Request) -> onnx.ModelProto:
    """The detector in FP32, with its metadata.

    Input `images` (batch, height, width, 3) uint8 BGR, a picture letterboxed in the middle; outputs `boxes`
    (batch, N, 4) and `scores` (batch, N, C) float32, where a score is P(object) · P(class). Height and width are free
    for square networks whose layers divide them exactly, else fixed at the .cfg's or the request's size.

    Args:
        cfg, weights: the two files.
        request: name, labels (without any, VOC's for 20 classes and COCO's for 80) and size.

    Raises:
        CheckpointNotFound: one of the files is missing.
        CheckpointRefused: a file is something else or broken, the two do not belong together, or the network has a
            part that cannot be exported.
        ExportRefused: the labels or the size that are asked for do not fit.
    """
    plan = darknet_layout.plan(darknet_cfg.read(cfg), request.size)
    labels = labels_for(plan.classes, request.labels, {}, plan.name)
    model = darknet_graph.build(plan, darknet_weights.convolutions(weights, plan))
    about = Metadata(
        name=request.name,
        task="detect",
        labels=labels,
        imgsz=max(plan.size),
        stride=plan.stride,
        resize="letterbox-darknet",
        checkpoint=sha256(weights),
        figures={},
        pad=GREY,
    )
    metadata.write(model, about)
    if request.resize is None and any(_of_the_fork(step.layer) for step in plan.steps):
        model.doc_string = (
            "taken for Darknet's: letterbox in the middle; AlexeyAB's fork, whose layers it has, stretches without "
            "letter_box=1: --resize stretch"
        )
    onnx.checker.check_model(model)
    return model


def _of_the_fork(layer: Layer) -> bool:
    """Whether only AlexeyAB's fork of Darknet knows such a layer."""
    match layer:
        case Yolo():
            return layer.new_coords or layer.scale_xy != 1
        case Route():
            return layer.groups > 1
        case Convolutional():
            return layer.activation in ("mish", "swish")
    return False
