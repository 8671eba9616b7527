"""Shared by the tests of a real GPU: the cache of plans of this run, and the table that is printed at its end."""

from pathlib import Path

import pytest

from watchline.engines.errors import RuntimeUnavailable
from watchline.engines.nvidia import cuda_driver
from watchline.engines.nvidia.find_gpu import find_gpu
from watchline.engines.nvidia.interface import Gpu

ROWS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    try:
        return find_gpu()
    except RuntimeUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the cache, so that the tests build each plan only once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHLINE_CACHE", str(kept))


@pytest.fixture
def table(request: pytest.FixtureRequest) -> list[str]:
    """Rows for the table."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, ready to be pasted into docs/engines.md."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    gpu, driver = find_gpu(), cuda_driver.ask()
    terminalreporter.section("measured on this GPU")
    terminalreporter.write_line(f"{gpu.name}, driver of {driver.version}, TensorRT {gpu.tensorrt.version}\n")
    terminalreporter.write_line("| model | input | batch | ms per batch, median | pictures per second, engine only |")
    terminalreporter.write_line("| --- | --- | --- | --- | --- |")
    for row in rows:
        terminalreporter.write_line(row)
