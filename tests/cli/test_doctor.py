"""`watchline doctor` and `watchline models`: they tell what is there, and never fail for what is not."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.shell import watchline

from watchline.cli import doctor
from watchline.engines import metadata, zoo
from watchline.engines.cores import cores
from watchline.engines.nvidia import cuda_driver

SECTIONS = ["machine", "gpu", "runtimes", "video", "libraries", "models", "would be chosen"]


def test_doctor_has_every_section() -> None:
    done = watchline("doctor")
    assert (done.code, done.err) == (0, [])
    assert [line for line in done.out if not line.startswith(" ")] == SECTIONS
    told = dict(line.split(maxsplit=1) for line in done.out if line.startswith(" "))
    assert told["numpy"] == np.__version__
    assert told["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert told["cores"].startswith(f"{cores()} to use of ")
    assert "libx264" in told["encoders"]
    assert any(line.startswith("  tensorrt's plans ") and "MB" in line for line in done.out)


def test_doctor_counts_the_plans_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path))
    assert doctor._plans() == f"0 in {tmp_path / 'plans'}, 0.0 MB"
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "a.engine").write_bytes(bytes(2_000_000))
    assert doctor._plans() == f"1 in {tmp_path / 'plans'}, 2.0 MB"


def test_doctor_says_when_two_builds_of_onnx_runtime_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "two builds" not in dict(doctor._runtimes())
    monkeypatch.setattr("watchline.engines.onnx_builds.version", lambda name: "1.31.1")
    told = dict(doctor._runtimes())["two builds"]
    assert told.startswith("onnxruntime 1.31.1 and onnxruntime-gpu 1.31.1 overwrite one another: pip uninstall ")


def test_a_section_that_breaks_is_a_finding_and_no_failure() -> None:
    def broken() -> doctor.Rows:
        raise RuntimeError("the driver\nis ill")

    assert doctor._asked(broken) == [("unknown", "RuntimeError: the driver is ill")]


def test_doctor_needs_no_model(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom watchline.engines import zoo\n"
        f"zoo.FOLDER = Path({str(tmp_path)!r})\nfrom watchline.cli import main\nsys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no model ships with this installation" in done.stdout
    assert "ModelNotFound" in done.stdout.split("would be chosen")[1]


def test_no_driver_is_said_so() -> None:
    with pytest.raises(cuda_driver.NoDriver, match=r"there is no NVIDIA driver \(libnone\.so\)"):
        cuda_driver.ask("libnone.so")


@pytest.mark.gpu
def test_the_driver_names_its_gpus() -> None:
    driver = cuda_driver.ask()
    assert driver.version.startswith("CUDA ")
    assert all(gpu.name and gpu.gibibytes > 1 and float(gpu.capability) >= 5 for gpu in driver.gpus)


def test_models_lists_what_ships() -> None:
    done = watchline("models")
    assert (done.code, done.err) == (0, [])
    for name in zoo.names():
        about = metadata.read(zoo.find(name))
        size = "{} x {}".format(*about.size)
        assert any(line.startswith(name) and size in line and about.task in line for line in done.out)
        assert all(any(what in line for line in done.out) for what in about.figures)
