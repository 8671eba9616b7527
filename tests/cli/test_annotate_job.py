"""`watchline annotate --resume`: what is done stays, what has changed is done anew, and no kill costs anything."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli.shell import Done, within
from clips import write_clip, write_photo
from killed_jobs import hashes
from models_onnx import tiny_detector

from watchline.pipeline.manifest import LOCK, NAME, opened

KILLED = Path(__file__).parents[1] / "killed_jobs.py"


def tree_of(folder: Path, files: Iterable[str]) -> Path:
    """A folder with a model, and a tree of short clips, no two of which have the same content."""
    for number, name in enumerate(files):
        grey = np.full((48, 64, 3), 60 + 5 * number, np.uint8)
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder / "tree" / name, frames=3, draw=lambda _, grey=grey: grey)
    onnx.save(tiny_detector(), folder / "tiny.onnx")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tree_of(tmp_path, ("A/x.mp4", "B/x.mp4", "c.mp4"))


def job(folder: Path, *words: str) -> Done:
    return within(folder, "annotate", "tree", "--recursive", "--resume", "--out", "out", "--model", "tiny.onnx", *words)


def changed(folder: Path, before: dict[str, tuple[int, int]]) -> set[str]:
    return {name for name, about in seen(folder).items() if before.get(name) != about}


def seen(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every output."""
    files = (path for path in (folder / "out").rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(folder / "out")): ((about := path.stat()).st_ino, about.st_mtime_ns) for path in files}


def states(folder: Path) -> dict[str, str]:
    with opened(folder / "out") as manifest:
        return {row.name: row.state for row in manifest.rows("waiting", "done", "failed", "same", "damaged")}


def test_what_is_done_stays_and_what_has_changed_is_done_anew(folder: Path) -> None:
    first = job(folder)
    assert (first.code, first.out[-1]) == (0, "out: 3 files: 3 done")
    assert sorted(seen(folder)) == ["A/x.jsonl", "A/x.mp4", "B/x.jsonl", "B/x.mp4", "c.jsonl", "c.mp4"]
    before, bytes_before = seen(folder), hashes(folder / "out")

    assert job(folder).code == 0
    os.utime(folder / "tree" / "c.mp4")
    done = job(folder, "--workers", "2")
    assert changed(folder, before) == set(), "what was only touched, or is only about speed, was done again"
    assert done.err[0].startswith("watchline: written again since they were done: 1 file, ")

    shutil.copy(folder / "tree" / "A" / "x.mp4", folder / "tree" / "c.mp4")
    (folder / "out" / "B" / "x.mp4").unlink()
    done = job(folder)
    assert changed(folder, before) == {"B/x.jsonl", "B/x.mp4", "c.jsonl", "c.mp4"}
    after = hashes(folder / "out")
    assert after["B/x.mp4"] == bytes_before["B/x.mp4"]
    assert after["c.mp4"] != bytes_before["c.mp4"]

    done = job(folder, "--conf", "0.9", "--no-video")
    assert done.err[0] == "watchline: the settings have changed: 3 files to be done anew"
    assert sorted(seen(folder)) == ["A/x.jsonl", "B/x.jsonl", "c.jsonl"], "videos of other settings were left"
    onnx.save(tiny_detector(("cat", "dog", "cow")), folder / "tiny.onnx")
    done = job(folder, "--conf", "0.9", "--no-video")
    assert done.err[0] == "watchline: the model has changed: 3 files to be done anew"


def test_bad_files_are_listed_and_tried_again_when_asked(folder: Path) -> None:
    good = (folder / "tree" / "A" / "x.mp4").read_bytes()
    (folder / "tree" / "A" / "x.mp4").write_text("no video\n" * 20)
    done = job(folder, "tree/gone.mp4", "--report", "report.json")
    assert (done.code, done.out[-1]) == (1, "out: 3 files: 2 done, 1 failed")
    listed = (folder / "out" / "failed.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in listed] == ["tree/gone.mp4", "A/x.mp4"]
    assert done.err[-3:-1] == [f"watchline: failed: {line}" for line in listed]
    report = json.loads((folder / "report.json").read_text())
    assert [(file["name"], file["state"], file["frames"]) for file in report["files"]] == [
        ("c", "done", 3),
        ("A/x", "failed", 0),
        ("B/x", "done", 3),
    ]
    assert report["streams"]["all files"]["balances"]

    assert job(folder, "--report", "report.html").out == ["out: 3 files: 2 done, 1 failed"], "it was tried again"
    page = (folder / "report.html").read_text()
    assert escape(report["files"][1]["why"]) in page
    assert "<script" not in page
    assert job(folder, "--retry-failed").code == 1
    (folder / "tree" / "A" / "x.mp4").write_bytes(good)
    assert job(folder).code == 0, "a failed file that was replaced is done without being asked for"
    assert not (folder / "out" / "failed.txt").exists()


def test_outputs_of_somebody_else_are_not_replaced(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "c.mp4").write_text("precious")
    assert job(folder).out[-1] == "out: 3 files: 2 done, 1 failed"
    assert (folder / "out" / "c.mp4").read_text() == "precious"
    assert "out/c.mp4 is there already" in (folder / "out" / "failed.txt").read_text()
    assert job(folder, "--retry-failed", "--overwrite").out[-1] == "out: 3 files: 3 done"
    done = within(folder, "annotate", "tree", "--recursive", "--resume", "--out", "tree", "--model", "tiny.onnx")
    assert done.out[-1] == "tree: 3 files: 3 failed"
    assert "it is in tree, where outputs go" in done.err[-2]


def test_a_second_job_in_a_folder_is_refused(folder: Path) -> None:
    (folder / "out").mkdir()
    with opened(folder / "out"):
        done = job(folder)
    assert (done.code, done.err) == (
        2,
        ["watchline: out is being written by another job: wait, or name another folder"],
    )
    assert not (folder / "out" / NAME).with_suffix(LOCK).exists()


def test_shards_do_the_whole_once_and_are_verified_together(folder: Path) -> None:
    """As an array of jobs of a cluster does it: each part a command of its own."""
    assert job(folder).code == 0
    expected = hashes(folder / "out")
    shutil.rmtree(folder / "out")
    (folder / "tree" / "broken.mp4").write_text("no video\n" * 20)
    did = [job(folder, "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(done.code for done in did) == [0, 0, 1]
    assert sum(int(done.out[-1].split()[1]) for done in did) == 4
    [listed] = (folder / "out").glob("failed-*-of-3.txt")
    assert listed.read_text().startswith("broken.mp4: ")
    listed.unlink()
    assert {name: of for name, of in hashes(folder / "out").items() if not name.endswith(".db")} == expected
    before = seen(folder)
    for number in (1, 2, 3):
        job(folder, "--shard", f"{number}/3")
    assert {name for name in changed(folder, before) if not name.startswith(("watchline-", "failed-"))} == set()
    assert within(folder, "verify", "out").out == ["out: 3 done, 1 failed"]
    (folder / "out" / "c.mp4").write_bytes(b"")
    assert within(folder, "verify", "out").err[0].startswith("watchline: damaged: c.mp4: it has 0 bytes: ")
    done = job(folder, "--shard", "1/2")
    assert (done.code, done.err) == (
        2,
        ["watchline: out has a job in 3 parts, and this one has 2: a job keeps its parts; name another folder"],
    )
    assert job(folder).code == 2


def test_a_shard_of_a_job_without_a_manifest_is_its_files(folder: Path) -> None:
    words = ("annotate", "tree", "--recursive", "--out", "out", "--model", "tiny.onnx", "--no-video")
    for number in (1, 2):
        assert within(folder, *words, "--shard", f"{number}/2").code == 0
    assert sorted(seen(folder)) == ["A/x.jsonl", "B/x.jsonl", "c.jsonl"]


def test_the_same_content_is_done_once(folder: Path) -> None:
    shutil.copy(folder / "tree" / "A" / "x.mp4", folder / "tree" / "B" / "x.mp4")
    assert job(folder, "--once").code == 0
    assert states(folder) == {"A/x": "done", "B/x": "same", "c": "done"}
    assert sorted(seen(folder)) == ["A/x.jsonl", "A/x.mp4", "c.jsonl", "c.mp4"]
    before = seen(folder)
    assert job(folder, "--once").code == 0
    assert changed(folder, before) == set()
    assert job(folder).code == 0
    assert states(folder) == {"A/x": "done", "B/x": "done", "c": "done"}


def test_damage_is_found_and_repaired(folder: Path) -> None:
    assert within(folder, "verify", "out").err == [
        "watchline: out/watchline.db: there is no manifest; `watchline annotate … --out out --resume` makes one"
    ]
    write_photo(folder / "tree" / "A" / "p.png")
    assert job(folder).code == 0
    before = hashes(folder / "out")
    assert within(folder, "verify", "out").out == ["out: 4 done"]
    video = folder / "out" / "B" / "x.mp4"
    video.write_bytes(video.read_bytes()[:-1] + b"?")
    (folder / "out" / "A" / "p.png").unlink()
    done = within(folder, "verify", "out")
    assert (done.code, done.out) == (1, ["out: 2 damaged, 2 done"])
    assert sorted(done.err) == [
        "watchline: damaged: A/p.png: it cannot be read: No such file or directory",
        "watchline: damaged: B/x.mp4: its bytes are not those that were written",
    ]
    assert job(folder).code == 0
    assert hashes(folder / "out") == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--out", "x.mp4", "--resume"], "--out x.mp4 is one video"),
        (["--once"], "--once needs --resume"),
        (["--shard", "1/3", "--format", "coco"], "--format needs all parts: `watchline convert OUT --to …` when they"),
        (["--shard", "4/3"], "argument --shard: '4/3': expected K/N, part K of N, such as 3/16"),
        (["--resume", "--model", "gone.onnx"], "no model 'gone.onnx'"),
    ],
)
def test_wrong_usage_writes_nothing(folder: Path, words: list[str], says: str) -> None:
    done = within(folder, "annotate", "tree/c.mp4", *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.onnx", "tree"]


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_job_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path, kills: int) -> None:
    tree_of(tmp_path, (f"{number % 3}/{number}.mp4" for number in range(20)))
    command = [sys.executable, str(KILLED), str(tmp_path), str(kills), "7"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 1
