"""Where a plan comes from: the cache, or a build, which happens once however many workers and processes ask for it."""

import fcntl
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
from watchline.engines.nvidia.interface import Gpu, Order, Progress, Report
from watchline.engines.nvidia.plan_file import Beside, Key

log = logging.getLogger(__name__)

LARGEST = 256  # pictures in a batch; more is a slip of the hand
LOOK = 0.2  # seconds between looks at a plan that somebody else builds
NEWS = 10.0  # seconds between log lines of a build


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that fits this machine. `where` is the file that errors name."""

    where: str
    content: bytes
    known: Beside


def build(
    model: Path,
    file: Path,
    batch: int = 1,
    progress: Report | None = None,
    size: tuple[int, int] | None = None,
    gpu: Gpu | None = None,
) -> None:
    """Build a plan for this machine's GPU: `file` and what stands beside it (plan_file.py).

    Args:
        model: path of the ONNX file, which tells the precision.
        file: to write, e.g. model.engine.
        batch: the most pictures at once.
        progress: hears how far it is; without it, the log does.
        size: (width, height) of the input in pixels, None for the model's own.
        gpu: to build for, None for the one that is there.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.read`; or TensorRT does not take the model.
        RequestRefused: size, batch or file cannot be.
        RuntimeUnavailable: there is no GPU, or TensorRT is not installed.
        InferenceFailed: the build was stopped, or it crashed.
    """
    if file.suffix != ".engine" or not file.parent.is_dir():
        raise RequestRefused(f"{file}: a plan is written to a name on .engine in a folder that exists")
    gpu = gpu or gpu_to_build_for()
    about, shape = metadata.describe(model)
    order = _order(model, about, shape, size, batch)
    content = _built(gpu, order, progress)
    with _writing(file, "write it elsewhere"):
        plan_file.write(file, content, _key(gpu, order), model, about)


def from_model(model: Path, size: tuple[int, int] | None, batch: int, gpu: Gpu, progress: Report | None = None) -> Plan:
    """The plan of an ONNX file from the cache, built first if it is not there. Raises as `build` does."""
    about, shape = metadata.describe(model)
    order = _order(model, about, shape, size, batch)
    key = _key(gpu, order)
    file = cache_folder("plans") / f"{model.stem}-{key.short()}.engine"
    with _writing(file, f"name another cache folder by {VARIABLE}"), _alone(file):
        if plan := _kept(file, key):
            return plan
        content = _built(gpu, order, progress)
        return Plan(str(model), content, plan_file.write(file, content, key, model, about))


def from_file(file: Path, gpu: Gpu, progress: Report | None = None) -> Plan:
    """A plan that somebody built; if that was for another GPU or version, the one that is built here in its place.

    Raises:
        ModelRefused: it is broken; or it does not fit this machine, and the ONNX file that it was built from is gone.
        others: as `build` does.
    """
    known = plan_file.read_beside(file)
    here = (gpu.tensorrt.version, gpu.name, plan_file.PRECISION)
    if (known.key.tensorrt, known.key.gpu, known.key.precision) == here:
        return Plan(str(file), plan_file.read_plan(file, known), known)
    built = f"it was built by TensorRT {known.key.tensorrt} for {known.key.gpu}"
    this = f"this machine has TensorRT {gpu.tensorrt.version} and {gpu.name}"
    for model in (file.parent / known.model.name, known.model):
        if model.is_file() and plan_file.sha256_of_model(model) == known.key.onnx:
            log.warning("%s: %s, %s: taking %s instead", file, built, this, model)
            return from_model(model, known.key.size, known.key.batch[1], gpu, progress)
    raise ModelRefused(
        f"{file}: {built}, {this}, and the ONNX file it was built from ({known.model.name}) is not beside it; "
        "put it there or run that file by --runtime tensorrt, and the plan is built anew"
    )


def gpu_to_build_for() -> Gpu:
    """The GPU of this machine. Raises RuntimeUnavailable: there is none, with what to do instead."""
    try:
        return find_gpu()
    except RuntimeUnavailable as error:
        raise RuntimeUnavailable(
            f"a plan is built on the machine that will run it, and this one cannot: {error}. Export by --to tensorrt "
            "to an .onnx, take that there, and run it by --runtime tensorrt: the plan is built on its first run"
        ) from error


def _order(model: Path, about: Metadata, shape: InputShape, size: tuple[int, int] | None, batch: int) -> Order:
    """What is to be built, if it can be."""
    if not 1 <= batch <= LARGEST:
        raise RequestRefused(f"{model}: a batch of {batch} pictures; expected 1..{LARGEST}")
    numbers = (shape.batch, shape.batch) if isinstance(shape.batch, int) else (1, batch)
    return Order(model, choose_size(shape, about, size, str(model)), numbers)


def _key(gpu: Gpu, order: Order) -> Key:
    digest = plan_file.sha256_of_model(order.model)
    return Key(digest, gpu.tensorrt.version, gpu.name, plan_file.PRECISION, order.size, order.batch)


def _kept(file: Path, key: Key) -> Plan | None:
    """What the cache holds for the key, if that is whole."""
    if not file.exists():
        return None
    try:
        known = plan_file.read_beside(file)
        if known.key == key:
            return Plan(str(file), plan_file.read_plan(file, known), known)
    except ModelRefused as error:
        log.warning("%s; it is built again", error)
    return None


def _built(gpu: Gpu, order: Order, progress: Report | None) -> bytes:
    started = time.monotonic()
    (width, height), most = order.size, order.batch[1]
    log.warning(
        "%s: building a TensorRT plan for %s, %d x %d, up to %d at once; this takes minutes and is kept",
        *(order.model, gpu.name, width, height, most),
    )
    machine = "".join(c if c.isalnum() else "-" for c in f"{gpu.tensorrt.version}-{gpu.name}")
    timing = cache_folder("plans") / f"timing-{machine}.cache"
    content = gpu.tensorrt.build(order, timing, progress or _Told(order.model))
    log.warning("%s: built in %.0f s, %.1f MB", order.model, time.monotonic() - started, len(content) / 1e6)
    return content


class _Told:
    """Tells the log of a build's progress, now and then."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._next = time.monotonic() + NEWS

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + NEWS
            log.warning("%s: %s, %d of %d", self._model, progress.phase, progress.done, progress.total)


@contextmanager
def _writing(file: Path, remedy: str) -> Iterator[None]:
    """A file that cannot be written is a line that says what to do."""
    try:
        yield
    except EngineError:
        raise
    except OSError as error:
        raise RequestRefused(f"{file}: the plan cannot be written ({error.strerror}); {remedy}") from error


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One worker of one process at a time is inside, for each file; others wait."""
    with file.with_suffix(".lock").open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOOK)
        yield
