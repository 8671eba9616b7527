"""Jobs that are killed: `python tests/killed_jobs.py FOLDER KILLS SEED`, in a folder with `tree/` and `tiny.onnx`.

A job is a child that this process forks, so that only the first one pays for the imports. It kills itself (SIGKILL)
when it opens, renames or removes a file in the output folder for the n-th time, with n by chance: so every moment
between two such calls has its turn, however fast the machine is. A job that ends before is compared with one that
nobody killed, and the next one begins anew. Says at the end how many jobs became complete.
"""

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from watchline.cli import main
from watchline.pipeline import batch, config  # noqa: F401  before the first fork
from watchline.pipeline.manifest import NAME

MOST = 40  # calls that a job may make before it is killed
CALLS = ("open", "os.rename", "os.remove")


def run(out: str, calls: int | None = None) -> bool:
    """One job, killed at its n-th call, if it makes so many. Returns whether it ended by itself."""
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        if calls is not None:
            sys.addaudithook(_killer(out, calls))
        words = ["annotate", "tree", "--recursive", "--resume", "--out", out, "--model", "tiny.onnx", "--workers", "1"]
        os._exit(main(words))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return False
    assert os.WEXITSTATUS(status) == 0, status
    return True


def _killer(out: str, calls: int):
    left = calls

    def hook(event, args):
        nonlocal left
        if event in CALLS and os.fsdecode(args[0] if isinstance(args[0], str | bytes | Path) else "").startswith(out):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def hashes(folder: Path) -> dict[str, str]:
    """Every file that is there, but the manifest."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(NAME))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finished(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of the outputs that the manifest says are done."""
    if not (folder / NAME).is_file():
        return {}
    db = sqlite3.connect(folder / NAME)
    tables = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'outputs'").fetchone()
    query = "SELECT path FROM outputs JOIN files ON file = id WHERE state = 'done'"
    paths = [os.fsdecode(path) for (path,) in db.execute(query)] if tables else []
    db.close()
    return {path: ((about := (folder / path).stat()).st_ino, about.st_mtime_ns) for path in paths}


def kill(kills: int) -> int:
    """Kill so many jobs. Returns how many became complete in spite of it."""
    assert run("expected")
    expected = hashes(Path("expected"))
    out, complete, before = Path("out"), 0, {}
    while True:
        is_over = run("out", random.randint(1, MOST) if kills else None)
        now = finished(out)
        assert before.items() <= now.items(), "a file that was finished was touched"
        before = now
        if not is_over:
            kills -= 1
            continue
        assert hashes(out) == expected
        assert len(now) == len(expected)
        complete += 1
        if not kills:
            return complete
        shutil.rmtree(out)
        before = {}


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    random.seed(int(sys.argv[3]))
    sys.stdout.write(f"{kill(int(sys.argv[2]))} jobs became complete\n")
