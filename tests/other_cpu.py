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
runtime, batch, *models = sys.argv[1:]
for other in {"onnxruntime", "openvino"} - {runtime}:
    sys.modules[other] = None  # as if not installed: importing it takes as long as everything else here
from watchline import engines
runtimes = {}
for model in models:
    with engines.load(model, runtime) as engine:
        np.savez(f"{model}.npz", **engine.infer(np.load(batch)))
        runtimes[model] = engine.runtime
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

    outputs: dict[Path, dict[str, NDArray[np.float32]]]
    runtimes: dict[Path, str]
    products: str
    warnings: list[str]


def infer(runtime: str, models: list[Path], batch: NDArray[np.uint8], folder: Path) -> Inferred:
    """The outputs of the models for a batch on that CPU. `folder` is for files that are exchanged.

    One process for all models: to start Python and import the runtimes is what takes long in the emulation.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this is not an x86-64 CPU, and the emulated CPU is one")
    np.save(folder / "batch.npy", batch)
    command = [sys.executable, "-c", CHILD, runtime, str(folder / "batch.npy"), *map(str, models)]
    environment = dict(os.environ)
    if runtime == "onnxruntime":
        if not shutil.which(QEMU):
            pytest.skip(f"there is no {QEMU}: apt-get install qemu-user")
        command, environment["QEMU_CPU"] = [QEMU, *command], "Haswell"
    else:
        environment["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    outputs = {model: dict(np.load(f"{model}.npz")) for model in models}
    runtimes = {Path(model): runtime for model, runtime in result["runtimes"].items()}
    warnings = [line for line in done.stderr.splitlines() if not line.startswith("qemu-")]
    return Inferred(outputs, runtimes, result["products"], warnings)
