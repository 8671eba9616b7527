"""Checks that NVIDIA's parser and builder accept a model. The package tensorrt_rtx has them, and needs no GPU.

    @needs_builder
    def test_it_builds(tmp_path):
        accepts(path_of_onnx)

Each build is a process of its own. WATCHLINE_NVIDIA names a folder with the package if it is not installed.
"""

import importlib.machinery
import os
import sys
from pathlib import Path

import pytest

from watchline.engines import metadata
from watchline.engines.contract import choose_size
from watchline.engines.nvidia import build_process
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest, OnProgress

CHILD = (sys.executable, str(Path(__file__).with_name("nvidia_child.py")))


def installed(package: str) -> bool:
    """Whether a package of NVIDIA's can be imported; it is not imported."""
    folders = [*sys.path, os.environ.get("WATCHLINE_NVIDIA", "")]
    return importlib.machinery.PathFinder.find_spec(package, folders) is not None


needs_builder = pytest.mark.skipif(
    not installed("tensorrt_rtx"),
    reason="NVIDIA's builder is not here: pip install tensorrt-rtx, or WATCHLINE_NVIDIA=folder that has it",
)


def accepts(
    model: Path,
    batch: int = 4,
    size: tuple[int, int] | None = None,
    timing: Path | None = None,
    report: OnProgress = lambda _: None,
) -> bytes:
    """Build a plan of a model by NVIDIA's builder, for 1 to `batch` pictures of (width, height) `size`.

    Raises:
        ModelRefused: the parser or the builder refuses the model; the error has their messages.
        InferenceFailed: they crashed.
    """
    about, shape = metadata.describe(model)
    counts = (shape.batch, shape.batch) if isinstance(shape.batch, int) else (1, batch)
    request = BuildRequest(model, choose_size(shape, about, size, str(model)), counts)
    return build_process.build(request, timing or model.with_suffix(".timing"), report, CHILD)


def collect(reports: list[BuildProgress]) -> OnProgress:
    """A callback that appends the progress to a list."""
    return reports.append
