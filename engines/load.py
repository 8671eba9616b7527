"""From a path to an engine: the runtime is chosen by the file and by what is installed, and said in `engine.runtime`.

    with load("model.onnx") as engine:
        engine.warm_up()
        outputs = engine.infer(batch)

Runtimes are imported when they are asked for: the import of one costs 0.03 to 0.2 seconds.
"""

from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

from watchline.engines.engine import Engine
from watchline.engines.errors import ModelNotFound, ModelRefused, RequestRefused, RuntimeUnavailable

RUNTIMES = ("onnxruntime", "openvino", "cuda", "tensorrt")
"""The names that a user can ask for; recordings (.npz) need none."""


def load(
    path: str | PathLike[str],
    runtime: str | None = None,
    size: tuple[int, int] | None = None,
    threads: int = 1,
    batch: int = 1,
) -> Engine:
    """Load a model file for one size of input.

    Args:
        path: model.onnx, OpenVINO's model.xml, or a recording.npz (see replay.py).
        runtime: one of RUNTIMES; None for the one that fits the file: onnxruntime for .onnx.
            With tensorrt an .onnx is built into a plan first, which takes minutes and is kept.
        size: (width, height) of the input in pixels, multiples of the model's stride; None for the model's own.
        threads: that compute one picture. More throughput comes from several engines of one thread.
        batch: the most pictures at once, which TensorRT tunes for and CUDA has buffers for (more are run in parts); the
            others take any number.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: the file is no model, lacks Watchline's metadata, or breaks the contract of engine.py.
        RequestRefused: runtime, size or threads cannot be, or do not go with the file.
        RuntimeUnavailable: the runtime is not installed, or there is no GPU for it.
        InferenceFailed: a plan could not be built.
    """
    path = Path(path)
    if runtime is not None and runtime not in RUNTIMES:
        near = get_close_matches(runtime.lower(), RUNTIMES, 1, 0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise RequestRefused(f"there is no runtime {runtime!r}, expected one of {', '.join(RUNTIMES)}{hint}")
    if threads < 1:
        raise RequestRefused(f"an engine runs on {threads} threads; expected 1 or more")
    if not path.exists():
        raise ModelNotFound(f"{path}: there is no such file; expected a model, e.g. model.onnx")
    match path.suffix.lower():
        case ".onnx":
            return _load_onnx(path, runtime or "onnxruntime", size, threads, batch)
        case ".xml":
            if runtime not in (None, "openvino"):
                raise RequestRefused(f"{path}: an .xml is run by openvino, not by {runtime}")
            return _load_openvino(path, size, threads)
        case ".npz":
            return _load_recording(path, runtime, size)
        case ".engine":
            if runtime not in (None, "tensorrt"):
                raise RequestRefused(f"{path}: a TensorRT plan, {runtime} cannot run it; load the .onnx instead")
            return _load_tensorrt(path, size, batch)
        case suffix:
            raise ModelRefused(
                f"{path}: the suffix {suffix!r} is no model's; expected .onnx, OpenVINO's .xml, TensorRT's .engine, "
                "or a recording (.npz); `watchline export` makes one of a checkpoint"
            )


def available() -> dict[str, str]:
    """Each runtime by name with its version, or "not available: " and why. Imports them all."""
    versions: dict[str, Callable[[], str]] = {
        "onnxruntime": _onnxruntime_version,
        "openvino": _openvino_version,
        "cuda": _cuda_version,
        "tensorrt": _tensorrt_version,
    }
    return {name: _version_or_reason(version) for name, version in versions.items()}


def integer_products() -> dict[str, str]:
    """How each runtime for CPUs that is here computes INT8 on this one. Imports them all."""
    from watchline.engines.integers import EXACT, SATURATES, WIDEST, Sums

    asked: dict[str, Callable[[Sums], bool]] = {}
    with suppress(ImportError):
        from watchline.engines import onnx_runtime

        asked["onnxruntime"] = onnx_runtime.is_exact
    with suppress(ImportError):
        from watchline.engines import open_vino

        asked["openvino"] = open_vino.is_exact
    return {name: EXACT if is_exact(WIDEST) else SATURATES for name, is_exact in asked.items()}


def _load_onnx(path: Path, runtime: str, size: tuple[int, int] | None, threads: int, batch: int) -> Engine:
    match runtime:
        case "onnxruntime":
            try:
                from watchline.engines.onnx_runtime import OnnxRuntimeEngine
            except ImportError as error:
                raise _not_installed("onnxruntime", "pip install onnxruntime", error) from error
            return OnnxRuntimeEngine(path, size, threads)
        case "openvino":
            return _load_openvino(path, size, threads)
        case "cuda":
            return _load_cuda(path, size, batch)
        case _:
            return _load_tensorrt(path, size, batch)


def _load_cuda(path: Path, size: tuple[int, int] | None, batch: int) -> Engine:
    try:
        from watchline.engines.nvidia.find_cuda import find_cuda
        from watchline.engines.nvidia.onnx_cuda import OnnxCudaEngine
    except ImportError as error:
        raise _not_installed("cuda", "pip install 'watchline[cuda]'", error) from error
    try:
        device = find_cuda()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(f"{path}: {error}; or run it by onnxruntime or openvino") from error
    return OnnxCudaEngine(path, size, batch, device=device)


def _load_tensorrt(path: Path, size: tuple[int, int] | None, batch: int) -> Engine:
    from watchline.engines.nvidia.find_gpu import find_gpu
    from watchline.engines.nvidia.tensor_rt import TensorRtEngine

    try:
        gpu = find_gpu()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(f"{path}: {error}; or run an .onnx by onnxruntime or openvino") from error
    return TensorRtEngine(path, size, batch, gpu)


def _load_openvino(path: Path, size: tuple[int, int] | None, threads: int) -> Engine:
    try:
        from watchline.engines.open_vino import OpenVinoEngine
    except ImportError as error:
        raise _not_installed("openvino", "pip install 'watchline[openvino]'", error) from error
    return OpenVinoEngine(path, size, threads)


def _load_recording(path: Path, runtime: str | None, size: tuple[int, int] | None) -> Engine:
    from watchline.engines.replay import Replay

    if runtime is not None:
        raise RequestRefused(
            f"{path}: a recording is only played back, {runtime} cannot run it; load the .onnx instead"
        )
    return Replay(path, size)


def _not_installed(name: str, remedy: str, error: ImportError) -> RuntimeUnavailable:
    return RuntimeUnavailable(f"the runtime {name} cannot be imported ({error}); install it: {remedy}")


def _version_or_reason(version: Callable[[], str]) -> str:
    try:
        return version()
    except (ImportError, RuntimeUnavailable) as error:
        return f"not available: {error}"


def _onnxruntime_version() -> str:
    from watchline.engines.onnx_runtime import version

    return version()


def _openvino_version() -> str:
    from watchline.engines.open_vino import version

    return version()


def _cuda_version() -> str:
    from watchline.engines.nvidia.onnx_cuda import version

    return version()


def _tensorrt_version() -> str:
    from watchline.engines.nvidia.find_gpu import find_gpu

    gpu = find_gpu()
    return f"{gpu.tensorrt.version} ({gpu.name})"
