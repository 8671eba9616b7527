"""The manifest: what waits, what is claimed, what is done anew, and what a killed process leaves."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from watchline.pipeline.errors import ManifestError
from watchline.pipeline.manifest import DONE, FAILED, NAME, WAITING, Figures, Manifest, Output, Planned, opened

ODD = "v\udce9"  # a name that is no UTF-8
MANY = 20_000


def planned(name: str, **changed: str) -> Planned:
    return replace(Planned(name, {"path": Path(name)}, 10, "1", "config", "model"), **changed)


def finish(manifest: Manifest, folder: Path, content: str = "content") -> str:
    """Claim a row and do it: its output has the name of the row. Returns the name."""
    row = manifest.claim(lambda row: "")
    assert row is not None
    (folder / f"{row.name}.out").write_bytes(b"abc")
    manifest.finish(row, DONE, Figures("1", content, 3, 1.5), outputs=[Output(Path(f"{row.name}.out"), 3, "sha")])
    return row.name


def test_each_row_is_claimed_once_in_order_and_stays_done(tmp_path: Path) -> None:
    files = [planned(name) for name in ("b", ODD, "a")]
    with opened(tmp_path) as manifest:
        manifest.plan(files, retry=False, once=False)
        assert [finish(manifest, tmp_path) for _ in files] == ["b", ODD, "a"]
        assert manifest.claim(lambda row: "") is None
    with opened(tmp_path) as manifest:
        assert manifest.plan(files, retry=True, once=False) == {}
        assert manifest.counts() == {DONE: (3, 30)}
        assert [row.source for row in manifest.rows(DONE)][1] == {"path": ODD}
        manifest.plan(files[:1], retry=False, once=False)
        assert manifest.counts() == {DONE: (1, 10)}, "files that a run does not name are not its own"


@pytest.mark.parametrize(
    ("changed", "why", "known"),
    [({"stamp": "2"}, "input", "content"), ({"config": "x"}, "config", None), ({"model": "x"}, "model", None)],
)
def test_what_has_changed_waits(tmp_path: Path, changed: dict[str, str], why: str, known: str | None) -> None:
    with opened(tmp_path) as manifest:
        manifest.plan([planned("a"), planned("b")], retry=False, once=False)
        finish(manifest, tmp_path)
        finish(manifest, tmp_path)
        for _ in range(2):  # again before it was done
            manifest.plan([planned("a", **changed), planned("b")], retry=False, once=False)
            assert manifest.counts() == {DONE: (1, 10), WAITING: (1, 10)}
        row = manifest.claim(lambda row: "")
        assert row is not None
        assert (row.name, row.content) == ("a", known), "the hash tells whether the outputs are still of this content"


def test_a_missing_output_and_a_failed_file_wait_as_they_should(tmp_path: Path) -> None:
    with opened(tmp_path) as manifest:
        manifest.plan([planned("a"), planned("b")], retry=False, once=False)
        finish(manifest, tmp_path)
        assert manifest.claim(lambda row: "no good") is None
        (tmp_path / "a.out").write_bytes(b"longer")
        assert manifest.plan([planned("a"), planned("b")], retry=False, once=False) == {"outputs": 1}
        assert manifest.counts() == {WAITING: (1, 10), FAILED: (1, 10)}
        manifest.plan([planned("a"), planned("b")], retry=True, once=False)
        assert manifest.counts() == {WAITING: (2, 20)}
        row = manifest.claim(lambda row: "")
        assert row is not None
        assert row.name == "b", "what was begun least often is first"


def test_what_a_killed_process_had_waits_and_is_named(tmp_path: Path) -> None:
    with opened(tmp_path) as manifest:
        manifest.plan([planned("a"), planned("b")], retry=False, once=False)
        manifest.claim(lambda row: "")
    with opened(tmp_path) as manifest:
        assert [(row.name, row.tries) for row in manifest.left] == [("a", 1)]
        assert manifest.counts() == {WAITING: (2, 20)}


def test_nothing_of_a_plan_that_breaks_off_is_kept(tmp_path: Path) -> None:
    def files():
        yield planned("b")
        raise ValueError("broken")

    with opened(tmp_path) as manifest:
        manifest.plan([planned("a")], retry=False, once=False)
        with pytest.raises(ValueError, match="broken"):
            manifest.plan(files(), retry=False, once=False)
        assert [row.name for row in manifest.rows(WAITING, named=True)] == ["a"]


@pytest.mark.parametrize(
    ("content", "says"), [(b"no database" * 100, "file is not a database"), (None, "has version 9 of the manifest")]
)
def test_a_manifest_that_cannot_be_used_is_refused_in_a_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    else:
        with sqlite3.connect(tmp_path / NAME) as db:
            db.execute("PRAGMA user_version = 9")
        db.close()
    with pytest.raises(ManifestError, match=says), opened(tmp_path):
        pass


def test_a_turn_costs_the_same_however_many_rows_there_are(tmp_path: Path) -> None:
    with opened(tmp_path) as manifest:
        manifest.plan((planned(str(number)) for number in range(MANY)), retry=False, once=False)
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        manifest._db.set_progress_handler(count, 100)  # called each hundred instructions of SQLite
        assert finish(manifest, tmp_path) == "0"
        assert steps < 10, "a claim reads more than its row"
