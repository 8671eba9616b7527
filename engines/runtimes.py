"""The runtimes, one entry each: what the other folders know of them. Reading the table imports no runtime.

A new runtime is a file that has what Module lists, and an entry in RUNTIMES.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from watchline.engines.errors import RequestRefused, RuntimeUnavailable
from watchline.errors import one_of
from watchline.extras import command

if TYPE_CHECKING:
    from watchline.engines.engine import Engine
    from watchline.engines.integers import Sums

    Writer = Callable[[Path, Path, int], tuple[Path, ...]]


class Module(Protocol):
    """What the file of a runtime contains."""

    def load(self, path: Path, size: tuple[int, int] | None, threads: int, batch: int) -> "Engine":
        """Load a model file with one of the runtime's suffixes, as `engines.load` does."""
        ...

    def version(self) -> str:
        """The version, and the device. Raises RuntimeUnavailable: this machine has no device for it."""
        ...

    def is_exact(self, kind: "Sums") -> bool:
        """Runtimes for CPUs only: whether this CPU computes such sums of INT8 products exactly (integers.py)."""
        ...

    def writer(self) -> "Writer":
        """Runtimes with a format of their own only: the function that converts an ONNX file to it.

        Its arguments are the ONNX file, which it may move, the file to write, and the largest batch. It returns the
        files that have to be kept together.

        Raises:
            RuntimeUnavailable: this machine cannot write the format.
        """
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format of model files: its suffix, and how messages call such a file."""

    suffix: str
    noun: str


ONNX = Format(".onnx", "an ONNX file")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What is known of a runtime before it is imported.

    Attributes:
        name: that users write.
        file: module of the runtime, below `watchline.engines`.
        install: command that installs it.
        packages: distributions that it needs; `watchline doctor` lists their versions.
        formats: of the model files that it runs.
        gpu: it runs on an NVIDIA GPU, not on the CPU.
        inside: it can return any tensor of an ONNX file (inside.py).
        int8: form of INT8 that it runs fastest, a key of FORMS in export/precision/int8.py.
    """

    name: str
    file: str
    install: str
    packages: tuple[str, ...]
    formats: tuple[Format, ...] = (ONNX,)
    gpu: bool = False
    inside: bool = False
    int8: str = "onnxruntime"

    @property
    def own(self) -> str | None:
        """Suffix of the format that only this runtime runs; None if it has no such format."""
        return next((format.suffix for format in self.formats if format is not ONNX), None)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files that it runs."""
        return tuple(format.suffix for format in self.formats)

    def workers(self, cores: int) -> int:
        """Default number of engines: one per core; two on a GPU, so that one copies while the other computes."""
        return 2 if self.gpu else cores

    def imported(self) -> Module:
        """The runtime's module. Raises ImportError: the runtime is not installed."""
        return cast(Module, import_module(f"watchline.engines.{self.file}"))

    def module(self) -> Module:
        """The runtime's module. Raises RuntimeUnavailable: the runtime is not installed; the error says what to do."""
        try:
            return self.imported()
        except ImportError as error:
            raise RuntimeUnavailable(
                f"the runtime {self.name} cannot be imported ({error}); install it: {self.install}"
            ) from error


RUNTIMES = (
    Runtime("onnxruntime", "onnx_runtime", "pip install onnxruntime", ("onnxruntime",), inside=True),
    Runtime(
        "openvino",
        "open_vino",
        command("openvino"),
        ("openvino",),
        formats=(ONNX, Format(".xml", "an OpenVINO model")),
        inside=True,
        int8="openvino",
    ),
    Runtime(
        "cuda",
        "nvidia.onnx_cuda",
        command("cuda"),
        ("onnxruntime-gpu", "cuda-bindings"),
        gpu=True,
    ),
    Runtime(
        "tensorrt",
        "nvidia.tensor_rt",
        command("tensorrt"),
        ("tensorrt", "cuda-bindings"),
        formats=(ONNX, Format(".engine", "a TensorRT plan")),
        gpu=True,
        int8="tensorrt",
    ),
)
"""A file is run by the first one that can, unless the user names another."""

NAMES = tuple(runtime.name for runtime in RUNTIMES)


def listed(names: tuple[str, ...] = NAMES) -> str:
    """Names as a sentence has them: "onnxruntime, openvino, cuda or tensorrt"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def for_cpus() -> str:
    """Names of the runtimes that need no GPU, as a sentence has them."""
    return listed(tuple(runtime.name for runtime in RUNTIMES if not runtime.gpu))


def find(name: str) -> Runtime:
    """The runtime with this name. Raises RequestRefused: the name is unknown."""
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    raise RequestRefused(f"there is no runtime {name!r}, expected {expected(name)}")


def expected(name: str) -> str:
    """What is expected instead of an unknown name: "one of onnxruntime, …; did you mean 'openvino'?"."""
    return one_of(name.lower(), NAMES, 0.4)


def running(suffix: str) -> list[Runtime]:
    """The runtimes that run files with this suffix."""
    return [runtime for runtime in RUNTIMES if suffix in runtime.suffixes]


def formats() -> dict[str, Format]:
    """The formats of all runtimes, by suffix."""
    return {format.suffix: format for runtime in RUNTIMES for format in runtime.formats}
