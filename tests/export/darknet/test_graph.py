"""Layers of the exported graph against slow loops that follow Darknet's C, also those that Debian's Darknet lacks."""

import darknet_nets as nets
import numpy as np
import pytest

from watchline.export.darknet import export as darknet
from watchline.export.request import Request

LABELS = ("cat", "cow", "dog")
PICTURES = np.stack([nets.picture(24, 16, seed) for seed in (1, 2)])


def around(tmp_path, layers, before=8):
    """What the last of some layers gives, and what the convolution before them gives it: (B, C, H, W)."""
    text = nets.cfg(nets.conv(before) + "".join(layers), width=24, height=16)
    model = darknet.export(*nets.write(tmp_path, text), Request("net", LABELS))
    last = f"{len(layers)}.{layers[-1][1 : layers[-1].index(']')]}"
    result = nets.values(model, PICTURES, ["0.convolutional", last])
    return result["0.convolutional"], result[last]


def reorg_cpu(x, stride):
    """`reorg_cpu` of blas.c with forward = 0, index by index, one picture at a time."""
    channels, height, width = x.shape
    flat, out, out_c = x.ravel(), np.empty(x.size, x.dtype), channels // stride**2
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                offset, c2 = divmod(k, out_c)
                w2, h2 = i * stride + offset % stride, j * stride + offset // stride
                out[i + width * (j + height * k)] = flat[w2 + width * stride * (h2 + height * stride * c2)]
    return out.reshape(channels * stride**2, height // stride, width // stride)


@pytest.mark.parametrize(("stride", "channels"), [(2, 4), (2, 8), (4, 16)])
def test_reorg_is_darknets_not_the_textbooks(tmp_path, stride, channels):
    x, got = around(tmp_path, [nets.section("reorg", stride=stride)], channels)
    np.testing.assert_array_equal(got, [reorg_cpu(picture, stride) for picture in x])
    blocks = x.reshape(2, channels, 16 // stride, stride, 24 // stride, stride).transpose(0, 3, 5, 1, 2, 4)
    assert not np.array_equal(got, blocks.reshape(got.shape))


def maxpool(x, size, stride, padding):
    """`forward_maxpool_layer`: cells beyond the edge are smaller than all."""
    channels, height, width = x.shape
    out_h, out_w = ((side + padding - size) // stride + 1 for side in (height, width))
    out = np.full((channels, out_h, out_w), -np.inf, x.dtype)
    for i in range(out_h):
        for j in range(out_w):
            for n in range(size):
                for m in range(size):
                    row, column = i * stride + n - padding // 2, j * stride + m - padding // 2
                    if 0 <= row < height and 0 <= column < width:
                        out[:, i, j] = np.maximum(out[:, i, j], x[:, row, column])
    return out


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 1, 1), (2, 2, 1), (3, 2, 2), (5, 1, 4), (3, 1, 2), (2, 2, 0), (3, 3, 0)]
)
def test_maxpool_pads_as_darknet(tmp_path, size, stride, padding):
    x, got = around(tmp_path, [nets.section("maxpool", size=size, stride=stride, padding=padding)])
    np.testing.assert_array_equal(got, [maxpool(picture, size, stride, padding) for picture in x])


ACTIVATIONS = {
    "relu6": lambda x: np.clip(x, 0, 6),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "loggy": lambda x: 2 / (1 + np.exp(-x)) - 1,
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "relie": lambda x: np.where(x > 0, x, 0.01 * x),
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "hardtan": lambda x: np.clip(x, -1, 1),
    "elu": lambda x: np.where(x >= 0, x, np.exp(x) - 1),
    "selu": lambda x: 1.0507 * np.where(x >= 0, x, 1.6732 * (np.exp(x) - 1)),
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(tmp_path, name):
    text = nets.cfg(nets.conv(8, activation=name), width=24, height=16)
    model = darknet.export(*nets.write(tmp_path, text), Request("net", LABELS))
    x, got = nets.values(model, PICTURES, ["0.convolutional.linear", "0.convolutional"]).values()
    assert x.min() < -1
    assert x.max() > 1
    np.testing.assert_allclose(got, ACTIVATIONS[name](x.astype(np.float64)), rtol=1e-5, atol=1e-6)


def test_a_shortcut_has_an_activation(tmp_path):
    text = nets.cfg(nets.conv(8) + nets.conv(8) + nets.section("shortcut", from_=-2, activation="mish"), width=24)
    model = darknet.export(*nets.write(tmp_path, text), Request("net", LABELS))
    pictures = nets.picture(24, 64)[None]
    a, b, got = nets.values(model, pictures, ["0.convolutional", "1.convolutional", "2.shortcut"]).values()
    np.testing.assert_allclose(got, ACTIVATIONS["mish"](a.astype(np.float64) + b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("groups", "group"), [(2, 1), (2, 0), (4, 3)])
def test_route_takes_a_part_of_each_layer(tmp_path, groups, group):
    layers = [nets.section("upsample", stride=1), nets.section("route", layers="-1,0", groups=groups, group_id=group)]
    x, got = around(tmp_path, layers)
    count = 8 // groups
    part = x[:, group * count : (group + 1) * count]
    np.testing.assert_array_equal(got, np.concatenate([part, part], axis=1))


@pytest.mark.parametrize("stride", [2, 3])
def test_upsample_repeats_cells(tmp_path, stride):
    x, got = around(tmp_path, [nets.section("upsample", stride=stride)])
    np.testing.assert_array_equal(got, x.repeat(stride, axis=2).repeat(stride, axis=3))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def slow_boxes(x, anchors, width, height, scale_xy=1.0):
    """[yolo]'s boxes and scores of one picture's (A * (5 + C), h, w), one cell after the other."""
    count = len(anchors)
    rows, columns = x.shape[1:]
    boxes, scores = [], []
    for values, (anchor_w, anchor_h) in zip(x.reshape(count, -1, rows, columns).astype(float), anchors, strict=True):
        for j in range(rows):
            for i in range(columns):
                tx, ty, tw, th, objectness, *classes = values[:, j, i]
                cx = (i + sigmoid(tx) * scale_xy - 0.5 * (scale_xy - 1)) * width / columns
                cy = (j + sigmoid(ty) * scale_xy - 0.5 * (scale_xy - 1)) * height / rows
                w, h = np.exp(tw) * anchor_w, np.exp(th) * anchor_h
                boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                scores.append(sigmoid(objectness) * sigmoid(np.array(classes)))
    return np.array(boxes), np.array(scores)


@pytest.mark.parametrize("scale_xy", [1, 1.05, 2])
def test_new_coordinates(tmp_path, scale_xy):
    """`get_yolo_box` with new_coords: nothing is activated, sides are (2x)². Anchors beyond num are passed over."""
    body = nets.conv(8, stride=2) + nets.conv(8, stride=2)
    head = nets.YOLO.replace("30,20", "30,20,99,99,7") + f"scale_x_y={scale_xy}\nnew_coords=1\n"
    text = nets.cfg(body, head, 24, 16).replace("activation=linear", "activation=logistic")
    model = darknet.export(*nets.write(tmp_path, text), Request("net", LABELS))
    got = nets.values(model, PICTURES, ["2.convolutional", "boxes", "scores"])
    for x, boxes, scores in zip(*got.values(), strict=True):
        expected = []
        for values, (w, h) in zip(x.reshape(2, 8, 4, 6).astype(float), [(10, 14), (30, 20)], strict=True):
            for j in range(4):
                for i in range(6):
                    tx, ty, tw, th, objectness, *classes = values[:, j, i]
                    cx = (i + tx * scale_xy - 0.5 * (scale_xy - 1)) * 4
                    cy = (j + ty * scale_xy - 0.5 * (scale_xy - 1)) * 4
                    half = tw * tw * 4 * w / 2, th * th * 4 * h / 2
                    box = [cx - half[0], cy - half[1], cx + half[0], cy + half[1]]
                    expected.append((box, objectness * np.array(classes)))
        np.testing.assert_allclose(boxes, [box for box, _ in expected], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(scores, [score for _, score in expected], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale_xy", [1, 1.05, 2])
def test_yolo_stretches_a_cells_reach(tmp_path, scale_xy):
    body = nets.conv(8, stride=2) + nets.conv(8, stride=2)
    head = nets.YOLO + f"scale_x_y={scale_xy}\n"
    model = darknet.export(*nets.write(tmp_path, nets.cfg(body, head, 24, 16)), Request("net", LABELS))
    got = nets.values(model, PICTURES, ["2.convolutional", "boxes", "scores"])
    for x, boxes, scores in zip(*got.values(), strict=True):
        expected = slow_boxes(x, [(10, 14), (30, 20)], 24, 16, scale_xy)
        np.testing.assert_allclose(boxes, expected[0], rtol=1e-5, atol=1e-3)
        np.testing.assert_allclose(scores, expected[1], rtol=0, atol=1e-6)
