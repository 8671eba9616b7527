"""The networks that gpu.py measures: made once in a folder, with seeded random weights for those that do not ship.

python bench/gpu_models.py FOLDER    # makes all of them beforehand; gpu.py finds them by --work FOLDER
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import onnx

from watchline.engines import zoo
from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import export as darknet
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet.layout import Layout
from watchline.export.precision.fp16 import half
from watchline.export.request import Request
from watchline.files import replacing

LABELS = tuple(f"class {n}" for n in range(20))
CFG = "yolov2.cfg"
SIDE = 608  # of YOLOv2's input
LITE_SIDE = 320  # of Faster R-CNN's
ANCHORS = "1.3221,1.73145,3.19275,4.00944,5.05587,8.09892,9.47112,4.84053,11.2364,10.0071"
DARKNET_19 = "32 M 64 M 128 64* 128 M 256 128* 256 M 512 256* 512 256* 512 M 1024 512* 1024 512* 1024 1024 1024"
"""The paper's table and two more layers: filters of 3 x 3 convolutions (with a star: 1 x 1); M is a pooling."""


def yolov2(folder: Path) -> Path:
    """YOLOv2 for VOC at 608 pixels: 51 million weights, 63 billion operations per picture."""

    def make(file: Path) -> None:
        plan, weights = yolov2_weights(folder)
        onnx.save(darknet.export(folder / CFG, weights, Request("yolov2", LABELS, plan.size)), file)

    return _once(folder / "yolov2-608.onnx", make)


def yolov2_weights(folder: Path) -> tuple[Layout, Path]:
    """YOLOv2 in Darknet's form: its layout, and its .weights."""
    from yolov2_runtimes import random_weights  # needs torch

    folder.mkdir(parents=True, exist_ok=True)
    (folder / CFG).write_text(_yolov2_cfg())
    plan = darknet_layout.plan(darknet_cfg.read(folder / CFG), (SIDE, SIDE))
    return plan, _once(folder / "yolov2.weights", lambda file: random_weights(file, plan))


def faster_rcnn(folder: Path) -> Path:
    """Faster R-CNN on EfficientNet-Lite0 at 320 pixels, as trained by `watchline train faster-rcnn`."""

    def make(file: Path) -> None:
        import torch

        from watchline.export.pytorch import faster_rcnn as exporter
        from watchline.models.faster_rcnn import SCALES, FasterRCNN, RegionSettings
        from watchline.models.faster_rcnn import SIDE as USUAL
        from watchline.models.lite_trunk import LiteTrunk

        torch.manual_seed(0)
        scales = tuple(scale * LITE_SIDE / USUAL for scale in SCALES)
        checkpoint = folder / "faster-rcnn-lite0.pt"
        torch.save(FasterRCNN(LiteTrunk(), len(LABELS), RegionSettings(scales=scales)).state_dict(), checkpoint)
        onnx.save(exporter.export(checkpoint, Request("faster-rcnn-lite0", LABELS)), file)

    return _once(folder / "faster-rcnn-lite0-320.onnx", make)


def in_half(full: Path, folder: Path) -> Path:
    """A model with its layers in FP16."""
    return _once(folder / f"{full.stem}-fp16.onnx", lambda file: onnx.save(half(onnx.load(full)), file))


def _once(file: Path, make: Callable[[Path], None]) -> Path:
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as part:
            make(part)
    return file


def _yolov2_cfg() -> str:
    """The .cfg of YOLOv2, with the passthrough from the last layer of stride 16."""
    parts = [f"[net]\nwidth={SIDE}\nheight={SIDE}\nchannels=3\nbatch=1\nsubdivisions=1\n"]
    for item in DARKNET_19.split():
        parts.append("[maxpool]\nsize=2\nstride=2\n" if item == "M" else _conv(int(item.strip("*")), item[-1] != "*"))
    heads = 5 * (5 + len(LABELS))
    parts += ["[route]\nlayers=-9\n", _conv(64, False), "[reorg]\nstride=2\n", "[route]\nlayers=-1,-4\n", _conv(1024)]
    parts.append(f"[convolutional]\nfilters={heads}\nsize=1\nstride=1\npad=1\nactivation=linear\n")
    parts.append(f"[region]\nanchors={ANCHORS}\nclasses={len(LABELS)}\ncoords=4\nnum=5\nsoftmax=1\n")
    return "\n".join(parts)


def _conv(filters: int, wide: bool = True) -> str:
    size = 3 if wide else 1
    return f"[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize={size}\nstride=1\npad=1\nactivation=leaky\n"


def _make(number: int, folder: Path) -> Path:
    return in_half((yolov2, faster_rcnn)[number](folder), folder)


if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        for made in pool.map(_make, (0, 1), [Path(sys.argv[1])] * 2):
            print(made)
    in_half(zoo.find(zoo.DEFAULT), Path(sys.argv[1]))
