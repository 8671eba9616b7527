"""Debian's Darknet as the reference: it runs a network on a picture, in its own process, because it exits on errors.

with Darknet() as truth:
    result = truth.run(cfg, weights, picture, classes=20, layers=[15])
"""

import ctypes
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE

import numpy as np

LIBRARY = Path("/usr/lib/darknet/libdarknet.so")
CONFIGS = Path("/usr/share/darknet/cfg")
MISSING = f"no {LIBRARY}: Debian's package darknet is not installed"


class _Image(ctypes.Structure):
    _fields_ = [("w", ctypes.c_int), ("h", ctypes.c_int), ("c", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_float))]


class _Box(ctypes.Structure):
    _fields_ = [(name, ctypes.c_float) for name in "xywh"]


class _Detection(ctypes.Structure):
    _fields_ = [
        ("box", _Box),
        ("classes", ctypes.c_int),
        ("prob", ctypes.POINTER(ctypes.c_float)),
        ("mask", ctypes.POINTER(ctypes.c_float)),
        ("objectness", ctypes.c_float),
        ("sort_class", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Result:
    """Darknet's outputs for a picture.

    Attributes:
        layers: outputs (C, H, W) float32 by the layers' numbers.
        boxes: (N, 4) xyxy in the picture's pixels.
        scores: (N, C), 0 where too low or suppressed.
        network_input: (H, W, 3) BGR in 0..255, not rounded.
    """

    layers: dict[int, np.ndarray]
    boxes: np.ndarray
    scores: np.ndarray
    network_input: np.ndarray


class Darknet:
    """The process. It loads the library, and the hundred that this one needs, once for all calls."""

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name, "stderr").open("w+")
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=self._errors, text=True)
        return self

    def __exit__(self, *_):
        with self._process:
            self._process.stdin.close()
        self._errors.close()
        self._folder.cleanup()

    def run(self, cfg, weights, picture, classes, layers=(), *, letterbox=False, thresh=0.1, nms=None):
        """What Darknet makes of one picture.

        Args:
            picture: (H, W, 3) uint8 BGR of the network's size; of any size with `letterbox`, Darknet's own.
            classes: of the network.
            layers: numbers of the layers to return.
            thresh, nms: of Darknet's boxes; without nms, all of them in its own order.
        """
        job = Path(self._folder.name, "job.json")
        np.save(job.with_name("picture.npy"), picture)
        about = {"cfg": str(cfg), "weights": str(weights), "classes": classes, "layers": list(layers)}
        job.write_text(json.dumps(about | {"letterbox": letterbox, "thresh": thresh, "nms": nms}))
        self._process.stdin.write(f"{job}\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "done\n":  # it exits on errors
            raise AssertionError(Path(self._folder.name, "stderr").read_text()[-2000:])
        with np.load(job.with_name("result.npz")) as result:
            numbered = {int(name): result[name] for name in result.files if name.isdigit()}
            return Result(numbered, *(result[name] for name in ("boxes", "scores", "network_input")))


def _main():
    lib = _open()
    for line in sys.stdin:
        _run(lib, Path(line.strip()))
        sys.stdout.write("done\n")
        sys.stdout.flush()


def _run(lib, job):
    about = json.loads(job.read_text())
    bgr = np.load(job.with_name("picture.npy"))
    height, width = bgr.shape[:2]
    rgb = np.ascontiguousarray((bgr[..., ::-1].astype(np.float32) / 255).transpose(2, 0, 1))
    net = lib.load_network(about["cfg"].encode(), about["weights"].encode(), 0)
    lib.set_batch_network(net, 1)
    image = _Image(width, height, 3, rgb.ctypes.data_as(ctypes.POINTER(ctypes.c_float)))
    if about["letterbox"]:
        image = lib.letterbox_image(image, lib.network_width(net), lib.network_height(net))
    assert (image.w, image.h) == (lib.network_width(net), lib.network_height(net))
    network_input = (
        np.ctypeslib.as_array(image.data, (3, image.h, image.w)).transpose(1, 2, 0)[..., ::-1] * 255
    )  # a copy
    lib.network_predict(net, image.data)
    result = {}
    for number in about["layers"]:
        layer = lib.get_network_image_layer(net, number)
        result[str(number)] = np.ctypeslib.as_array(layer.data, (layer.c, layer.h, layer.w)).copy()
    boxes, scores = _boxes(lib, net, (width, height), about["classes"], about["thresh"], about["nms"])
    lib.free_network(net)
    np.savez(job.with_name("result.npz"), boxes=boxes, scores=scores, network_input=network_input, **result)


def _open():
    lib = ctypes.CDLL(str(LIBRARY))
    net, number, real, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_char_p
    signatures = {
        "load_network": (net, [text, text, number]),
        "free_network": (None, [net]),
        "set_batch_network": (None, [net, number]),
        "letterbox_image": (_Image, [_Image, number, number]),
        "network_width": (number, [net]),
        "network_height": (number, [net]),
        "network_predict": (ctypes.POINTER(real), [net, ctypes.POINTER(real)]),
        "get_network_image_layer": (_Image, [net, number]),
        "get_network_boxes": (
            ctypes.POINTER(_Detection),
            [net, number, number, real, real, ctypes.c_void_p, number, ctypes.POINTER(number)],
        ),
        "do_nms_sort": (None, [ctypes.POINTER(_Detection), number, number, real]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _boxes(lib, net, size, classes, thresh, nms):
    count = ctypes.c_int()
    found = lib.get_network_boxes(net, *size, thresh, 0.5, None, 1, ctypes.byref(count))
    if nms is not None:
        lib.do_nms_sort(found, count.value, classes, nms)
    boxes = [[getattr(found[i].box, key) for key in "xywh"] for i in range(count.value)]
    boxes = np.array(boxes).reshape(-1, 4) * (*size, *size)
    xy, half = boxes[:, :2], boxes[:, 2:] / 2
    scores = np.array([found[i].prob[:classes] for i in range(count.value)]).reshape(-1, classes)
    return np.concatenate([xy - half, xy + half], axis=1), scores


if __name__ == "__main__":
    _main()
