"""From a path to an engine, and every way that cannot work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from models_onnx import save, tiny_detector

from watchline.engines import available, load
from watchline.engines.errors import EngineError, ModelNotFound, ModelRefused, RequestRefused, RuntimeUnavailable
from watchline.engines.runtimes import NAMES

KNOWN = ", ".join(NAMES)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tiny_detector(), tmp_path)


def test_onnxruntime_on_the_cpu_is_the_default(model: Path) -> None:
    with load(str(model)) as engine:
        assert engine.runtime.startswith("onnxruntime ")
        assert engine.runtime.endswith(" CPUExecutionProvider")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"runtime": "onnxruntim"},
            RequestRefused,
            f"'onnxruntim'.*{KNOWN}; did you mean 'onnxr",
        ),
        ({"runtime": "OpenVINO"}, RequestRefused, "did you mean 'openvino'"),
        ({"runtime": "xyz"}, RequestRefused, f"'xyz', expected one of {KNOWN}$"),
        ({"threads": 0}, RequestRefused, "0 threads; expected 1 or more"),
        ({"size": (0, 64)}, RequestRefused, "width is 0; expected 8..4096"),
        ({"size": (64, -8)}, RequestRefused, "height is -8; expected 8..4096"),
        ({"size": (60, 64)}, RequestRefused, "width is 60; expected a multiple of 8, e.g. 56 or 64"),
        ({"size": (64, 5)}, RequestRefused, "height is 5; expected a multiple of 8, e.g. 8"),
        ({"size": (64, 8192)}, RequestRefused, "height is 8192; expected 8..4096"),
    ],
)
def test_options_that_cannot_be(model: Path, options: dict[str, Any], error: type[EngineError], message: str) -> None:
    with pytest.raises(error, match=message):
        load(model, **options)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("none.onnx", ModelNotFound, "none.onnx: there is no such file"),
        ("none.engine", ModelNotFound, "none.engine: there is no such file"),
        ("weights.pt", ModelRefused, "weights.pt: the suffix '.pt' .* expected .onnx"),
        ("folder", ModelRefused, "the suffix ''"),
        ("folder.onnx", ModelRefused, "folder.onnx: it cannot be read"),
    ],
)
def test_files_that_are_no_model(tmp_path: Path, name: str, error: type[EngineError], message: str) -> None:
    (tmp_path / "weights.pt").write_bytes(b"x")
    for folder in ("folder", "folder.onnx"):
        (tmp_path / folder).mkdir()
    with pytest.raises(error, match=message):
        load(tmp_path / name)


def test_errors_are_the_fitting_builtins_too(tmp_path: Path, model: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="threads"):
        load(model, threads=-1)


def test_a_square_model_takes_no_other_picture(tmp_path: Path) -> None:
    path = save(tiny_detector(size=("side", "side")), tmp_path)
    with load(path, size=(32, 32)) as engine:
        engine.warm_up()
    with pytest.raises(RequestRefused, match="64 x 32, but the model takes square pictures only"):
        load(path, size=(64, 32))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_runtime_that_is_not_installed(model: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # what Python itself takes for "cannot be imported"
    for module in ("onnx_runtime", "open_vino"):
        monkeypatch.delitem(sys.modules, f"watchline.engines.{module}", raising=False)
    with pytest.raises(RuntimeUnavailable, match=f"the runtime {name} cannot be imported.*pip install"):
        load(model, name)
    assert available()[name].startswith("not available: ")


def test_available_names_every_runtime_with_its_version() -> None:
    versions = available()
    assert tuple(versions) == NAMES
    assert "CPUExecutionProvider" in versions["onnxruntime"]


def test_importing_engines_imports_no_runtime() -> None:
    code = "import sys, watchline.engines; print({'onnx', 'onnxruntime', 'openvino'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
