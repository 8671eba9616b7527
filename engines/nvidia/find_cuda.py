"""Finds the GPU of this machine for ONNX Runtime's CUDA provider, or says what is missing.

Everything is checked before a session is opened, because without a driver or a library, ONNX Runtime prints a page and
then computes on the CPU.
"""

import contextlib
import io
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnxruntime as ort

from watchline.engines.errors import RuntimeUnavailable
from watchline.engines.nvidia.cuda_driver import NoDriver, ask
from watchline.engines.nvidia.interface import Cuda
from watchline.engines.onnx_builds import REPLACE

PROVIDER = "CUDAExecutionProvider"
REDIRECTING = threading.Lock()  # two threads that redirect the output of the process would not restore it


@dataclass(frozen=True)
class Device:
    """The device that sessions run on.

    Attributes:
        name: of the GPU, e.g. "NVIDIA L4".
        provider, memory: ONNX Runtime's names of the provider that must run, and of its memory.
        cuda: memory and streams.
        open: opens a session, as `onnxruntime.InferenceSession` does. Tests have a fake (tests/fake_session.py).
    """

    name: str
    provider: str
    memory: str
    cuda: Cuda
    open: Callable[..., Any] = ort.InferenceSession


def find_cuda() -> Device:
    """The first GPU that the driver shows. CUDA_VISIBLE_DEVICES decides which one that is.

    Raises:
        RuntimeUnavailable: there is no driver or no GPU, the driver is too old, ONNX Runtime is built for CPUs, or a
            library of CUDA is missing.
    """
    try:
        driver = ask()
    except NoDriver as error:
        raise RuntimeUnavailable(f"the runtime cuda needs an NVIDIA GPU: {error}") from error
    if not driver.gpus:
        raise RuntimeUnavailable(
            f"the runtime cuda needs an NVIDIA GPU: the driver ({driver.version}) shows none; see CUDA_VISIBLE_DEVICES"
        )
    if PROVIDER not in ort.get_available_providers():
        raise RuntimeUnavailable(f"this onnxruntime {ort.__version__} is built for CPUs; {REPLACE}")
    if _number(driver.version) < _number(ort.cuda_version):
        raise RuntimeUnavailable(
            f"the driver speaks {driver.version}, onnxruntime-gpu {ort.__version__} needs CUDA {ort.cuda_version}; "
            "install a newer driver, or an onnxruntime-gpu that was built for an older CUDA"
        )
    if missing := _missing_libraries():
        raise RuntimeUnavailable(
            f"onnxruntime-gpu {ort.__version__} cannot load {', '.join(missing)}; install CUDA {ort.cuda_version} and "
            "cuDNN 9: pip install 'onnxruntime-gpu[cuda,cudnn]', or name their folders in LD_LIBRARY_PATH"
        )
    try:
        from watchline.engines.nvidia.cuda_memory import CudaMemory
    except ImportError as error:
        raise RuntimeUnavailable(
            f"CUDA's bindings cannot be imported ({error}); install them: pip install cuda-bindings"
        ) from error
    return Device(driver.gpus[0].name, PROVIDER, "cuda", CudaMemory())


def _number(version: str) -> tuple[int, ...]:
    """ "CUDA 12.8" -> (12,). Only the major version counts: within it, an older driver runs newer libraries."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:1])


def _missing_libraries() -> list[str]:
    """Load CUDA's libraries from pip's folders, or else from the system. Returns those that are missing."""
    said = io.StringIO()
    with REDIRECTING, contextlib.redirect_stdout(said):
        ort.preload_dlls()
    return sorted(set(re.findall(r"Failed to load (?:\S*/)?(lib[^/:\s]+):", said.getvalue())))
