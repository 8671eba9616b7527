"""Progress: bars on a terminal, lines elsewhere."""

import os
import pty
import re
import subprocess
import sys
import termios
from fractions import Fraction
from pathlib import Path

import onnx
import pytest
from clips import write_clip
from models_onnx import tiny_detector

from watchline.cli import job_progress, progress
from watchline.pipeline.annotate import Progress
from watchline.pipeline.batch import Standing
from watchline.streams.source import About


def about(frames: int | None) -> About:
    return About("a.mp4", 64, 48, Fraction(1, 25), Fraction(25), frames, "h264")


def lines_of(steps: list[Progress], capsys: pytest.CaptureFixture[str]) -> list[str]:
    shown = progress.ProgressLines()
    for step in steps:
        shown.show(step)
    shown.close()
    return [re.sub(r"\d+\.\d", "#", line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_each_tenth_of_a_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    steps = [Progress("a", about(100), i) for i in range(1, 101)] + [Progress("a", about(100), 100, True)]
    found = lines_of(steps, capsys)
    assert found[0] == "a: 100 frames of 64 x 48, h264"
    assert [line.split(" frames")[0] for line in found[1:-1]] == [f"a: {n}/100" for n in range(10, 101, 10)]
    assert found[-1] == "a: done: 100 frames in # s, # FPS"


def test_a_count_that_cannot_be_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    monkeypatch.setattr(progress, "LONGEST_PAUSE", 0.0)
    steps = [Progress("a", about(50), i) for i in (49, 50, 51, 247)] + [Progress("a", about(50), 247, True)]
    found = lines_of(steps, capsys)
    assert [line.split(" frames")[0] for line in found[1:]] == [
        "a: 49/50",
        "a: 50/50",
        "a: 51/?",
        "a: 247/?",
        "a: done: 247",
    ]
    shown = progress.Bars()
    for step in steps:
        shown.show(step)
    said = capsys.readouterr().err
    assert "247/247 frames" in said
    assert "/50 frames" in said
    assert not {"51/50", "247/50"} & set(said.split())


def test_a_fast_job_does_not_fill_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [Progress("a", about(100), i) for i in range(1, 101)] + [Progress("a", about(100), 100, True)]
    assert len(lines_of(steps, capsys)) == 2


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([Progress("a", None, 0, True, "no video")], ["a: starting", "a: failed after 0 frames"]),
        (
            [Progress("a", about(None), 1), Progress("a", about(None), 1, True, "cut")],
            ["a: 64 x 48, h264", "a: failed after 1 frames"],
        ),
        (
            [Progress("a", about(9), 2), Progress("a", about(9), 2, True, interrupted=True)],
            ["a: 9 frames of 64 x 48, h264", "a: stopped after 2 frames"],
        ),
        (
            [Progress("a", about(9), 0, True, interrupted=True)],
            ["a: 9 frames of 64 x 48, h264", "a: stopped after 0 frames"],
        ),
        ([Progress("a", None, 0, True, interrupted=True)], []),
    ],
)
def test_how_streams_begin_and_end(
    capsys: pytest.CaptureFixture[str], steps: list[Progress], expected: list[str]
) -> None:
    assert lines_of(steps, capsys) == expected


def test_a_bar_stays_where_it_was_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.Bars()
    shown.show(Progress("a", about(100), 25))
    shown.show(Progress("a", about(100), 25, True, interrupted=True))
    shown.show(Progress("b", None, 0, True, interrupted=True))
    shown.close()
    said = capsys.readouterr().err
    assert re.search(r"a  25% \|.+\| stopped after 25 frames\s*$", said)
    assert "100%" not in said


@pytest.mark.parametrize(
    ("standing", "said"),
    [
        (Standing(0, 5000, 0, 0, 0.0, None), "0 frames, 0.0 FPS"),
        (Standing(31, 5000, 2, 1234, 10.0, 3723.4), "2 failed, 1234 frames, 123.4 FPS, ETA 1:02:03"),
        (Standing(5000, 5000, 0, 9, 1.0, 0.0), "9 frames, 9.0 FPS"),
    ],
)
def test_how_far_a_job_of_many_files_is(standing: Standing, said: str) -> None:
    assert job_progress.figures_of(standing) == said


def test_a_job_of_many_files_fills_no_log(capsys: pytest.CaptureFixture[str]) -> None:
    shown = job_progress.JobLines(lambda: Standing(1, 5000, 0, 7, 1.0, None))
    for number in range(5000):
        shown.show(Progress(f"A/{number}", about(9), 9, True))
    shown.close()
    assert capsys.readouterr().err.splitlines() == [
        "1/5000 files, 7 frames, 7.0 FPS, A/0",
        "1/5000 files, 7 frames, 7.0 FPS",
    ]


def test_a_job_of_many_files_is_one_line_on_a_terminal(tmp_path: Path) -> None:
    for name, frames in (("a", 3), ("b", 8)):
        write_clip(tmp_path / f"{name}.mp4", frames)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    words = ["annotate", "a.mp4", "b.mp4", "--resume", "--out", "out", "--model", "tiny.onnx"]
    code, shown = _on_a_terminal(words, tmp_path, columns=100)
    assert code == 0
    assert re.search(r"100% \|█+\| 2/2 files, 11 frames, \d+\.\d FPS", shown)
    assert shown.count("\n") == 1


def test_a_bar_a_file_on_a_terminal(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", frames=8)
    write_clip(tmp_path / "other.mp4", frames=3)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    words = ["annotate", "walk.mp4", "other.mp4", "--out", "out", "--model", "tiny.onnx"]
    code, shown = _on_a_terminal(words, tmp_path, columns=100)
    assert code == 0
    for name, frames in (("walk", 8), ("other", 3)):
        assert re.search(rf"{name} 100% \|█+\| {frames}/{frames} frames, \d+\.\d FPS, ETA 00:00", shown)


def test_a_terminal_without_room_gets_lines(tmp_path: Path) -> None:
    words = [
        "annotate",
        "gone.mp4",
        str(write_clip(tmp_path / "walk.mp4", frames=8)),
        "--out",
        "out",
        "--every",
        "8",
        "--no-video",
    ]
    _, shown = _on_a_terminal(words, tmp_path, columns=0)
    assert "walk: done: 8 frames" in shown


def _on_a_terminal(words: list[str], folder: Path, columns: int) -> tuple[int, str]:
    """Exit code of `watchline WORDS`, and what it writes to a terminal until it ends, which that tells by an error."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    command = [sys.executable, "-m", "watchline", *words]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, cwd=folder)
    os.close(theirs)
    data = b""
    try:
        while part := os.read(ours, 4096):
            data += part
    except OSError:
        os.close(ours)
    return job.wait(), data.decode()
