"""YOLOv2 on the CPU: our engine against OpenCV's DNN and torch.  python bench/yolov2_runtimes.py --cfg yolov2.cfg

The same network runs in four ways: the exported ONNX by our engine (uint8 pictures in, boxes and scores out); its part
from the float picture to the head's outputs by OpenCV; and that part as torch modules made from the same .cfg, in
torch's usual memory layout and with channels last. Batch normalisation is folded in all of them. Each converts one
uint8 picture to its input. Only ours decodes boxes, so the others have a little less to do.

Rows take turns in every round, so other work on the machine affects all of them equally. The ratio is the median, over
the rounds, of our time with the same number of threads divided by the row's: below 1, ours is faster.

Without --weights, the weights are random, which takes the same time. The .cfg of the published network is in Debian's
package darknet, and at github.com/pjreddie/darknet.
"""

import argparse
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from watchline import engines
from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import export as darknet
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet import weights as darknet_weights
from watchline.export.darknet.cfg import Convolutional, DetectionHead, Maxpool, Reorg, Route
from watchline.export.darknet.layout import LayerStep, Layout
from watchline.export.darknet.weights import Convolution
from watchline.export.request import Request

Image = NDArray[np.uint8]
AGREE = 1e-3  # allowed difference relative to the largest number, because runtimes sum in different orders


@dataclass(frozen=True)
class RuntimeRow:
    """One runtime with one number of threads. `run` runs the network on a picture (H, W, 3) uint8 BGR."""

    name: str
    threads: int
    run: Callable[[Image], object]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cfg", type=Path, required=True, help="of a YOLOv2, e.g. /usr/share/darknet/cfg/yolov2.cfg")
    parser.add_argument("--weights", type=Path, help="default: random ones")
    parser.add_argument("--imgsz", type=int, default=416, help="side of the square input (default 416)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    plan = darknet_layout.plan(darknet_cfg.read(args.cfg), (args.imgsz, args.imgsz))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        weights = args.weights or random_weights(folder / "random.weights", plan)
        file = folder / "net.onnx"
        labels = tuple(f"class {i}" for i in range(plan.classes))
        onnx.save(darknet.export(args.cfg, weights, Request("net", labels, plan.size)), file)
        rows = list(_rows(plan, weights, file, args.threads, stack))
        picture = np.random.default_rng(0).integers(0, 256, (args.imgsz, args.imgsz, 3), np.uint8)
        _print_table(rows, _measure(rows, picture, args.rounds))


def random_weights(path: Path, plan: Layout) -> Path:
    """Write a .weights file of seeded noise that keeps activations near 1."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(struct.pack("<3iq", 0, 2, 0, 0))
        for step in plan.steps:
            if not isinstance(step.layer, Convolutional):
                continue
            filters, inputs = step.layer.filters, step.inputs[0].channels // step.layer.groups * step.layer.size**2
            np.zeros(filters, np.float32).tofile(file)
            if step.layer.batch_normalize:  # scales, means, variances
                np.concatenate([np.full(filters, v, np.float32) for v in (1, 0, 1)]).tofile(file)
            for _ in range(filters):
                (rng.standard_normal(inputs, np.float32) * np.float32((2 / inputs) ** 0.5)).tofile(file)
    return path


class TorchNetwork(nn.Module):
    """YOLOv2 up to its head's inputs. Its input is (B, 3, H, W) RGB in 0..1."""

    def __init__(self, plan: Layout, weights: Iterator[Convolution]) -> None:
        super().__init__()
        self.steps = [step for step in plan.steps if not isinstance(step.layer, DetectionHead)]
        self.convolutions = nn.ModuleDict()
        for index, step in enumerate(self.steps):
            if isinstance(step.layer, Convolutional):
                self.convolutions[str(index)] = _convolution(step, next(weights))

    def forward(self, x: Tensor) -> Tensor:
        outputs: list[Tensor] = []
        for index, step in enumerate(self.steps):
            inputs = [outputs[read] if read >= 0 else x for read in step.reads]
            match step.layer:
                case Convolutional() as layer:
                    y = self.convolutions[str(index)](inputs[0])
                    outputs.append(F.leaky_relu(y, 0.1, inplace=True) if layer.activation == "leaky" else y)
                case Maxpool() as layer:
                    padded = _padded(inputs[0], layer.padding) if layer.stride < layer.size else inputs[0]
                    outputs.append(F.max_pool2d(padded, layer.size, layer.stride))
                case Route():
                    outputs.append(torch.cat(inputs, 1))
                case Reorg() as layer:
                    outputs.append(reorg(inputs[0], layer.stride))
                case layer:
                    raise SystemExit(f"{layer.where}: this benchmark supports YOLOv2 only, which has no such layer")
        return outputs[-1]


def _convolution(step: LayerStep, weights: Convolution) -> nn.Conv2d:
    layer = step.layer
    assert isinstance(layer, Convolutional)
    if layer.activation not in ("leaky", "linear"):
        raise SystemExit(f"{layer.where}: this benchmark supports leaky and linear, not {layer.activation}")
    conv = nn.Conv2d(step.inputs[0].channels, layer.filters, layer.size, layer.stride, layer.padding)
    conv.weight.data, conv.bias = torch.from_numpy(weights.kernel), nn.Parameter(torch.from_numpy(weights.bias))
    return conv


def _padded(x: Tensor, padding: int) -> Tensor:
    return F.pad(x, (padding // 2, padding - padding // 2) * 2, value=-torch.inf)


def reorg(x: Tensor, s: int) -> Tensor:
    """Darknet's reorg of (B, C, H, W)."""
    b, c, h, w = x.shape
    x = x.reshape(b, c // s**2, h, s, w, s).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, c * s**2, h // s, w // s)


def _rows(plan: Layout, weights: Path, file: Path, threads: list[int], stack: ExitStack) -> Iterator[RuntimeRow]:
    """The four rows for each number of threads, after a check that their outputs agree."""
    head = f"{len(plan.steps) - 2}.convolutional"
    picture = np.random.default_rng(1).integers(0, 256, (*plan.size, 3), np.uint8)
    network = TorchNetwork(plan, darknet_weights.convolutions(weights, plan)).eval()
    last = TorchNetwork(plan, darknet_weights.convolutions(weights, plan)).eval().to(memory_format=torch.channels_last)
    opencv = cv2.dnn.readNetFromONNX(str(_float_part(file, plan, head)))
    expected = _torch(network, picture, 1, torch.contiguous_format)
    for got in (_opencv(opencv, picture, 1), _torch(last, picture, 1, torch.channels_last)):
        if np.abs(got - expected).max() > AGREE * np.abs(expected).max():
            raise SystemExit("the runtimes' outputs differ: these are not the same network")
    for n in threads:
        engine = stack.enter_context(engines.load(file, "onnxruntime", plan.size, n))
        yield RuntimeRow(f"Watchline, {engine.runtime}", n, lambda p, engine=engine: engine.infer(p[None]))
        yield RuntimeRow(f"OpenCV {cv2.__version__} DNN", n, lambda p, n=n: _opencv(opencv, p, n))
        name = f"torch {torch.__version__}"
        yield RuntimeRow(name, n, lambda p, n=n: _torch(network, p, n, torch.contiguous_format))
        yield RuntimeRow(f"{name}, channels last", n, lambda p, n=n: _torch(last, p, n, torch.channels_last))


def _float_part(file: Path, plan: Layout, head: str) -> Path:
    """Write the graph from the float picture (1, 3, H, W) to the head's inputs, with every size fixed."""
    model = onnx.load(file)
    kept = []
    for node in model.graph.node:
        if node.output[0] not in ("float", "picture"):
            kept.append(node)
        if node.output[0] == head:
            break
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)
    width, height = plan.size
    last = plan.steps[-1].inputs[0]
    shapes = {"picture": [1, 3, height, width], head: [1, last.channels, last.height, last.width]}
    for values, (name, shape) in zip((model.graph.input, model.graph.output), shapes.items(), strict=True):
        values.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    part = file.with_name("part.onnx")
    onnx.save(model, part)
    return part


def _opencv(net: cv2.dnn.Net, picture: Image, threads: int) -> NDArray[np.float32]:
    cv2.setNumThreads(threads)
    net.setInput(cv2.dnn.blobFromImage(picture))
    return np.asarray(net.forward(), np.float32)


def _torch(net: TorchNetwork, picture: Image, threads: int, layout: torch.memory_format) -> NDArray[np.float32]:
    torch.set_num_threads(threads)
    with torch.inference_mode():
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].flip(1).to(torch.float32).div_(255)
        return net(x.contiguous(memory_format=layout)).numpy()


def _measure(rows: list[RuntimeRow], picture: Image, rounds: int) -> list[list[float]]:
    """Seconds by row and round, after a warm-up round."""
    turns = []
    for _ in range(rounds + 1):
        seconds = []
        for row in rows:
            start = time.perf_counter()
            row.run(picture)
            seconds.append(time.perf_counter() - start)
        turns.append(seconds)
    return [list(times) for times in zip(*turns[1:], strict=True)]


def _print_table(rows: list[RuntimeRow], seconds: list[list[float]]) -> None:
    print(f"medians of {len(seconds[0])} rounds\n")
    print(f"| {'runtime':<50} | threads | ms per picture | ours / its |")
    print(f"| {'-' * 50} | ------: | -------------: | ---------: |")
    for row, times in zip(rows, seconds, strict=True):
        ours = next(t for other, t in zip(rows, seconds, strict=True) if other.threads == row.threads)
        ratio = statistics.median(mine / its for mine, its in zip(ours, times, strict=True))
        print(f"| {row.name:<50} | {row.threads:7d} | {statistics.median(times) * 1000:14.1f} | {ratio:10.2f} |")


if __name__ == "__main__":
    main()
