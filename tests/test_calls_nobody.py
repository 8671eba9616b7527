"""Nothing calls home: a run opens no connection of its own accord and leaves no file that was not asked for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clips import write_clip

TRACED = "connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat,rename,renameat2"
INTERNET = re.compile(r"(connect|send\w+)\(.*sa_family=AF_INET")
WRITES = re.compile(r'(?:open\w*|creat|mkdir\w*)\((?:AT_FDCWD, )?"([^"]+)"(?!.*E(?:NOENT|EXIST))')


@pytest.mark.parametrize("placed", [(), ("--place", "detector=process")], ids=["here", "process"])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_run_calls_nobody_and_leaves_nothing(runtime: str, placed: tuple[str, ...], tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is not installed: apt-get install strace")
    clip = write_clip(tmp_path / "clip.mp4", frames=3)
    home, scratch, log = tmp_path / "home", tmp_path / "scratch", tmp_path / "log"
    home.mkdir()
    scratch.mkdir()
    out = tmp_path / "out.mp4"
    command = [strace, "-f", "-qq", "-s", "300", "-e", f"trace={TRACED}", "-o", log, sys.executable, "-m", "watchline"]
    command += ["annotate", clip, "--out", out, "--runtime", runtime, *placed]
    # Without CI: there ONNX Runtime keeps quiet by itself.
    environment = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": scratch, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=280)
    calls = log.read_text().splitlines()
    assert any(str(out) in call for call in calls)
    assert [call for call in calls if INTERNET.search(call)] == []
    written = {found[1] for call in calls if re.search("O_CREAT|creat|mkdir", call) and (found := WRITES.search(call))}
    ours = (*(f"{tmp_path}/{name}" for name in ("out", ".out", "clip", "scratch")), "/dev/", "/proc/")
    # The socket of a placed stage, whose path must be short, and which is gone afterwards.
    others = [path for path in written if not path.startswith(ours) and path != str(tmp_path)]
    assert [path for path in others if Path(path).exists()] == []
    assert [*home.rglob("*"), *scratch.rglob("*")] == []
