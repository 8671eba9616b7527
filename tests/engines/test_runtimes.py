"""The table of runtimes: what it says is so, and reading it costs nothing."""

import inspect
import subprocess
import sys

import pytest

from watchline.engines import runtimes
from watchline.engines.errors import RequestRefused
from watchline.engines.runtimes import RUNTIMES, Module, Runtime
from watchline.export.precision.int8 import FORMS

KNOWN = ", ".join(runtimes.NAMES)


@pytest.mark.parametrize("runtime", RUNTIMES, ids=runtimes.NAMES)
def test_a_runtime_s_file_has_what_the_rest_asks_for(runtime: Runtime) -> None:
    wanted = {"load", "version"} | ({"writer"} if runtime.own else set()) | (set() if runtime.gpu else {"is_exact"})
    module = pytest.importorskip(f"watchline.engines.{runtime.file}", exc_type=ImportError)
    for name in wanted:
        said, there = inspect.signature(getattr(Module, name)), inspect.signature(getattr(module, name))
        assert list(there.parameters) == list(said.parameters)[1:], name


def test_what_others_know_by_name() -> None:
    assert {runtime.int8 for runtime in RUNTIMES} <= FORMS.keys()
    assert len({runtime.name for runtime in RUNTIMES}) == len(RUNTIMES)
    assert not any(runtime.inside and runtime.gpu for runtime in RUNTIMES), "each tensor is held against the CPU's"


def test_a_format_has_one_runtime_of_its_own() -> None:
    for suffix in runtimes.formats():
        assert runtimes.running(suffix)[0] is RUNTIMES[0] or len(runtimes.running(suffix)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("opnvino", f"one of {KNOWN}; did you mean 'openvino'?"),
        ("TensorRT", f"one of {KNOWN}; did you mean 'tensorrt'?"),
        ("xyz", f"one of {KNOWN}"),
    ],
)
def test_a_name_that_there_is_not(name: str, text: str) -> None:
    assert runtimes.expected(name) == text
    with pytest.raises(RequestRefused, match=f"there is no runtime '{name}', expected one of "):
        runtimes.find(name)


def test_in_words() -> None:
    assert runtimes.listed(("one", "two", "three")) == "one, two or three"
    assert runtimes.listed(("one",)) == "one"
    assert all(name in runtimes.listed() for name in runtimes.NAMES)
    assert "openvino" in runtimes.for_cpus()
    assert "cuda" not in runtimes.for_cpus()


def test_reading_the_table_loads_nothing_heavy() -> None:
    code = (
        "import sys, watchline.engines.runtimes; print(*{'numpy', 'onnx', 'onnxruntime', 'openvino'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
