"""What a file is, by its bytes: the real kinds of checkpoint, and what people name by mistake."""

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from models_onnx import tiny_detector
from onnx import TensorProto, helper

from watchline.export import recognise as module
from watchline.export.errors import CheckpointNotFound, CheckpointRefused
from watchline.export.recognise import cfg_and_weights, look, recognise

CFG = b"# a comment\n\n[net]\nwidth=32\nheight=32\n\n[convolutional]\nfilters=2\n"
WEIGHTS = struct.pack("<iiiq", 0, 2, 5, 32013312) + np.arange(8, dtype="<f4").tobytes()
OLD_WEIGHTS = struct.pack("<iiii", 0, 1, 0, 32013312) + np.arange(8, dtype="<f4").tobytes()


def foreign_onnx():
    """Somebody else's detector, with weights of a megabyte and metadata of its own."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [512, 512], bytes(2**20), raw=True)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 512])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 512])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    model = helper.make_model(graph, producer_name="somebody")
    model.metadata_props.add(key="names", value="{0: 'person'}")
    return model.SerializeToString()


def torch_file(value, **how):
    buffer = io.BytesIO()
    torch.save(value, buffer, **how)
    return buffer.getvalue()


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def tarred():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return buffer.getvalue()


TORCH = torch_file({"weight": torch.zeros(3)})
OLD_TORCH = torch_file({"weight": torch.zeros(3)}, _use_new_zipfile_serialization=False)
ONNX = foreign_onnx()


@pytest.fixture
def put(tmp_path):
    """Writes files, named without a suffix that could tell anything."""

    def write(*contents):
        paths = [tmp_path / f"file{number}" for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return paths

    return write


@pytest.mark.parametrize(
    ("contents", "kind"),
    [
        ([CFG, WEIGHTS], "darknet"),
        ([WEIGHTS, CFG], "darknet"),
        ([CFG, OLD_WEIGHTS], "darknet"),
        ([b"\xef\xbb\xbf[network]\r\nwidth=32\r\n", WEIGHTS], "darknet"),
        ([b"[net]\n" + "# Größe\n".encode() * 2000, WEIGHTS], "darknet"),
        ([TORCH], "torch"),
        ([OLD_TORCH], "torch"),
        ([ONNX], "onnx"),
    ],
    ids=["cfg first", "weights first", "old header", "BOM and CRLF", "long, with umlauts", "zip", "old pickle", "onnx"],
)
def test_a_checkpoint_is_known_by_its_content(put, contents, kind):
    assert recognise(put(*contents)) == kind


@pytest.mark.parametrize("turned", [False, True])
def test_the_network_of_a_pair_comes_first(put, turned):
    paths = put(*([WEIGHTS, CFG] if turned else [CFG, WEIGHTS]))
    assert cfg_and_weights(paths) == tuple(reversed(paths) if turned else paths)
    with pytest.raises(CheckpointRefused, match=r"it is torch; expected a Darknet \.cfg with its \.weights"):
        cfg_and_weights(put(TORCH))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<!DOCTYPE html>\n<html><body>403", "an HTML page; get the file itself"),
        (b"\n  <HTML lang=en>", "an HTML page; get the file itself"),
        (b'{"message": "Not Found"}', "a JSON file; get the file itself"),
        (b'<?xml version="1.0"?>\n<net name="x" version="11">', "an OpenVINO model (.xml); expected a Darknet"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied', "an XML file; expected a Darknet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer, not the file itself"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file (Keras .h5 or Caffe); export the model to ONNX"),
        (b"\x1c\0\0\0TFL3" + bytes(99), "a TensorFlow Lite model; export the model to ONNX"),
        (b'name: "VGG"\nlayer {\n  name: "data"\n}', "a Caffe network (.prototxt); export the model to ONNX"),
        (b"7767517\n75 83\nInput data 0 1 data\n", "an ncnn network (.param); name the ONNX it was made from"),
        (b"ftrt" + bytes(range(99)), "a TensorRT plan; it is an engine already"),
        (b"person\ncar\n", "a text file; expected a Darknet"),
        (b"\x93NUMPY\x01\0" + bytes(99), "a NumPy array; in Python, torch.save"),
        (zipped("a.npy", "b.npy"), "a NumPy archive (.npz); in Python, torch.save"),
        (zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model; export the model to ONNX"),
        (zipped("net/code/model.py", "net/data.pkl", "net/constants.pkl"), "a TorchScript program; save its state"),
        (zipped("readme.txt"), "a zip archive; unpack it"),
        (TORCH[:-20], "a zip archive without its end, as a PyTorch checkpoint cut short; get or copy it again"),
        (tarred(), "a tar archive; unpack it"),
        (b"\x1f\x8b\x08\0" + bytes(99), "a gzip archive; unpack it"),
        (pickle.dumps({"weight": 1}), "a pickled Python object that torch.save did not write; save the state dict"),
        (b"\xff\xd8\xff\xe0" + bytes(99), "a JPEG picture; name a checkpoint"),
        (bytes(5000), "nothing but zeros at its beginning; its download never ended"),
        (ONNX[: len(ONNX) // 2], "an ONNX model cut short; get or copy it again"),
        (ONNX + b"\x3a", "an ONNX model cut short; get or copy it again"),
        (tiny_detector().SerializeToString(), "a Watchline model; it is an engine already: watchline annotate"),
        (b"\x0a\x10VGG_ILSVRC_16_la" + bytes(range(256)), "none of the files that Watchline knows; expected a Darknet"),
        (b"\x80", "none of the files that Watchline knows; expected a Darknet"),
        (WEIGHTS + b"\0", "none of the files that Watchline knows; expected a Darknet"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_named(put, content, says):
    (path,) = put(content)
    with pytest.raises(CheckpointRefused) as refused:
        recognise([path])
    assert str(refused.value).startswith(f"{path}: it is {says}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ([CFG], "a Darknet network (.cfg) without numbers; name its .weights after it"),
        ([WEIGHTS], "Darknet weights (.weights) without a network; name its .cfg before it"),
        ([CFG, CFG], "that is no one checkpoint; expected a Darknet .cfg with its .weights, a PyTorch"),
        ([CFG, TORCH], "file1 is a PyTorch checkpoint: that is no one checkpoint"),
        ([TORCH, TORCH], "that is no one checkpoint"),
        ([CFG, WEIGHTS, WEIGHTS], "that is no one checkpoint"),
        ([CFG, b"<html>"], "it is an HTML page"),
        ([], "no file: that is no one checkpoint"),
    ],
)
def test_files_that_do_not_go_together(put, contents, says):
    with pytest.raises(CheckpointRefused) as refused:
        recognise(put(*contents))
    assert says in str(refused.value)


def test_what_is_no_file(tmp_path):
    with pytest.raises(CheckpointNotFound, match="there is no such file; expected a Darknet"):
        recognise([tmp_path / "none"])
    with pytest.raises(CheckpointRefused, match="it is a folder; name the checkpoint inside"):
        recognise([tmp_path])
    with pytest.raises(CheckpointRefused, match="it is a device or pipe"):
        recognise([Path("/dev/null")])
    (tmp_path / "empty").touch()
    with pytest.raises(CheckpointRefused, match="it is empty; download or copy it again"):
        recognise([tmp_path / "empty"])


def test_a_file_that_may_not_be_read(public, as_nobody):
    path = public / "net.pth"
    path.write_bytes(TORCH)
    path.chmod(0)
    with as_nobody(), pytest.raises(CheckpointRefused, match=r"it cannot be read \(Permission denied\)"):
        recognise([path])


def test_every_cut_of_an_onnx_is_survived(put):
    """Wherever a download stopped: it is never an error of ours, and never taken for the whole file."""
    for length in range(1, 200):
        (path,) = put(ONNX[:length])
        assert look(path).part != "onnx"
    for length in range(len(ONNX) - 200, len(ONNX)):
        (path,) = put(ONNX[:length])
        if look(path).part == "onnx":  # cut between two of its last fields: what is left is an ONNX
            onnx.checker.check_model(onnx.load(path))


def test_only_heads_are_read(tmp_path, monkeypatch):
    """A model of a terabyte is known as fast as a small one."""
    path = tmp_path / "net.onnx"
    path.write_bytes(ONNX)
    read = 0
    real = Path.open

    def counted(self, *how):
        file = real(self, *how)
        plain = file.read

        def count(size=-1):
            nonlocal read
            data = plain(size)
            read += len(data)
            return data

        monkeypatch.setattr(file, "read", count, raising=False)
        return file

    monkeypatch.setattr(module.Path, "open", counted)
    assert look(path).part == "onnx"
    assert 0 < read < 6000 < len(ONNX)


@pytest.mark.shared
def test_the_real_ones(shared):
    darknet, foreign = shared / "weights" / "darknet", shared / "weights" / "onnx"
    for cfg in darknet.glob("*.cfg"):
        assert cfg_and_weights([cfg.with_suffix(".weights"), cfg]) == (cfg, cfg.with_suffix(".weights"))
    assert {recognise([path]) for path in foreign.glob("*.onnx")} == {"onnx"}
