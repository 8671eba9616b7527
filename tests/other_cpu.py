"""Runs models as on a CPU with AVX2 but without VNNI, on any x86-64 CPU.

ONNX Runtime asks the CPU itself, so Python runs in QEMU's emulation of one (Intel's Haswell; Debian's `qemu-user`). For
OpenVINO, an environment variable limits the instructions, so it runs at full speed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

QEMU = "qemu-x86_64"

CHILD = """
import json, sys
import numpy as np
from watchline import engines
runtime, batch, out, *models = sys.argv[1:]
runtimes = []
for i, model in enumerate(models):
    with engines.load(model, runtime) as engine:
        np.savez(f"{out}/{i}.npz", **engine.infer(np.load(batch)))
        runtimes.append(engine.runtime)
print(json.dumps({"runtimes": runtimes, "products": engines.integer_products()[runtime]}))
"""


@dataclass(frozen=True)
class Inferred:
    """Attributes:
    outputs: of each model.
    runtimes: the runtime of each model.
    products: how INT8 is computed.
    warnings: lines on stderr.
    """

    outputs: list[dict[str, NDArray[np.float32]]]
    runtimes: list[str]
    products: str
    warnings: list[str]


def infer(runtime: str, models: list[Path], batch: NDArray[np.uint8], folder: Path) -> Inferred:
    """The outputs of the models for a batch on that CPU. `folder` is for files that are exchanged."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this is not an x86-64 CPU, and the emulated CPU is one")
    np.save(folder / "batch.npy", batch)
    command = [sys.executable, "-c", CHILD, runtime, str(folder / "batch.npy"), str(folder), *map(str, models)]
    environment = dict(os.environ)
    if runtime == "onnxruntime":
        if not shutil.which(QEMU):
            pytest.skip(f"there is no {QEMU}: apt-get install qemu-user")
        command, environment["QEMU_CPU"] = [QEMU, *command], "Haswell"
    else:
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    outputs = [dict(np.load(folder / f"{i}.npz")) for i in range(len(models))]
    warnings = [line for line in done.stderr.splitlines() if not line.startswith("qemu-")]
    return Inferred(outputs, result["runtimes"], result["products"], warnings)
