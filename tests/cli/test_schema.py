"""`watchline schema` prints the schema of the events: of our stages, or with a stage of one's own."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from cli.shell import within

TESTS = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(TESTS / "outside" / "crowds.py", tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "crowds", raising=False)
    return tmp_path


def test_of_our_stages_it_is_the_published_one(folder: Path) -> None:
    done = within(folder, "schema")
    assert (done.code, done.err) == (0, [])
    assert "\n".join(done.out) + "\n" == (TESTS.parent / "docs" / "events.schema.json").read_text()


def test_a_stage_of_ones_own_is_in_it(folder: Path) -> None:
    schema = json.loads("\n".join(within(folder, "schema", "--stage", "crowds:Crowds").out))
    assert schema["$defs"]["frame"]["properties"]["crowd"]["properties"]["where"] == {
        "enum": ["left", "right", "nowhere"]
    }
    assert {"event_crowd_began", "event_crowds_over"} <= schema["$defs"].keys()


def test_what_cannot_be_is_one_line_and_exit_code_2(folder: Path) -> None:
    done = within(folder, "schema", "--stage", "crowds:Nobody")
    assert (done.code, len(done.err)) == (2, 1)
    assert "--stage crowds:Nobody: no stage" in done.err[0]
