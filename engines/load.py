"""From a path to an engine: the runtime is chosen by the file and by what is installed, and said in `engine.runtime`.

    with load("model.onnx") as engine:
        engine.warm_up()
        outputs = engine.infer(batch)

Runtimes are imported when they are asked for: the import of one costs 0.03 to 0.2 seconds.
"""

from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.engines import runtimes
from watchline.engines.errors import ModelNotFound, ModelRefused, RequestRefused, RuntimeUnavailable
from watchline.engines.runtimes import RUNTIMES, Format, Runtime

if TYPE_CHECKING:
    from watchline.engines.engine import Engine

RECORDING = Format(".npz", "a recording")


def load(
    path: str | PathLike[str],
    runtime: str | None = None,
    size: tuple[int, int] | None = None,
    threads: int = 1,
    batch: int = 1,
) -> "Engine":
    """Load a model file for one size of input.

    Args:
        path: model.onnx, OpenVINO's model.xml, or a recording.npz (see replay.py).
        runtime: name of a runtime (runtimes.py); None for the first one that runs such files, onnxruntime for .onnx.
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
    asked = None if runtime is None else runtimes.find(runtime)
    if threads < 1:
        raise RequestRefused(f"an engine runs on {threads} threads; expected 1 or more")
    if not path.exists():
        raise ModelNotFound(f"{path}: there is no such file; expected a model, e.g. model.onnx")
    suffix = path.suffix.lower()
    if suffix == RECORDING.suffix:
        return _load_recording(path, asked, size)
    formats = runtimes.formats()
    if suffix not in formats:
        known = ", ".join(f"{format.suffix} ({format.noun})" for format in formats.values())
        raise ModelRefused(
            f"{path}: the suffix {suffix!r} is no model's; expected {known} or {RECORDING.suffix} ({RECORDING.noun}); "
            "`watchline export` makes one of a checkpoint"
        )
    if asked is not None and suffix not in asked.suffixes:
        runs = " and ".join(asked.suffixes)
        raise RequestRefused(f"{path}: {formats[suffix].noun}, {asked.name} cannot run it; it runs {runs}")
    return (asked or runtimes.running(suffix)[0]).module().load(path, size, threads, batch)


def available() -> dict[str, str]:
    """Each runtime by name with its version, or "not available: " and why. Imports them all."""
    return {runtime.name: _version_or_reason(runtime) for runtime in RUNTIMES}


def integer_products() -> dict[str, str]:
    """How each runtime for CPUs that is here computes INT8 on this one. Imports them all."""
    from watchline.engines.integers import EXACT, SATURATES, WIDEST

    told = {}
    for runtime in (runtime for runtime in RUNTIMES if not runtime.gpu):
        with suppress(ImportError):
            told[runtime.name] = EXACT if runtime.imported().is_exact(WIDEST) else SATURATES
    return told


def _load_recording(path: Path, asked: Runtime | None, size: tuple[int, int] | None) -> "Engine":
    from watchline.engines.replay import Replay

    if asked is not None:
        raise RequestRefused(
            f"{path}: a recording is only played back, {asked.name} cannot run it; load the .onnx instead"
        )
    return Replay(path, size)


def _version_or_reason(runtime: Runtime) -> str:
    try:
        return runtime.imported().version()
    except (ImportError, RuntimeUnavailable) as error:
        return f"not available: {error}"
