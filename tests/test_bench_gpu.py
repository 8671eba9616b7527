"""bench/gpu.py without a GPU: its dry run completes, and a section that fails or has no time left says so."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "gpu.py"
ENGINE_ALONE = ("machine", "parity", "engine", "search")


def dry_run(folder: Path, *words: str | Path) -> dict[str, dict[str, Any]]:
    """The tables by their titles."""
    file = folder / "tables.json"
    command = [sys.executable, SCRIPT, "--provider", "cpu", "--quick", "--json", file, "--work", folder, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tables = {table["title"]: table for table in json.loads(file.read_text())}
    assert [f"### {title}" for title in tables] == [line for line in done.stdout.splitlines() if line[:3] == "###"]
    return tables


@pytest.mark.slow
def test_the_dry_run_fills_its_tables(bikes: Path, tmp_path: Path) -> None:
    tables = dry_run(tmp_path, "--clip", bikes, "--only", *ENGINE_ALONE, "chain", "decode", "torch")
    assert all(table["rows"] and not table["notes"] for table in tables.values()), tables
    assert dict(tables["machine"]["rows"])["runtime cuda"].startswith(("not available: ", "1."))
    [compared] = tables["parity"]["rows"]
    assert compared[2:5] == [32, 0, 0], "32 pictures, by the same runtime"
    assert compared[5] > 0
    assert compared[6:] == [0, 0]
    assert [row[2] for row in tables["engine"]["rows"]] == [1, 2, 2, 2, 1]
    assert all(row[5] > 0 for row in tables["engine"]["rows"])
    assert [row[4] for row in tables["chain"]["rows"][1:]] == [30, 60, 30, 60], "no frame is missing"


def test_a_section_that_fails_says_so_and_the_others_go_on(tmp_path: Path) -> None:
    tables = dry_run(tmp_path, "--clip", tmp_path / "none.mp4", "--only", "parity", "machine")
    [note] = tables["parity"]["notes"]
    assert note.startswith("parity failed: SourceNotFound: ")
    assert tables["machine"]["rows"]


def test_without_time_nothing_is_started(tmp_path: Path) -> None:
    tables = dry_run(tmp_path, "--seconds", "0", "--only", *ENGINE_ALONE)
    for table in tables.values():
        assert table["notes"] == ["Not everything was run: the time of 0 s was over."]
        assert table["rows"] == []
