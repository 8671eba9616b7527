"""Nothing that a name says reaches a terminal raw, whatever prints it."""

import json
import os
import re
import subprocess
import sys

import pytest
from cli.shell import within
from clips import write_clip

EVIL = os.fsdecode(b"\xff\x1b[31m\xc2\x9b2J\x07")
SHOWN = "\\xff\\u001b[31m\\u009b2J\\u0007"
OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f]")


def test_a_files_name_in_progress_report_log_and_json(tmp_path):
    clip = tmp_path / f"{EVIL}.mp4"
    write_clip(clip, 2)
    broken = tmp_path / f"{EVIL} 2.mp4"
    broken.write_bytes(b"none")
    words = [clip, broken, "--out", "out", "--no-video", "--report", "report.json", "--place", "detector=process", "-v"]
    command = [sys.executable, "-m", "watchline", "annotate", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "DEBUG" in text
    assert not OBEYED.search(text)
    assert text.count(SHOWN) > 5
    lines = (tmp_path / "out" / f"{EVIL}.jsonl").read_bytes().splitlines()
    read = [json.loads(line) for line in [*lines, (tmp_path / "report.json").read_bytes()]]
    json.dumps(read, ensure_ascii=False).encode()
    assert read[0]["header"]["source"] == EVIL.replace("\udcff", "\\xff") + ".mp4"


@pytest.mark.parametrize(
    "words",
    [
        ["annotate", EVIL],
        ["annotate", f"--{EVIL}"],
        [EVIL],
        ["annotate", "a.mp4", "--model", EVIL],
        ["annotate", "a.mp4", "--place", f"detector={EVIL}"],
        ["run", "--conf", EVIL, "a.mp4"],
        ["check", EVIL],
        ["keys", f"nosuch/{EVIL}"],
        ["stage", EVIL, "--listen", "tcp://127.0.0.1:0"],
        ["stage", "detector", "--listen", EVIL],
        ["stage", "detector", "--listen", "tcp://127.0.0.1:0", "--models", EVIL],
    ],
)
def test_a_word_that_is_refused(tmp_path, words):
    write_clip(tmp_path / "a.mp4", 1)
    done = within(tmp_path, *words)
    assert done.code in (1, 2)
    assert not OBEYED.search("\n".join(done.out + done.err))
    assert "31m" in "\n".join(done.err)
