"""The command line as a shell runs it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


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
