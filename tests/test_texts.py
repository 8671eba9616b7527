"""What is in the repository as text: no file holds what a merge has left undone."""

import re
import subprocess

from file_list import ROOT

MARKERS = re.compile(rb"^(<{7} |={7}$|>{7} )", re.MULTILINE)


def test_no_merge_was_left_undone() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    names = listed.stdout.decode("utf-8", "surrogateescape").split("\0") if listed.returncode == 0 else []
    texts = [ROOT / name for name in names if name.endswith((".py", ".md", ".toml", ".json", "Makefile", "Dockerfile"))]
    paths = texts or [path for suffix in ("py", "md") for path in ROOT.glob(f"[a-z]*/**/*.{suffix}")]
    assert len(paths) > 300
    assert [str(path) for path in paths if path.is_file() and MARKERS.search(path.read_bytes())] == []
