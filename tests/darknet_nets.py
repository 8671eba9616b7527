"""Small Darknet networks for tests: Debian's .cfg files with fewer filters, and special ones, with seeded weights."""

import re
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet.cfg import Convolutional, DetectionHead, Shortcut

REGION = "[region]\nanchors=1,1.5,3,2\nnum=2\nclasses=3\ncoords=4\nsoftmax=1\n"
YOLO = "[yolo]\nmask=1,2\nanchors=4,5,10,14,30,20\nnum=3\nclasses=3\n"
HEAD_FILTERS = 2 * (5 + 3)


def cfg(body, head=REGION, width=64, height=64):
    """A .cfg with a linear 1 x 1 convolution before its head; `body` begins with the first [convolutional]."""
    last = conv(HEAD_FILTERS, 1, activation="linear", batch_normalize=0)
    return f"[net]\nwidth={width}\nheight={height}\nchannels=3\nbatch=1\nsubdivisions=1\n{body}{last}{head}"


def conv(filters, size=3, **options):
    """A [convolutional] section: padded, leaky and normalised by default."""
    values = {"filters": filters, "size": size, "stride": 1, "pad": 1, "activation": "leaky", "batch_normalize": 1}
    return section("convolutional", **(values | options))


def section(kind, **options):
    """Any section."""
    return "".join([f"[{kind}]\n", *(f"{key.rstrip('_')}={value}\n" for key, value in options.items())])


def thin(text, divisor, width, height):
    """A real .cfg with another input and with its filters divided, except for those before a head."""
    sections = re.split(r"(?m)^(?=\[)", text)
    for i, (part, after) in enumerate(pairwise(sections)):
        if part.startswith("[convolutional]") and not re.match(r"\[(region|yolo)\]", after):
            sections[i] = re.sub(r"(?m)^filters\s*=\s*(\d+)", lambda m: f"filters={max(4, int(m[1]) // divisor)}", part)
    text = "".join(sections)
    for key, value in {"width": width, "height": height, "batch": 1, "subdivisions": 1}.items():
        text = re.sub(rf"(?m)^{key}\s*=.*$", f"{key}={value}", text)
    return text


def write(folder, text, seed=0, version=(0, 2, 0)):
    """Write the two files of a network whose activations do not vanish in many layers. Returns: .cfg, .weights."""
    config, weights = Path(folder, "net.cfg"), Path(folder, "net.weights")
    config.write_text(text)
    with weights.open("wb") as file:
        file.write(header(*version))
        for values in numbers(config, seed):
            values.astype("<f4").tofile(file)
    return config, weights


def header(major=0, minor=2, revision=0, seen=12345):
    """The first bytes of a .weights file of a version."""
    return struct.pack("<3i", major, minor, revision) + struct.pack("<q" if major * 10 + minor >= 2 else "<i", seen)


def numbers(config, seed=0):
    """Seeded biases, scales, means, variances and kernels of each convolution, in the order of a .weights file."""
    rng = np.random.default_rng(seed)
    steps = darknet_layout.plan(darknet_cfg.read(config)).steps
    for step, after in pairwise(steps):
        if not isinstance(step.layer, Convolutional):
            continue
        n, inputs, area = step.layer.filters, step.inputs[0].channels // step.layer.groups, step.layer.size**2
        yield rng.normal(0, 0.1, n)
        if step.layer.batch_normalize:
            small = 0.3 if isinstance(after.layer, Shortcut) else 1  # or 23 shortcuts would each double them
            yield rng.uniform(0.5, 1.5, n) * small
            yield rng.normal(0, 0.1, n)
            yield rng.uniform(0.5, 1.5, n)
        spread = np.float32(
            (2 / (inputs * area)) ** 0.5 / (8 if isinstance(after.layer, DetectionHead) else 1)
        )  # logits of 1 or so
        for _ in range(n):  # a filter at a time: the full YOLOv2 has 200 MB of them
            yield rng.standard_normal(inputs * area, np.float32) * spread


def picture(width=64, height=64, seed=1):
    """Seeded noise (height, width, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def values(model, pictures, names):
    """Run an ONNX model and return any of its values by name."""
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    have = {output.name for output in model.graph.output}
    for name in set(names) - have:
        seen.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(seen.SerializeToString(), options)
    return dict(zip(names, session.run(names, {"images": pictures}), strict=True))


def heads(config):
    """Numbers of the layers that are heads."""
    layers = darknet_cfg.read(config).layers
    return [number for number, layer in enumerate(layers) if isinstance(layer, DetectionHead)]


def head_values(model, pictures, config):
    """The outputs of each head in Darknet's order: {layer: (B, anchors * (5 + classes), h, w)}."""
    plan = darknet_layout.plan(darknet_cfg.read(config))
    result = {}
    for number in heads(config):
        step = plan.steps[number]
        name = f"{number}.{type(step.layer).__name__.lower()}"
        names = [f"{name}/{part}" for part in ("offset", "wh", "p_object", "p_class")]
        parts = values(model, pictures, names).values()  # (B, A, h·w, 2 | 2 | 1 | C)
        rows = np.concatenate(list(parts), axis=-1).transpose(0, 1, 3, 2)
        result[number] = rows.reshape(len(pictures), -1, step.inputs[0].height, step.inputs[0].width)
    return result
