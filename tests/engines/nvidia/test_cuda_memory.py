"""CUDA's bindings without a driver: every call exists in them, and reports its failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import os, sys
sys.path.append(os.environ.get("WATCHLINE_NVIDIA", ""))
from watchline.engines.nvidia.cuda_memory import CudaMemory
from watchline.engines.errors import InferenceFailed
calls = {
    "allocate": (8,), "free": (1,), "allocate_pinned": (8,), "free_pinned": (1,), "exempt_from_captures": (),
    "create_stream": (), "destroy_stream": (1,), "copy_to_device": (1, 1, 8, 1), "copy_to_host": (1, 1, 8, 1),
    "synchronise": (1,), "begin_capture": (1,), "end_capture": (1,), "launch": (1, 1), "destroy_graph": (1,),
}
assert calls.keys() == {name for name in vars(CudaMemory) if not name.startswith("_")}, "all of them"
for name, arguments in calls.items():
    try:
        getattr(CudaMemory(), name)(*arguments)
    except InferenceFailed as error:
        print(name, error)
"""


def has_bindings() -> bool:
    folders = [*sys.path, os.environ.get("WATCHLINE_NVIDIA", "")]
    return any(Path(folder, "cuda", "bindings").is_dir() for folder in folders)


@pytest.mark.skipif(not has_bindings(), reason="cuda-bindings is not installed, nor in the folder WATCHLINE_NVIDIA")
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU, which tests/gpu is for")
def test_without_a_driver_every_call_names_itself_and_the_reason() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 14
    assert lines[0] == (
        "allocate cudaMalloc failed: CUDA driver version is insufficient for CUDA runtime version (CUDA error 35)"
    )
    assert all(" failed: CUDA driver version is insufficient" in line for line in lines)
