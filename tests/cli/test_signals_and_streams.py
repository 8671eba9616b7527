"""Signals at any moment, and standard streams that are closed or that nobody reads: what is done, and the exit code."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from clips import decode, write_clip
from models_onnx import tiny_detector

from watchline.cli.interrupt import first_stops

FRAMES = 5
WATCHLINE = f"{sys.executable} -m watchline"
MODEL = "--model tiny.onnx --imgsz 128x64 --workers 1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.mp4"):
        write_clip(tmp_path / name, FRAMES, (128, 64))
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """In bash, whose `pipefail` gives the exit code of the program in front of a pipe."""
    words = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)


def check_whole(folder: Path, *names: str) -> None:
    for name in names:
        assert len(decode(folder / "out" / f"{name}.mp4").pictures) == FRAMES
        footer = json.loads((folder / "out" / f"{name}.jsonl").read_text().splitlines()[-1])["footer"]
        assert (footer["whole"], footer["frames"]) == (True, FRAMES)


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-", "2>&1 | head -0", "2>/dev/full >/dev/null"])
def test_work_is_done_and_its_exit_code_is_right_whoever_listens(folder: Path, closed: str) -> None:
    words = f"annotate a.mp4 gone.mp4 --out out {MODEL} --report report.json"
    done = shell(folder, f"{WATCHLINE} {words} {closed}")
    assert done.returncode == 1, "gone.mp4 is not there"
    assert "Traceback" not in done.stderr
    assert "failed: gone.mp4" not in done.stdout, "what is for stderr went elsewhere"
    check_whole(folder, "a")
    assert json.loads((folder / "report.json").read_text())["frames"] == FRAMES


def test_a_report_that_cannot_be_printed_is_a_failure(folder: Path) -> None:
    done = shell(folder, f"{WATCHLINE} annotate a.mp4 --out out {MODEL} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "watchline: standard output cannot be written: No space left on device"
    check_whole(folder, "a")


def test_recordings_go_on_when_nobody_reads_the_events_any_more(folder: Path) -> None:
    done = shell(folder, f"{WATCHLINE} run a.mp4 b.mp4 --out out --jsonl - {MODEL} | head -1")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    assert "a: events: standard output: nobody reads it any more; the others go on" in done.stderr
    check_whole(folder, "a", "b")


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("run", signal.SIGTERM, 0),
        ("run", signal.SIGHUP, 0),
        ("annotate --config", signal.SIGTERM, 130),
        ("check", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_a_signal_before_anything_was_begun(tmp_path: Path, command: str, number: int, code: int) -> None:
    """The program is held where it reads its config, a pipe. A signal just before it reads is seen with the next."""
    config = tmp_path / "watchline.toml"
    os.mkfifo(config)
    words = [sys.executable, "-m", "watchline", *command.split(), config]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as job, config.open("w"):
        while job.poll() is None:
            job.send_signal(number)
            time.sleep(0.2)
        assert job.stderr is not None
        said = job.stderr.read()
    assert (job.returncode, said) == (code, "")


def test_what_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stopped: list[int] = []
    try:
        with first_stops(lambda: stopped.append(1)) as seen:
            os.kill(os.getpid(), signal.SIGHUP)
            assert seen == stopped == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_hangs_up_twice_and_the_files_are_finished_all_the_same() -> None:
    stopped: list[int] = []
    with first_stops(lambda: stopped.append(1), lambda line: None) as seen:
        for number in (1, 2):
            os.kill(os.getpid(), signal.SIGHUP)
            until = time.monotonic() + 10
            while len(seen) < number and time.monotonic() < until:
                time.sleep(0.01)  # another thread may have got it
    assert seen == [signal.SIGHUP] * 2
    assert stopped


def test_after_the_work_a_signal_does_not_do_what_it_did_before_anything_was_begun() -> None:
    """Which is to leave as if all were done, though the report may not be written yet."""

    def nothing_begun(*_: object) -> None:
        raise AssertionError

    before = {number: signal.signal(number, nothing_begun) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with first_stops(lambda: None, lambda line: None) as seen:
            seen.append(signal.SIGHUP)
        assert signal.getsignal(signal.SIGTERM) is not nothing_begun
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # a closed terminal sends it twice
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_later_signal_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr("watchline.cli.interrupt.TOGETHER", 0.0)
    monkeypatch.setattr("watchline.cli.interrupt.os._exit", left.append)
    with first_stops(lambda: None, lambda line: None) as seen:
        for number in (1, 2):
            os.kill(os.getpid(), signal.SIGTERM)
            until = time.monotonic() + 10
            while len(seen) < number and time.monotonic() < until:
                time.sleep(0.01)
    assert left == [130]
