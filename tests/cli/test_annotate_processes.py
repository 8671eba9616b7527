"""`watchline annotate --resume --processes N`: several processes do one job, whatever becomes of any of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli.shell import within
from clips import write_clip
from killed_jobs import finished, hashes
from models_onnx import tiny_detector

from watchline.pipeline.manifest import NAME, opened

FILES = 8
DEADLY = """
import os, signal
from contextlib import contextmanager
from dataclasses import field
from watchline import Stage
from watchline.settings import settings

@settings
class Deadly(Stage):
    name = "deadly"
    order = "any"

    @contextmanager
    def open(self):
        yield work

def work(items):
    for item in items:
        if item.frame.stream == "3":
            os.kill(os.getpid(), signal.SIGKILL)
    return items
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tree of clips, a model, and what one process makes of them, in `expected`."""
    (tmp_path / "tree").mkdir()
    for number in range(FILES):
        grey = np.full((48, 64, 3), 60 + 5 * number, np.uint8)
        write_clip(tmp_path / "tree" / f"{number}.mp4", frames=30, draw=lambda _, grey=grey: grey)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def words(out: str, *others: str) -> list[str]:
    return ["annotate", "tree", "--resume", "--out", out, "--model", "tiny.onnx", "--workers", "1", *others]


SLOW = """
import time
from watchline import Stage
from watchline.settings import settings
from contextlib import contextmanager

@settings
class Slow(Stage):
    name = "slow"
    order = "any"

    @contextmanager
    def open(self):
        yield work

def work(items):
    time.sleep(0.02)
    return items
"""


@pytest.fixture
def slowly(folder: Path) -> tuple[str, str]:
    """Options with which a file takes as long as it needs to be caught at work; its outputs are the same."""
    (folder / "slow.py").write_text(SLOW)
    return "--stage", "slow:Slow"


def begun(folder: Path, *others: str) -> "subprocess.Popen[str]":
    """The job, in a process of its own, whose children can be found."""
    command = [sys.executable, "-m", "watchline", *words("out", "--processes", "2", *others)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(of: int) -> list[int]:
    """Of any thread of a process."""
    return [int(pid) for file in Path(f"/proc/{of}/task").glob("*/children") for pid in file.read_text().split()]


def done_in(folder: Path) -> int:
    return len(list((folder / "out").glob("*.mp4")))


def waits(until, limit: float = 60.0) -> Iterator[None]:
    end = time.monotonic() + limit
    while not until():
        assert time.monotonic() < end, "it took too long"
        yield time.sleep(0.01)


def wait(until) -> None:
    for _ in waits(until):
        pass


def states(folder: Path) -> dict[str, int]:
    with opened(folder / "out") as manifest:
        return {state: count for state, (count, _) in manifest.counts().items()}


def expected(folder: Path) -> dict[str, str]:
    assert within(folder, *words("expected")).code == 0
    return hashes(folder / "expected")


def test_two_processes_make_the_same_files_as_one_and_one_report(folder: Path) -> None:
    done = within(folder, *words("out", "--processes", "2", "--report", "report.json"))
    assert (done.code, done.out[-1]) == (0, f"out: {FILES} files: {FILES} done")
    assert hashes(folder / "out") == expected(folder)
    report = json.loads((folder / "report.json").read_text())
    account = report["streams"]["all files"]
    assert (account["annotated"], account["balances"]) == (30 * FILES, True)
    stages = {stage["name"]: (stage["workers"], stage["frames"]) for stage in report["stages"]}
    assert stages["detector"] == (2, 30 * FILES)
    assert [file["tries"] for file in report["files"]] == [1] * FILES
    again = within(folder, *words("out", "--processes", "2"))
    assert (again.code, again.out) == (0, [f"out: {FILES} files: {FILES} done"])


def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost_or_done_twice(
    folder: Path, slowly: tuple[str, str]
) -> None:
    job = begun(folder, *slowly)
    wait(lambda: done_in(folder) >= 2)
    before = finished(folder / "out")
    os.kill(children(job.pid)[0], signal.SIGKILL)
    _, err = job.communicate(timeout=120)
    assert job.returncode == 0, err
    assert "a process of the job died of SIGKILL; another one takes its place" in err
    assert hashes(folder / "out") == expected(folder)
    assert before.items() <= finished(folder / "out").items(), "a file that was finished was done again"


def test_a_file_that_kills_its_process_again_and_again_has_failed_and_no_other(folder: Path) -> None:
    (folder / "deadly.py").write_text(DEADLY)
    job = begun(folder, "--stage", "deadly:Deadly")
    _, err = job.communicate(timeout=240)
    assert job.returncode == 1, err
    assert states(folder) == {"done": FILES - 1, "failed": 1}, err
    listed = (folder / "out" / "failed.txt").read_text()
    assert listed == "3.mp4: 3 processes died that had nothing else to do\n"
    assert not list((folder / "out").rglob("*.part"))


def test_no_process_outlives_a_parent_that_is_killed(folder: Path, slowly: tuple[str, str]) -> None:
    job = begun(folder, *slowly)
    wait(lambda: done_in(folder) >= 1)
    helpers = children(job.pid)
    assert len(helpers) == 2
    job.kill()
    job.communicate()
    wait(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in helpers))
    assert within(folder, *words("out", "--processes", "2", *slowly)).code == 0
    assert hashes(folder / "out") == expected(folder)


def test_ctrl_c_finishes_what_is_begun_and_the_rest_waits(folder: Path, slowly: tuple[str, str]) -> None:
    job = begun(folder, *slowly)
    wait(lambda: done_in(folder) >= 1)
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert not list((folder / "out").rglob("*.part"))
    left = states(folder)
    assert left["waiting"] + left["done"] == FILES
    assert out.splitlines()[-1].startswith(f"out: {FILES} files: ")
    assert within(folder, *words("out", "--processes", "2", *slowly)).code == 0
    assert hashes(folder / "out") == expected(folder)


def test_processes_that_die_before_they_have_a_file_are_not_begun_for_ever(folder: Path) -> None:
    dying = "import os, signal, sys\nif any('annotate_process' in word for word in sys.orig_argv):\n"
    (folder / "early.py").write_text(f"{dying}    os.kill(os.getpid(), signal.SIGKILL)\n{DEADLY}")
    job = begun(folder, "--stage", "early:Deadly")
    _, err = job.communicate(timeout=60)
    assert job.returncode == 2
    assert "watchline: processes of the job die before they begin" in err.splitlines()[-1]
    assert states(folder) == {"waiting": FILES}


def test_what_a_stage_prints_goes_to_stderr(folder: Path) -> None:
    """Also what it prints when it is imported."""
    (folder / "loud.py").write_text(
        'print("welcome")\n'
        + DEADLY.replace('if item.frame.stream == "3":', "if True:").replace(
            "os.kill(os.getpid(), signal.SIGKILL)", 'print("seen", item.frame.stream)'
        )
    )
    job = begun(folder, "--stage", "loud:Deadly")
    out, err = job.communicate(timeout=60)
    assert job.returncode == 0, err
    assert "seen 3" in err.splitlines()
    assert err.splitlines().count("welcome") == 2
    assert "seen" not in out


def test_a_process_that_cannot_begin_ends_the_job(folder: Path) -> None:
    (folder / "late.py").write_text(DEADLY.replace("yield work", "raise ValueError('no licence')"))
    job = begun(folder, "--stage", "late:Deadly")
    _, err = job.communicate(timeout=60)
    assert job.returncode == 2
    assert "no licence" in err
    assert err.splitlines()[-1] == "watchline: a process of the job ended with exit code 1; it has said why"
    assert states(folder) == {"waiting": FILES}


@pytest.mark.parametrize(
    ("others", "says"),
    [
        (["--processes", "2"], "--processes needs --resume"),
        (["--resume", "--processes", "0"], "argument --processes: "),
        (["--resume", "--processes", "2", "--config", "c.toml"], "would each write to [sinks.hourly] of its own"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_written(
    folder: Path, others: list[str], says: str
) -> None:
    (folder / "c.toml").write_text('[sinks.hourly]\nfile = "hours.csv"\n')
    done = within(folder, "annotate", "tree", "--out", "out", "--model", "tiny.onnx", *others)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (folder / "out").exists()


def test_processes_of_a_shard_share_its_manifest(folder: Path) -> None:
    for number in (1, 2):
        assert within(folder, *words("out", "--processes", "2", "--shard", f"{number}/2")).code == 0
    assert {n: of for n, of in hashes(folder / "out").items() if not n.endswith(".db")} == expected(folder)
    assert not (folder / "out" / NAME).exists()
