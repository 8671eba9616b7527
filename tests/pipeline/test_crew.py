"""A captain and its crew: what a member that is gone has left counts for nothing; how files are handed out."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from watchline import Files
from watchline.pipeline.crew import local
from watchline.pipeline.crew.captain import Captain
from watchline.pipeline.crew.local import Started
from watchline.pipeline.crew.member import Told
from watchline.pipeline.errors import ManifestError
from watchline.pipeline.manifest import DONE, FAILED, Planned, opened


class Scripted:
    """A member that does what a script says: a generator that is sent what the captain tells, and yields answers."""

    def __init__(self, script, folder: Path) -> None:
        self.heard: list[Told] = []
        self._script = script(self, folder)
        self.died_of = ""

    def tell(self, told: Told) -> None:
        self.heard.append(told)

    def hear(self) -> Iterator[Told]:
        yield {"ready": True}
        yield from self._script

    def end(self) -> str:
        return self.died_of

    @property
    def rows(self) -> list[str]:
        return [told["row"]["name"] for told in self.heard if "row" in told]


def finished(folder: Path, row: Told, text: str) -> Told:
    """A row whose output was written into the member's folder."""
    (folder / f"{row['name']}.jsonl").write_text(text)
    outputs = [{"path": f"{row['name']}.jsonl", "bytes": len(text), "sha256": "?"}]
    figures = {"stamp": "1", "content": "c", "frames": 1, "seconds": 1.0, "notes": None}
    return {"finished": row["id"], "state": DONE, "figures": figures, "why": None, "outputs": outputs}


def does_all(member: Scripted, folder: Path) -> Iterator[Told]:
    done = 0
    while {"end": True} not in member.heard or done < len(member.rows):
        row = [told["row"] for told in member.heard if "row" in told][done]
        done += 1
        yield finished(folder, row, f"{row['name']} done")


def planned(names: str, inputs: Path = Path("/in"), suffix: str = ".mp4") -> list[Planned]:
    return [Planned(name, {"path": str(inputs / f"{name}{suffix}")}, 10, "1", "config", "model") for name in names]


def crew_of(
    out: Path, names: str, *scripts, files: Files | None = None, inputs: Path = Path("/in"), suffix: str = ".mp4"
) -> tuple[list[Scripted], dict[str, str]]:
    """Let members follow their scripts, one after another; the last script is that of all who come later."""
    members: list[Scripted] = []

    def begin(folder: Path) -> Scripted:
        members.append(Scripted(scripts[min(len(members), len(scripts) - 1)], folder))
        return members[-1]

    with opened(out) as manifest:
        manifest.plan(planned(names, inputs, suffix), retry=False, once=False)
        captain = Captain(manifest, files or Files(out, None), [begin])
        list(captain.run())
        return members, {row.name: row.state for row in manifest.rows(DONE, FAILED)}


def test_what_a_member_writes_is_published_when_it_says_that_it_is_finished(tmp_path: Path) -> None:
    def dies_with_a_file_written(member, folder):
        (folder / "a.jsonl").write_text("half")
        member.died_of = "SIGKILL"
        yield {"stream": "a", "frames": 3}
        assert not (tmp_path / "a.jsonl").exists()

    members, states = crew_of(tmp_path, "ab", dies_with_a_file_written, does_all)
    assert states == {"a": DONE, "b": DONE}
    assert (tmp_path / "a.jsonl").read_text() == "a done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "watchline.db"]
    assert len(members) == 2


def test_a_file_that_three_members_died_of_alone_has_failed(tmp_path: Path) -> None:
    def dies(member, folder):
        if member.rows[:1] == ["b"]:
            yield finished(folder, member.heard[-1]["row"], "b")
        member.died_of = "SIGKILL"
        yield {"stream": "a", "frames": 0}

    members, states = crew_of(tmp_path, "ab", dies)
    assert [one.rows for one in members] == [
        ["a", "b"],
        ["a"],
        ["b", "a"],
        ["a"],
    ]  # what was begun least often is first
    assert states == {"a": FAILED, "b": DONE}


def test_members_of_other_parts_of_the_job_are_left_in_peace(tmp_path: Path) -> None:
    """Each part of a job in one folder has a captain of its own, who removes what a killed one has left."""
    beside, before = tmp_path / ".watchline-2-of-2-members", tmp_path / ".watchline-members"
    for folder in (beside, before):
        (folder / "one").mkdir(parents=True)
    crew_of(tmp_path, "a", does_all)
    assert (beside.exists(), before.exists()) == (True, False)


def test_a_file_that_was_begun_before_is_handed_to_a_member_that_has_no_other(tmp_path: Path) -> None:
    def dies(member, folder):
        member.died_of = "SIGSEGV"
        yield {"stream": "a", "frames": 0}

    def waits(member, folder):
        """Finishes a file only when it has been seen what else it has been handed."""
        for name, at_once in (("c", ["c"]), ("a", ["c", "a"]), ("b", ["c", "a", "b"])):
            assert member.rows == at_once
            yield finished(folder, member.heard[-1]["row"], name)

    members, states = crew_of(tmp_path, "abc", dies, waits)
    assert members[0].rows == ["a", "b"]
    assert states == {"a": DONE, "b": DONE, "c": DONE}


def test_a_file_that_cannot_be_published_has_failed_and_no_other(tmp_path: Path) -> None:
    """A folder stands where the events should go."""
    (tmp_path / "a.jsonl").mkdir()
    (tmp_path / "a.jsonl" / "mine").write_text("precious")
    _, states = crew_of(tmp_path, "ab", does_all, files=Files(tmp_path, None, overwrite=True))
    assert states == {"a": FAILED, "b": DONE}
    assert (tmp_path / "a.jsonl" / "mine").read_text() == "precious"


def test_an_input_is_not_replaced_under_another_name(tmp_path: Path) -> None:
    """The same folder, mounted or linked under two names, as a container has it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "in").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "a.jsonl").write_text("the input")
    files = Files(tmp_path / "out", None, overwrite=True)
    _, states = crew_of(tmp_path / "out", "a", does_all, files=files, inputs=tmp_path / "in", suffix=".jsonl")
    assert states == {"a": FAILED}
    assert (tmp_path / "out" / "a.jsonl").read_text() == "the input"


def test_files_that_were_only_interrupted_are_handed_out_as_new_ones(tmp_path: Path) -> None:
    def looks(member, folder):
        assert sorted(member.rows) == ["a", "b"]
        yield from does_all(member, folder)

    with opened(tmp_path) as manifest:
        manifest.plan(planned("ab"), retry=False, once=False)
        for _ in range(3):
            row = manifest.claim(lambda row: "")
            assert row is not None
            manifest.release(row)
    _, states = crew_of(tmp_path, "ab", looks)
    assert states == {"a": DONE, "b": DONE}


def test_what_is_there_and_not_in_the_manifest_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("precious")
    members, states = crew_of(tmp_path, "ab", does_all)
    assert states == {"a": FAILED, "b": DONE}
    assert (tmp_path / "a.jsonl").read_text() == "precious"
    assert members[0].rows == ["b"]


@pytest.mark.parametrize(
    ("code", "says"),
    [("print('torn', end='')", None), ("import os; os.kill(os.getpid(), 9)", "SIGKILL"), ("exit(130)", "an interrupt")],
)
def test_how_a_process_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str | None) -> None:
    """Its first line is read; half a line at the end, of a process that was killed while it wrote, is not."""
    (tmp_path / "member_module.py").write_text(
        f"print({json.dumps(json.dumps({'ready': True}))}, flush=True)\n{code}\n"
    )
    monkeypatch.setattr(local, "MODULE", "member_module")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with (tmp_path / "lock").open("w") as lock:
        member = Started([], [], lock.fileno(), tmp_path)
        assert list(member.hear()) == [{"ready": True}]
        member.tell({"stop": True})  # one that is dead: its end is the same
        assert member.end() == (says or "")
        member.tell({"stop": True})  # nothing happens


def test_a_process_that_says_why_it_cannot_go_on_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "member_module.py").write_text("exit(2)")
    monkeypatch.setattr(local, "MODULE", "member_module")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with (tmp_path / "lock").open("w") as lock:
        member = Started([], [], lock.fileno(), tmp_path)
        with pytest.raises(ManifestError, match="ended with exit code 2; it has said why"):
            member.end()
