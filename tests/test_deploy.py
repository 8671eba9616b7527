"""What runs Watchline as a service: the unit can be enabled, and the container knows when it is ill."""

import configparser
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_detector

ROOT = Path(__file__).parents[1]
UNIT = (ROOT / "deploy" / "watchline.service").read_text()


def test_the_unit_can_be_enabled_and_has_a_user_and_a_folder_of_its_own() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(UNIT)
    service = unit["Service"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    assert service["User"] != "root"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    assert service["Environment"] == f"WATCHLINE_CACHE=/var/cache/{service['CacheDirectory']}"
    assert service["ExecStart"].split()[1] == "run"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("there is no systemd-analyze here")
    unit = tmp_path / "watchline.service"
    unit.write_text(UNIT.replace("/opt/watchline/.venv/bin/watchline", sys.executable))
    done = subprocess.run([verify, "verify", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def health(pid: int) -> int:
    """The exit code of the container's check, for another process than its first."""
    text = (ROOT / "Dockerfile").read_text()
    [words] = re.findall(r"HEALTHCHECK .*? CMD (\[.*?\])\nENTRYPOINT", text, re.DOTALL)
    command = json.loads(words.replace("\\\n", ""))
    command[-1] = command[-1].replace("/proc/1/", f"/proc/{pid}/").replace("/proc/[0-9]*/", f"/proc/{pid}/")
    return subprocess.run(command).returncode


def test_a_run_is_healthy_while_its_files_grow(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", 10, (64, 48))
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    words = ["run", "a.mp4", "--realtime", "--loop", "--no-video", "--out", "out", "--model", "tiny.onnx"]
    command = [sys.executable, "-m", "watchline", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as job:
        try:
            end = time.monotonic() + 60
            while not any('"frame"' in path.read_text() for path in tmp_path.glob("out/*.part")):
                assert time.monotonic() < end
                time.sleep(0.05)
            assert health(job.pid) == 0
            job.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, job.pid, os.WSTOPPED)
            long_ago = time.time() - 300
            for path in (tmp_path / "a.mp4", *tmp_path.glob("out/*.part")):
                os.utime(path, (long_ago, long_ago))
            assert health(job.pid) == 1
        finally:
            job.kill()


def test_what_is_not_a_run_is_healthy() -> None:
    assert health(os.getpid()) == 0
