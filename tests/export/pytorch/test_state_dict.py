"""Checkpoints of PyTorch: what comes out, and that nothing in a file runs or grows."""

import argparse
import contextlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from watchline.export.errors import CheckpointNotFound, CheckpointRefused
from watchline.export.pytorch.state_dict import load, read
from watchline.export.recognise import OLD_TORCH

BOTH = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])


def plain():
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3),
        "bn.num_batches_tracked": torch.tensor(7),
        "half": torch.ones(2).half(),
    }


def saved(value, path, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *words):
        self.call = function, words

    def __reduce__(self):
        return self.call


@BOTH
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"model": state, "epoch": 3, "args": {"lr": 0.1}},
        lambda state: {"state_dict": state},
        lambda state: {"model_state_dict": state, "model": "yolo"},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {"model": state, "optimizer": {}, "args": argparse.Namespace(lr=0.1, out=Path("x")), "epoch": 25},
        lambda state: {"model": state, "map": np.float64(0.3), "seen": np.arange(3)},
        lambda state: {"net": state, "epoch": 1},
        lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "pytorch-lightning_version": "2"},
        lambda state: {
            "state_dict": {f"model.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(2)},
            "pytorch-lightning_version": "2",
        },
        lambda state: {f"_orig_mod.module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"ema": {"module": state, "updates": 7}, "model": {k: v * 0 for k, v in state.items()}},
        lambda state: {
            "model": {k: v * 0 for k, v in state.items()},
            "model_ema": {f"module.{k}": v for k, v in state.items()} | {"n_averaged": torch.tensor(9)},
        },
        lambda state: {name: torch.nn.Parameter(t, requires_grad=t.is_floating_point()) for name, t in state.items()},
    ],
    ids=[
        "bare",
        "model",
        "state_dict",
        "model_state_dict",
        "module.",
        "both",
        "torchvision's references",
        "NumPy's numbers",
        "net",
        "Lightning",
        "Lightning with more",
        "compiled",
        "average, RT-DETR's",
        "average, torchvision's",
        "parameters",
    ],
)
def test_the_tensors_come_out_by_name(tmp_path, wrap, zipped):
    got = load(saved(wrap(plain()), tmp_path / "net.pth", zipped))
    assert equal(got, plain())
    assert not any(tensor.requires_grad for tensor in got.values())


def test_an_average_is_said(tmp_path):
    kept = {"model": {k: v * 0 for k, v in plain().items()}, "model_ema": plain()}
    assert read(saved(kept, tmp_path / "net.pth")).chosen == "took the weights averaged over the training, `model_ema`"
    assert read(saved(plain(), tmp_path / "net.pth")).chosen == ""
    assert read(saved({"model": plain(), "model_ema": None}, tmp_path / "net.pth")).chosen == ""


def test_safetensors(tmp_path):
    from safetensors.torch import save_file

    save_file({f"model.{name}": tensor for name, tensor in plain().items()}, tmp_path / "net.safetensors")
    assert equal(load(tmp_path / "net.safetensors"), plain())
    data = (tmp_path / "net.safetensors").read_bytes()
    for broken in (data[:-9], data[:60], data.replace(b"F32", b"F99"), struct.pack("<Q", 40) + b"{" + bytes(99)):
        (tmp_path / "net.safetensors").write_bytes(broken)
        with pytest.raises(CheckpointRefused, match=r"net\.safetensors: it is") as refused:
            load(tmp_path / "net.safetensors")
        assert "\n" not in str(refused.value)


def test_options_of_a_training_run_nothing(tmp_path):
    """What stands for them takes any words, and calls nothing."""
    trap = tmp_path / "trap"
    kept = {"model": plain(), "args": argparse.Namespace(call=Calls(os.system, f"touch {trap}"))}
    with pytest.raises(CheckpointRefused, match=r"unsafe, loading it would call 'posix\.system'"):
        load(saved(kept, tmp_path / "net.pth"))
    assert not trap.exists()


def test_a_module_of_that_name_keeps_it(tmp_path):
    state = {"module.weight": torch.ones(2), "head.weight": torch.ones(3)}
    assert equal(load(saved(state, tmp_path / "net.pth")), state)


@BOTH
def test_a_network_takes_it_back(tmp_path, zipped):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).load_state_dict(
        load(saved(network.state_dict(), tmp_path / "net.pth", zipped)), strict=True
    )


def test_the_file_is_mapped_and_not_read(tmp_path):
    """64 MB of weights cost a process less than half of that."""
    path = saved({"weight": torch.zeros(2**24)}, tmp_path / "net.pth")
    code = (
        "import re, sys\nfrom pathlib import Path\nfrom watchline.export.pytorch.state_dict import load\n"
        # the peak of this process alone; that of getrusage begins with its parent's
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\ngot = load(Path(sys.argv[1]))\nprint(peak() - before, got['weight'].shape[0])"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    grown, numbers = map(int, done.stdout.split())
    assert numbers == 2**24
    assert grown < 2**15  # KiB


@BOTH
@pytest.mark.parametrize("function", [os.system, eval, subprocess.Popen, torch.hub.load, torch.load, bytearray])
def test_what_a_pickle_would_call_does_not_run(tmp_path, function, zipped):
    trap = tmp_path / "trap"
    call = Calls(function, 10**12 if function is bytearray else f"touch {trap}")
    path = saved({"weight": torch.ones(2), "more": call}, tmp_path / "net.pth", zipped)
    with pytest.raises(CheckpointRefused) as refused:
        load(path)
    assert not trap.exists()
    assert str(refused.value).startswith(f"{path}: it is ")
    assert function.__name__ in str(refused.value)
    assert "torch.save(model.state_dict(), 'new.pth')" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "weights_only" not in str(refused.value), "no advice to load it unsafely"


def test_the_trap_is_one(tmp_path):
    """What the test above has refused does run where nobody looks."""
    path = saved(Calls(os.system, f"touch {tmp_path / 'trap'}"), tmp_path / "net.pth", zipped=False)
    with path.open("rb") as file:
        for _ in range(3):
            pickle.load(file)
        with pytest.raises(FileNotFoundError):
            (tmp_path / "trap").stat()
        pickle.load(file)
    assert (tmp_path / "trap").exists()


def test_a_name_that_is_put_together_does_not_run_either(tmp_path):
    """Protocol 4 takes the name of a function from its stack, where a search for GLOBAL does not see it."""
    trap = tmp_path / "trap"
    path = rewritten(saved(plain(), tmp_path / "net.pth"), pickle.dumps(Calls(os.system, f"touch {trap}"), 4))
    with pytest.raises(CheckpointRefused, match=r"unsafe, loading it would call 'posix\.system'"):
        load(path)
    assert not trap.exists()


def test_torch_looks_closer(tmp_path):
    """A name that could be a type of tensors, and is a function: past our check, and stopped by torch's own."""
    before = torch.get_num_threads()
    path = rewritten(saved(plain(), tmp_path / "net.pth"), b"\x80\x02ctorch\nset_num_threads\n(K\x11tR.")
    with pytest.raises(
        CheckpointRefused, match=r"Unsupported global: GLOBAL torch\.set_num_threads was not an allowed"
    ):
        load(path)
    assert torch.get_num_threads() == before


def rewritten(path, pickled, compression=zipfile.ZIP_STORED):
    """The same archive with another data.pkl."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, pickled if pickled is not None and name.endswith("data.pkl") else data)
    return path


def test_a_zip_bomb_is_not_unfolded(tmp_path):
    path = rewritten(
        saved({"weight": torch.zeros(2**22)}, tmp_path / "net.pth"), None, compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 2**17
    with pytest.raises(CheckpointRefused, match=r"its part 'net/data\.pkl' is compressed, \d+ to \d+ bytes"):
        load(path)


def test_parts_that_declare_more_than_there_is(tmp_path):
    path = saved({"weight": torch.zeros(1000)}, tmp_path / "net.pth")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"net/data/0") - 46  # its entry in the archive's directory
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    with pytest.raises(CheckpointRefused, match=f"its parts declare [0-9]{{10}} bytes and the file has {len(data)}"):
        load(path)


@BOTH
def test_a_tensor_that_is_larger_than_its_file(tmp_path, zipped):
    """One number, seen as a terabyte of them."""
    path = saved({"weight": torch.zeros(1).expand(2**19, 2**19)}, tmp_path / "net.pth", zipped)
    with pytest.raises(CheckpointRefused, match=r"declares a tensor or a number of|has shape \(524288, 524288\), more"):
        load(path)


def test_an_old_file_may_not_ask_for_more_memory_than_it_has_bytes(tmp_path):
    path = saved({"weight": torch.zeros(300)}, tmp_path / "net.pth", zipped=False)
    data = path.read_bytes()
    assert data.count(b"M,\x01") == 2  # 300, for the storage and for the shape
    path.write_bytes(data.replace(b"M,\x01", b"J\xff\xff\xff\x7f", 1))
    with pytest.raises(CheckpointRefused, match="declares a tensor or a number of 2147483647 and has "):
        load(path)


@pytest.mark.parametrize("length", [2**33, 2**45, 2**62])
def test_a_text_in_an_old_file_is_no_longer_than_the_file(tmp_path, length):
    """Python makes room for a whole read before it begins."""
    path = tmp_path / "net.pth"
    head = OLD_TORCH + pickle.dumps(1001, 2) + pickle.dumps({}, 2)
    path.write_bytes(head + b"\x80\x02\x8d" + length.to_bytes(8, "little") + b"weight")
    tracemalloc.start()
    with pytest.raises(CheckpointRefused, match="cut short or broken"):
        load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


@BOTH
def test_every_cut_is_refused_in_one_line(tmp_path, zipped):
    data = saved(plain(), tmp_path / "whole.pth", zipped).read_bytes()
    path = tmp_path / "cut.pth"
    for length in range(1, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointRefused) as refused:
            load(path)
        assert "\n" not in str(refused.value)


@BOTH
def test_flipped_bytes_end_in_no_other_error(tmp_path, zipped):
    data = saved(plain(), tmp_path / "whole.pth", zipped).read_bytes()
    path = tmp_path / "flipped.pth"
    for at in range(0, min(len(data), 900), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        with contextlib.suppress(CheckpointRefused):
            load(path)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([torch.ones(2)], "it holds a list; expected a state dict"),
        (torch.ones(2), "it holds a Tensor; expected a state dict"),
        ({}, "it holds an empty dict; expected a state dict"),
        ({"epoch": 3, "weight": torch.ones(2)}, "its 'epoch' is a int; expected a state dict, names and tensors only"),
        ({1: torch.ones(2)}, "its '1' is a Tensor; expected a state dict"),
        ({"weight": torch.ones(2, 2).to_sparse()}, "its 'weight' is quantised, sparse or without numbers"),
        ({"weight": torch.ones(2, device="meta")}, "its 'weight' is quantised, sparse or without numbers"),
    ],
)
def test_what_is_no_state_dict(tmp_path, value, says):
    path = saved(value, tmp_path / "net.pth")
    with pytest.raises(CheckpointRefused) as refused:
        load(path)
    assert f"{path}: {says}" in str(refused.value)


def test_a_whole_network_is_named_as_one(tmp_path):
    with pytest.raises(
        CheckpointRefused, match=r"loading it would call 'torch\.nn\.modules\.container\.Sequential'; where"
    ):
        load(saved(torch.nn.Sequential(torch.nn.ReLU()), tmp_path / "net.pth"))


def test_other_files(tmp_path):
    with pytest.raises(CheckpointNotFound, match="there is no such file"):
        load(tmp_path / "none.pth")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html>")
    with pytest.raises(CheckpointRefused, match=r"it is an HTML page; expected a PyTorch state dict \(\.pth, \.pt\)"):
        load(tmp_path / "page.pth")
    (tmp_path / "net.cfg").write_text("[net]\n")
    with pytest.raises(CheckpointRefused, match=r"it is a Darknet network \(\.cfg\); expected a PyTorch"):
        load(tmp_path / "net.cfg")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps({"w": io.BytesIO()}))
    with pytest.raises(CheckpointRefused, match="it is a pickled Python object"):
        load(tmp_path / "bare.pkl")
