"""Gets a plan from the cache, or builds it: once, for any number of workers and processes that need it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from watchline.engines import metadata
from watchline.engines.cache_folder import VARIABLE, cache_folder
from watchline.engines.contract import InputShape, choose_size
from watchline.engines.engine import Metadata
from watchline.engines.errors import EngineError, ModelRefused, RequestRefused, RuntimeUnavailable
from watchline.engines.nvidia import plan_file
from watchline.engines.nvidia.find_gpu import find_gpu
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest, Gpu, OnProgress
from watchline.engines.nvidia.plan_file import Key, Sidecar
from watchline.files import locked

log = logging.getLogger(__name__)

LARGEST = 256  # pictures in a batch; more is probably a mistake
LOG_INTERVAL = 10.0  # seconds between log lines of a build


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that fits this machine. `where` is the file that errors name."""

    where: str
    content: bytes
    sidecar: Sidecar


def build(
    model: Path,
    file: Path,
    batch: int = 1,
    progress: OnProgress | None = None,
    size: tuple[int, int] | None = None,
    gpu: Gpu | None = None,
) -> None:
    """Build a plan for this machine's GPU: `file` and its sidecar (plan_file.py).

    Args:
        model: path of the ONNX file, whose graph has the precision.
        file: path of the plan to write, e.g. model.engine.
        batch: largest number of pictures per batch.
        progress: called with the progress of the build; without it, the progress is logged.
        size: (width, height) of the input in pixels, None for the model's own.
        gpu: GPU to build for, None for this machine's.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or TensorRT does not accept the model.
        RequestRefused: size, batch or file is not possible.
        RuntimeUnavailable: there is no GPU, or TensorRT is not installed.
        InferenceFailed: the build was stopped, or it crashed.
    """
    if file.suffix != ".engine" or not file.parent.is_dir():
        raise RequestRefused(f"{file}: expected the name of a plan, *.engine, in a folder that exists")
    gpu = gpu or gpu_to_build_for()
    about, shape = metadata.describe(model)
    request = _request(model, about, shape, size, batch)
    content = _built(gpu, request, progress)
    with _writing(file, "write it elsewhere"):
        plan_file.write(file, content, _key(gpu, request), model, about)


def from_model(
    model: Path, size: tuple[int, int] | None, batch: int, gpu: Gpu, progress: OnProgress | None = None
) -> Plan:
    """The plan of an ONNX file, from the cache or else built. Raises the errors of `build`."""
    about, shape = metadata.describe(model)
    request = _request(model, about, shape, size, batch)
    key = _key(gpu, request)
    file = cache_folder("plans") / f"{model.stem}-{key.short()}.engine"
    with _writing(file, f"name another cache folder by {VARIABLE}"), locked(file.with_suffix(".lock")):
        if plan := _cached(file, key):
            return plan
        content = _built(gpu, request, progress)
        return Plan(str(model), content, plan_file.write(file, content, key, model, about))


def from_file(file: Path, gpu: Gpu, progress: OnProgress | None = None) -> Plan:
    """A plan from a file. If it was built for another GPU or version, it is built again from its ONNX file.

    Raises:
        ModelRefused: the plan is broken; or it does not fit this machine, and its ONNX file is gone.
        others: the errors of `build`.
    """
    sidecar = plan_file.read_sidecar(file)
    here = (gpu.tensorrt.version, gpu.name, plan_file.PRECISION)
    if (sidecar.key.tensorrt, sidecar.key.gpu, sidecar.key.precision) == here:
        return Plan(str(file), plan_file.read_plan(file, sidecar), sidecar)
    built = f"it was built by TensorRT {sidecar.key.tensorrt} for {sidecar.key.gpu}"
    this = f"this machine has TensorRT {gpu.tensorrt.version} and {gpu.name}"
    for model in (file.parent / sidecar.model.name, sidecar.model):
        if model.is_file() and plan_file.sha256_of_model(model) == sidecar.key.onnx:
            log.warning("%s: %s, %s: taking %s instead", file, built, this, model)
            return from_model(model, sidecar.key.size, sidecar.key.batch[1], gpu, progress)
    raise ModelRefused(
        f"{file}: {built}, {this}, and the ONNX file it was built from ({sidecar.model.name}) is not in its folder; "
        "put it there, or run that file by --runtime tensorrt: the plan is then built again"
    )


def gpu_to_build_for() -> Gpu:
    """The GPU of this machine. Raises RuntimeUnavailable: there is none; the error says what to do instead."""
    try:
        return find_gpu()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(
            f"a plan is built on the machine that will run it, and this one cannot: {error}. Export by --to tensorrt "
            "to an .onnx, take that there, and run it by --runtime tensorrt: the plan is built on its first run"
        ) from error


def _request(model: Path, about: Metadata, shape: InputShape, size: tuple[int, int] | None, batch: int) -> BuildRequest:
    """The request for a build. Raises RequestRefused: size or batch is not possible."""
    if not 1 <= batch <= LARGEST:
        raise RequestRefused(f"{model}: a batch of {batch} pictures; expected 1..{LARGEST}")
    numbers = (shape.batch, shape.batch) if isinstance(shape.batch, int) else (1, batch)
    return BuildRequest(model, choose_size(shape, about, size, str(model)), numbers)


def _key(gpu: Gpu, request: BuildRequest) -> Key:
    digest = plan_file.sha256_of_model(request.model)
    return Key(digest, gpu.tensorrt.version, gpu.name, plan_file.PRECISION, request.size, request.batch)


def _cached(file: Path, key: Key) -> Plan | None:
    """The plan in the cache for the key; None if there is none, or if it is damaged."""
    if not file.exists():
        return None
    try:
        sidecar = plan_file.read_sidecar(file)
        if sidecar.key == key:
            return Plan(str(file), plan_file.read_plan(file, sidecar), sidecar)
    except ModelRefused as error:
        log.warning("%s; it is built again", error)
    return None


def _built(gpu: Gpu, request: BuildRequest, progress: OnProgress | None) -> bytes:
    started = time.monotonic()
    (width, height), most = request.size, request.batch[1]
    log.warning(
        "%s: building a TensorRT plan for %s, %d x %d, up to %d at once; this takes minutes and is kept",
        *(request.model, gpu.name, width, height, most),
    )
    machine = "".join(c if c.isalnum() else "-" for c in f"{gpu.tensorrt.version}-{gpu.name}")
    timing = cache_folder("plans") / f"timing-{machine}.cache"
    content = gpu.tensorrt.build(request, timing, progress or _LogProgress(request.model))
    log.warning("%s: built in %.0f s, %.1f MB", request.model, time.monotonic() - started, len(content) / 1e6)
    return content


class _LogProgress:
    """Logs the progress of a build, every LOG_INTERVAL seconds."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._next = time.monotonic() + LOG_INTERVAL

    def __call__(self, progress: BuildProgress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LOG_INTERVAL
            log.warning("%s: %s, %d of %d", self._model, progress.phase, progress.done, progress.total)


@contextmanager
def _writing(file: Path, remedy: str) -> Iterator[None]:
    """Convert the OSError of a file that cannot be written to a RequestRefused that says what to do."""
    try:
        yield
    except EngineError:
        raise
    except OSError as error:
        raise RequestRefused(f"{file}: the plan cannot be written ({error.strerror}); {remedy}") from error
