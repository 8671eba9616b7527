"""A build in a child process: progress, refusals, crashes, Ctrl-C, and a parent that is gone."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia import build_process
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest

ORDER = BuildRequest(Path("model.onnx"), (64, 32), (1, 4))


def builder(folder: Path, body: str) -> tuple[str, ...]:
    """A child that behaves as `body` says; `order` is what it is asked for, `tell` sends a line."""
    script = folder / "builder.py"
    script.write_text(
        "import json, os, signal, sys, time\norder = json.loads(sys.argv[1])\n"
        "def tell(**words): print(json.dumps(words), flush=True)\n" + textwrap.dedent(body)
    )
    return sys.executable, str(script)


def test_the_plan_comes_back_and_the_progress_before_it(tmp_path: Path) -> None:
    command = builder(
        tmp_path,
        """
        tell(phase="Building", done=1, total=2)
        print("something that a library says")
        tell(phase="Building", done=2, total=2)
        open(order["plan"], "w").write(f"{order['model']} {order['size']} {order['batch']} {order['timing']}")
        """,
    )
    heard: list[BuildProgress] = []
    plan = build_process.build(ORDER, Path("timing.cache"), heard.append, command)
    assert plan == b"model.onnx [64, 32] [1, 4] timing.cache"
    assert heard == [BuildProgress("Building", 1, 2), BuildProgress("Building", 2, 2)]


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ('tell(refused="model.onnx: it has a Loop"); sys.exit(1)', ModelRefused, "^model.onnx: it has a Loop$"),
        ('tell(failed="out of memory"); sys.exit(1)', InferenceFailed, "^out of memory$"),
        (
            'print("assert in x.cpp"); sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)',
            InferenceFailed,
            "model.onnx: TensorRT's builder was ended by signal 11, there is no plan; its last lines: assert in x.cpp",
        ),
        ("sys.exit(3)", InferenceFailed, "builder ended with 3, there is no plan$"),
        ('sys.stderr.write("no such module"); sys.exit(1)', InferenceFailed, "its last lines: no such module"),
        ('print("[1, 2]"); print("null"); sys.exit(1)', InferenceFailed, r"its last lines: \[1, 2\] \| null"),
    ],
    ids=["refused", "failed", "crash", "exit", "stderr", "other JSON"],
)
def test_a_build_without_a_plan(tmp_path: Path, body: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_process.build(ORDER, tmp_path / "timing", print, builder(tmp_path, body))


def test_nothing_is_imported_from_the_folder_we_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('another json.py ran')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InferenceFailed) as failed:  # without TensorRT or without a model, as may be
        build_process.build(ORDER, tmp_path / "timing", print)
    assert "another json.py" not in str(failed.value)


def test_what_is_raised_meanwhile_ends_the_builder(tmp_path: Path) -> None:
    """Ctrl-C is raised in the same place as what a report raises."""
    command = builder(tmp_path, "tell(phase=str(os.getpid()), done=0, total=1); time.sleep(60)")
    heard: list[int] = []

    def interrupted(progress: BuildProgress) -> None:
        heard.append(int(progress.phase))
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        build_process.build(ORDER, tmp_path / "timing", interrupted, command)
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(heard[0], 0)


def test_a_builder_that_is_interrupted_alone_is_an_error(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the builder too, whatever thread waits for it."""
    command = builder(
        tmp_path, "signal.signal(2, signal.SIG_DFL); tell(phase=str(os.getpid()), done=0, total=1); time.sleep(60)"
    )
    with pytest.raises(InferenceFailed, match="builder was ended by signal 2"):
        build_process.build(ORDER, tmp_path / "timing", lambda p: os.kill(int(p.phase), signal.SIGINT), command)


def test_nobody_s_builder_ends(tmp_path: Path) -> None:
    """The real builder's watch over its parent, in a process that is killed without a chance to clean up."""
    child = (
        "import time, os, threading\n"
        "from watchline.engines.nvidia.watch_parent import die_with_the_parent\n"
        "die_with_the_parent()\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys\n"
            f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
            "child.wait()",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
        assert gone(pid, 10)


def gone(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # ended; nobody here is its parent and asks how
            return True
        time.sleep(0.05)
    return False


def test_many_lines_do_not_block(tmp_path: Path) -> None:
    body = 'for n in range(20000): print("x" * 100)\nopen(order["plan"], "w").write("plan")'
    done: list[bytes] = []
    thread = threading.Thread(
        target=lambda: done.append(build_process.build(ORDER, tmp_path / "timing", print, builder(tmp_path, body))),
        daemon=True,
    )
    thread.start()
    thread.join(30)
    assert done == [b"plan"]
