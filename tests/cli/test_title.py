"""What others see of a command line with a password in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from watchline.cli.title import concealed, concealed_text

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("rtsp://user:c4n4ry@host:554/path", "rtsp://***@host:554/path"),
        ("rtsp://c4n4ry@host/path?token=c4n4ry", "rtsp://***@host/path?***"),
        ("http://host/a?key=c4n4ry@x&b=http://c4n4ry@y", "http://***@y"),
        ("rtsps://user:p/?#@c4n4ry:@host/path", "rtsps://***@host/path"),
        ("rtsp://user:two words\nc4n4ry@host/path", "rtsp://***@host/path"),
        ("gate=rtsp://user:c4n4ry@host", "gate=rtsp://***@host"),
        ("rtsp://host/path", "rtsp://host/path"),
        ("clip@home.mp4?", "clip@home.mp4?"),
        ("--latency-budget=500", "--latency-budget=500"),
    ],
)
def test_what_is_left_of_a_word(word: str, expected: str) -> None:
    assert concealed(word) == expected


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="asks Linux what it shows of a process")
@pytest.mark.parametrize("url", [f"rtsp://user:{CANARY}@host/path", f"rtsp://u:{CANARY}@h/{'long/' * 500}?{CANARY}"])
def test_nobody_sees_it(url: str) -> None:
    program = "from watchline.cli.title import conceal_command_line as c; c(); print('done', flush=True); input()"
    command = [sys.executable, "-c", program, "run", url, "--out", "out"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "done\n"
        process = Path(f"/proc/{job.pid}")
        shown = (process / "cmdline").read_bytes()
        comms = b"".join(path.read_bytes() for path in process.glob("task/*/comm"))
        job.communicate("\n")
    assert CANARY.encode() not in shown + comms
    assert b"run rtsp://***@h" in shown
    assert shown.rstrip(b"\0").endswith(b" --out out")


def test_a_command_line_without_secrets_stays_as_it_is() -> None:
    program = "import sys; from watchline.cli.title import conceal_command_line as c; c(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "clip.mp4"], capture_output=True, text=True, check=True
    )
    assert "setproctitle" not in done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "text", "shown"),
    [
        ("rtsp://me:s3cret@gate/x?key=1", "no file 'rtsp://me:s3cret@gate/x?key=1'", "no file 'rtsp://***@gate/x?***'"),
        ("rtsp:/me:s3cret@gate", "unknown command 'rtsp:/me:s3cret@gate'", "unknown command '***@gate'"),
        ("me:s3cret@gate/x", "no file me:s3cret@gate/x", "no file ***@gate/x"),
        ("rtsp://me:s3 c@ret@gate/x", "no file rtsp://me:s3 c@ret@gate/x?", "no file rtsp://***@gate/x?"),
        ("--split=rtsp://me:s3cret@gate", "split = rtsp://me:s3cret@gate", "split = rtsp://***@gate"),
        ("rtsp://", "expected rtsp://user:password@host/path", "expected rtsp://user:password@host/path"),
        ("--lop", "unknown option --lop: did you mean '--loop'?", "unknown option --lop: did you mean '--loop'?"),
    ],
)
def test_a_message_hides_what_was_typed(typed: str, text: str, shown: str) -> None:
    assert concealed_text(text, ["run", typed]) == shown
