"""Reading .weights: every float is used, and what does not fit is named before anything is read."""

import darknet_nets as nets
import numpy as np
import pytest

from watchline.export.darknet import cfg as darknet_cfg
from watchline.export.darknet import export as darknet
from watchline.export.darknet import layout as darknet_layout
from watchline.export.darknet import weights as darknet_weights
from watchline.export.errors import CheckpointNotFound, CheckpointRefused
from watchline.export.request import Request

BODY = nets.conv(8) + nets.section("maxpool", size=2, stride=2) + nets.conv(6, groups=2)


@pytest.fixture
def net(tmp_path):
    config, weights = nets.write(tmp_path, nets.cfg(BODY))
    return darknet_layout.plan(darknet_cfg.read(config)), weights


def read(net):
    plan, weights = net
    return list(darknet_weights.convolutions(weights, plan))


def test_batch_normalisation_is_folded(net):
    numbers = [values.astype(np.float32) for values in nets.numbers(net[1].with_suffix(".cfg"))]
    shapes = [(8, 3, 3, 3), (6, 4, 3, 3), (16, 6, 1, 1)]
    x = np.random.default_rng(0).normal(size=16)
    for got, shape in zip(read(net), shapes, strict=True):
        filters = shape[0]
        bias, numbers = numbers[0], numbers[1:]
        scale, mean, variance = np.ones(filters), np.zeros(filters), np.ones(filters)
        if filters != 16:  # the last one is linear, without normalisation
            (scale, mean, variance), numbers = numbers[:3], numbers[3:]
        kernel, numbers = np.concatenate(numbers[:filters]).reshape(shape), numbers[filters:]
        assert got.kernel.shape == shape
        assert got.kernel.dtype == got.bias.dtype == np.float32
        # any sum s of products becomes (s - mean) / (sqrt(variance) + 1e-6) * scale + bias
        s = x[:filters]
        normalised = (s - mean) / (np.sqrt(variance.astype(float)) + 1e-6) * scale + bias
        factor = got.kernel.reshape(filters, -1)[:, 0] / kernel.reshape(filters, -1)[:, 0]
        np.testing.assert_allclose(s * factor + got.bias, normalised, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(got.kernel, kernel * factor[:, None, None, None], rtol=1e-5, atol=1e-7)
    assert not numbers


@pytest.mark.parametrize(
    ("version", "size"), [((0, 1, 0), 16), ((0, 2, 0), 20), ((0, 2, 5), 20), ((1, 0, 0), 20), ((0, 0, 7), 16)]
)
def test_headers(tmp_path, version, size):
    config, weights = nets.write(tmp_path, nets.cfg(BODY), version=version)
    assert len(nets.header(*version)) == size
    plan = darknet_layout.plan(darknet_cfg.read(config))
    for ours, expected in zip(
        read((plan, weights)), read((plan, nets.write(tmp_path, nets.cfg(BODY))[1])), strict=True
    ):
        np.testing.assert_array_equal(ours.kernel, expected.kernel)
        np.testing.assert_array_equal(ours.bias, expected.bias)


TOTAL = 8 * (4 + 3 * 9) + 6 * (4 + 4 * 9) + 16 * (1 + 6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data + bytes(40), rf"10 floats and 0 bytes are left: it holds {TOTAL + 10}, .* takes {TOTAL}"),
        (lambda data: data[:-8], rf"2 floats are missing: it holds {TOTAL - 2}, .* takes {TOTAL}; .* cut"),
        (lambda data: data + b"\0", f"0 floats and 1 bytes are left: it holds {TOTAL}"),
        (lambda data: data[:20], f"{TOTAL} floats are missing: it holds 0"),
        (lambda data: data[:18], f"{TOTAL + 1} floats are missing"),
        (lambda data: data[:7], "holds 7 bytes of something else; expected a Darknet .weights"),
        (lambda data: b"", "holds 0 bytes of something else"),
        (lambda data: b"<html><body>404 Not Found</body></html>", "holds an HTML or XML page, as a failed download"),
        (lambda data: nets.cfg(BODY).encode(), r"holds text; .* \(were .cfg and .weights swapped\?\)"),
        (lambda data: b"PK\x03\x04" + data, "holds a ZIP archive or a PyTorch checkpoint"),
        (lambda data: bytes(range(200, 256)) * 9, "bytes of something else"),
        (lambda data: data[:20] + b"\xff" * 8 + data[28:], r"2 of 8 numbers of .*line 7, \[convolutional\] are NaN"),
        (lambda data: data[:116] + np.float32(-1).tobytes() + data[120:], "a variance of .* is -1; expected none"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_one_line(net, change, says):
    weights = net[1]
    weights.write_bytes(change(weights.read_bytes()))
    with pytest.raises(CheckpointRefused, match=says) as error:
        read(net)
    assert str(error.value).startswith(str(weights))
    assert "\n" not in str(error.value)


def test_sizes_are_checked_before_anything_is_allocated(tmp_path):
    config, weights = nets.write(tmp_path, nets.cfg(BODY))
    huge = nets.cfg(nets.conv(65536, 4095, padding=4000) + nets.conv(65536, 4095, pad=0, padding=4000), width=64)
    config.write_text(huge.replace("batch_normalize=1", "batch_normalize=0"))
    plan = darknet_layout.plan(darknet_cfg.read(config))
    with pytest.raises(CheckpointRefused, match=r"7\d{16} floats are missing"):
        read((plan, weights))


def test_files_that_were_swapped_or_are_missing(net, tmp_path):
    config, weights = tmp_path / "net.cfg", net[1]
    with pytest.raises(CheckpointRefused, match=r"net.weights: it holds binary data; .* swapped"):
        darknet.export(weights, config, Request("net", ("a", "b", "c")))
    with pytest.raises(CheckpointNotFound, match=r"other.weights: there is no such file; expected a Darknet .weights"):
        darknet.export(config, tmp_path / "other.weights", Request("net", ("a", "b", "c")))
    with pytest.raises(CheckpointRefused, match=r"cannot be read"):
        darknet.export(config, tmp_path, Request("net", ("a", "b", "c")))
