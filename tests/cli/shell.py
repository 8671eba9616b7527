"""Runs the command line in a process of its own, or within the test, which saves a second of imports per call."""

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from watchline.cli import main


@dataclass(frozen=True)
class Done:
    """A finished command; out and err are its lines."""

    code: int
    out: list[str]
    err: list[str]


def watchline(*words: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> Done:
    """Run `watchline WORDS` in a process of its own. No command of these tests may end in a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "watchline", *map(str, words)], capture_output=True, text=True, cwd=cwd, env=env
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def within(folder: Path, *words: str | Path) -> Done:
    """Run `watchline WORDS` in a folder, without a process of its own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 1
    return Done(code, out.getvalue().splitlines(), err.getvalue().splitlines())
