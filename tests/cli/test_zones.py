"""`watchline zones`: a page for a video or a stream of the config, what is saved there, and what is refused."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cli.shell import within
from clips import write_clip

SHAPE = {"kind": "zones", "name": "yard", "was": None, "points": [[0, 0], [1, 0], [1, 1]]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path / "clip.mp4", 3, (64, 48), rate=10)
    return tmp_path


def in_the_background() -> None:
    """As a shell starts a job there: with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("source", ["clip.mp4", "gate"])
def test_what_is_saved_on_the_page_is_in_the_config(folder: Path, source: str, sent: signal.Signals) -> None:
    config = folder / "watchline.toml"
    if source == "gate":
        config.write_text('[streams.gate]\nsource = "clip.mp4"\n')
    command = [sys.executable, "-m", "watchline", "zones", source]
    options = {"cwd": folder, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=in_the_background, **options) as process:
        assert process.stdout is not None
        found = re.match(r"(http://127.0.0.1:\d+/\S+/) shows (\w+): draw there and save", process.stdout.readline())
        assert found
        with urllib.request.urlopen(found[1], timeout=30) as answer:
            assert b'viewBox="0 0 64 48"' in answer.read()
        with urllib.request.urlopen(f"{found[1]}save", json.dumps([SHAPE]).encode(), timeout=30) as answer:
            assert answer.read().decode() == "watchline.toml: 1 zone, 0 lines saved"
        process.send_signal(sent)
        assert process.wait(30) == 0
    name = "clip" if source == "clip.mp4" else "gate"
    assert f'[streams.{name}]\nsource = "clip.mp4"\n\n[streams.{name}.zones.yard]\npolygon' in config.read_text()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.mp4", "nowhere.mp4"),
        ("rtsp://me:secret@127.0.0.1/1", "the address has a password: name its stream in a config first"),
    ],
)
def test_what_cannot_be_shown_is_one_line(folder: Path, source: str, says: str) -> None:
    done = within(folder, "zones", source)
    assert done.code == 2
    assert len(done.err) == 1
    assert says in done.err[0]
    assert "secret" not in done.err[0]
