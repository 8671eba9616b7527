"""Sinks of one's own: from one file outside of the package (outside/mine.py), and what becomes of a stream where one
fails.
"""

import json
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import onnx
import pytest
from cli.shell import watchline, within
from clips import decode, write_clip
from models_onnx import tiny_detector
from pipelines import Numbers, Script

from watchline import Annotate, Files, Item, Job, Jsonl, Kind, Message, Opening, Sink, Stage, Unwritten, Watch, Writer
from watchline.pipeline.ledger import Account
from watchline.settings import settings

MINE = Path(__file__).parents[2] / "outside" / "mine.py"
MODEL = ("--model", "tiny.onnx", "--imgsz", "64")
USE = '[sinks.mine]\nuse = "mine:Mine"\nfolder = "."\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_clip(tmp_path / "a.mp4", 5)
    write_clip(tmp_path / "b.mp4", 3)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    shutil.copy(MINE, tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    return tmp_path


def test_a_config_names_it(folder: Path) -> None:
    """In a process of its own, beside the files."""
    (folder / "watchline.toml").write_text(USE)
    words = ["a.mp4", "b.mp4", "--config", "watchline.toml", "--out", "out", "--report", "report.json"]
    done = watchline("run", *words, *MODEL, cwd=folder)
    assert done.code == 0
    for name, frames in (("a", 5), ("b", 3)):
        told = [f"{name}.mp4", "Begin 0", *["Item 1"] * frames, "End 0", "closed"]
        assert (folder / f"{name}.txt").read_text().splitlines() == told
        assert f"{name}: out/{name}.mp4, out/{name}.jsonl, {name}.txt written" in done.out
        assert f"{name}: written by hand" in done.err
        assert len(decode(folder / "out" / f"{name}.mp4").pictures) == frames
    rows = {row["name"]: row["frames"] for row in json.loads((folder / "report.json").read_text())["stages"]}
    assert rows == {"decoder": 8, "detector": 8, "annotator": 8, "encoder": 8, "mine": 8}


@pytest.mark.parametrize("command", ["annotate", "run"])
def test_where_it_fails_only_it_suffers(folder: Path, command: str) -> None:
    words = [command, "a.mp4", "--config", "watchline.toml", *MODEL, "--out"]
    assert within(folder, command, "a.mp4", *MODEL, "--out", "without").code == 0
    for breaks_at, note in (
        (0, "a: mine: nothing is written: no ink"),
        (3, "a: mine: 5 messages were not written: the pen is broken"),
    ):
        (folder / "watchline.toml").write_text(f"{USE}breaks_at = {breaks_at}\n")
        done = within(folder, *words, "with", "--overwrite")
        assert done.code == 0
        assert note in done.err
        for name in ("a.mp4", "a.jsonl"):
            assert (folder / "with" / name).read_bytes() == (folder / "without" / name).read_bytes()
    assert (folder / "a.txt").read_text().splitlines() == ["a.mp4", "Begin 0", "Item 1", "closed"]


@pytest.mark.parametrize("command", ["annotate", "run"])
def test_one_that_must_have_everything_ends_its_stream(folder: Path, command: str) -> None:
    """Of b.mp4 there is nothing that it could not write; a.mp4 is written as far as it went, and plays."""
    (folder / "watchline.toml").write_text(USE.replace("Mine", "MineAll") + "breaks_at = 6\n")
    done = within(folder, command, "a.mp4", "b.mp4", "--config", "watchline.toml", *MODEL, "--out", "out")
    assert done.code == 1
    assert [line for line in done.err if line.startswith("watchline: failed: ")] == [
        "watchline: failed: a.mp4: the mine failed on frame 4: the pen is broken"
    ]
    assert 4 <= len(decode(folder / "out" / "a.mp4").pictures) <= 5
    assert len(decode(folder / "out" / "b.mp4").pictures) == 3
    assert (folder / "a.txt").read_text().splitlines()[-2:] == ["Item 1", "closed"]


def test_the_report_names_it_where_it_is_slow(folder: Path) -> None:
    (folder / "watchline.toml").write_text(USE + "slow = 0.5\n")
    words = ["a.mp4", "--config", "watchline.toml", "--no-video", "--out", "out"]
    out = within(folder, "annotate", *words, *MODEL).out
    assert [line.split()[2] for line in out if line.startswith(("writer ", "mine "))] == ["5", "5"]
    [verdict] = [line for line in out if line.startswith("The mine limits: it worked ")]
    assert verdict.endswith("% of the time; a faster pen would help.")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[sinks.mine]\nfolder = '.'", '[sinks.mine] use is missing: expected "module:Class", one of your own'),
        ("[sinks.mine]\nuse = 'mine:Yours'", "no sink 'mine:Yours' (module 'mine' has no attribute 'Yours')"),
        ("[sinks.mine]\nuse = 'mine:MineWriter'", "'mine:MineWriter' is not a sink: expected a class below"),
        ("[sinks.mine]\nuse = 'mine:Mine'", "[sinks.mine] folder is missing: expected where to write"),
        (USE + "breaks_at = -2", "[sinks.mine] breaks_at = -2: must be at least -1 (default -1)"),
        (USE + "break_at = 2", "[sinks.mine]: unknown key 'break_at': did you mean 'breaks_at'?"),
    ],
)
def test_mistakes_are_named(folder: Path, config: str, says: str) -> None:
    (folder / "watchline.toml").write_text(config)
    for words in (["check", "watchline.toml"], ["annotate", "a.mp4", "--config", "watchline.toml", *MODEL]):
        done = within(folder, *words)
        assert (done.code, len(done.err)) == (2, 1)
        assert says in done.err[0]


# What becomes of a stream where a sink fails, seen from Python.


class Kept:
    """Keeps what it is given; fails where it is told to."""

    def __init__(self, fails: dict[str, Exception]) -> None:
        self.messages: list[Message] = []
        self.lines: list[bytes] = []
        self.fails = fails

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        name = f"frame {message.frame.index}" if isinstance(message, Item) else type(message).__name__
        if name in self.fails:
            raise self.fails[name]
        self.messages.append(message)
        self.lines += lines


class Keeping(Sink):
    """Not a settings class: it holds what the test wants to see."""

    def __init__(self, name: str = "kept", must: bool = False, **fails: Exception) -> None:
        vars(self).update(name=name, must=must, writers=[], fails=fails)

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        if "open" in self.fails:
            raise self.fails["open"]
        self.writers.append(Kept(self.fails))
        yield self.writers[-1]
        if "close" in self.fails:
            raise self.fails["close"]


class Turns(Sink):
    """Lets a camera give its next frame as soon as this one is with the sinks."""

    name, must = "turns", False

    def __init__(self) -> None:
        self.next = threading.Semaphore()

    @contextmanager
    def open(self, opening: Opening) -> Iterator[Writer]:
        yield self

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        if isinstance(message, Item):
            self.next.release()


def patient_camera(frames: int, stage: Stage, sinks: list[Sink]) -> Job:
    """No newer frame replaces one that waits, and none is late, however slow the machine is.

    A frame that is lost before the sinks costs a second.
    """
    turns = Turns()
    camera = Script("a", [[partial(turns.next.acquire, timeout=1.0), 1] * frames], ends=True)
    return Job([camera], [stage], [turns, *sinks], latency_budget=60.0)


def outcome_of(job, live=False):
    work = Watch(job) if live else Annotate(job)
    list(work.run())
    [outcome] = work.outcomes
    nothing = Account(decoded=0, annotated=0, dropped={}, in_flight=0)  # a sink may fail before the first frame
    account = work.report.streams.get(outcome.stream, nothing)
    assert account.balances
    assert account.in_flight == 0
    return outcome, account


GREY = Kind("grey", int, as_json=int)
SHARE = Kind("share", float, as_json=float)


@settings
class Grey(Stage):
    """Gives the grey of each frame; of some it gives what is no JSON."""

    name = "grey"
    gives = (GREY,)
    emits = {"over": {}}  # noqa: RUF012

    @contextmanager
    def open(self):
        yield lambda items: [item.with_result(GREY, int(item.frame.image[0, 0, 0])) for item in items]


def test_lines_are_made_once_for_all_sinks():
    first, second = Keeping("first", must=True), Keeping("second")
    outcome_of(Job([Numbers("a", 4)], [Grey()], [first, second]))
    [one], [two] = first.writers, second.writers
    assert [json.loads(line)["grey"] for line in one.lines] == [0, 1, 2, 3]
    assert all(mine is yours for mine, yours in zip(one.lines, two.lines, strict=True))
    assert [type(message).__name__ for message in one.messages] == ["Begin", *["Item"] * 4, "End"]


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("fails", "note"),
    [
        ({"open": OSError("no")}, "kept: nothing is written: no"),
        ({"close": OSError("no")}, "kept: no"),
        ({"frame 2": Unwritten("no")}, "kept: 1 messages were not written: no"),
        ({"Begin": OSError("no"), "End": OSError("no end")}, "kept: 2 messages were not written: no end"),
    ],
)
def test_one_that_may_fail_costs_nothing(live, fails, note, tmp_path):
    sinks = [Keeping(**fails), Jsonl(tmp_path / "a.jsonl")]
    job = patient_camera(5, Grey(), sinks) if live else Job([Numbers("a", 5)], [Grey()], sinks)
    outcome, account = outcome_of(job, live)
    assert (outcome.error, outcome.frames) == (None, 5)
    assert note in outcome.notes
    assert account.annotated == 5
    assert (tmp_path / "a.jsonl").read_text().count('"grey"') == 5


@pytest.mark.parametrize(
    ("fails", "error", "frames"),
    [
        ({"open": OSError("no")}, "the kept failed: no", 0),
        ({"Begin": OSError("no")}, "the kept failed: no", 0),
        ({"frame 2": OSError("no")}, "the kept failed on frame 2: no", 2),
        ({"End": OSError("no")}, "the kept failed: no", 5),
        ({"close": OSError("no")}, "the kept failed at the end: no", 5),
    ],
)
def test_one_that_must_have_everything_ends_a_file(fails, error, frames):
    outcome, account = outcome_of(Job([Numbers("a", 5)], [Grey()], [Keeping(must=True, **fails)]))
    assert (outcome.error, outcome.frames) == (error, frames)
    assert account.annotated == frames


def test_a_frame_of_a_camera_that_it_could_not_write_is_told_as_lost(tmp_path):
    kept = Keeping(must=True, **{f"frame {n}": Unwritten("no") for n in (2, 3)})
    outcome, account = outcome_of(patient_camera(6, Grey(), [kept]), live=True)
    assert (outcome.error, outcome.frames) == (None, 4)
    assert account.dropped == {"unwritten": 2}
    lines = list(map(json.loads, kept.writers[0].lines))
    told = [line.get("frame", line.get("cause")) for line in lines if line.get("event") != "state"]
    assert list(dict.fromkeys(told)) == [0, 1, "unwritten", 4, 5]
    assert sum(line["frames"] for line in lines if "cause" in line) == 2


@settings
class Odd(Grey):
    """What it gives and says is no JSON."""

    name = "odd"
    gives = (SHARE,)
    at_frame: int = -1
    at_end: bool = False

    @contextmanager
    def open(self):
        from watchline import Event, Work

        class Odd(Work):
            def __call__(work, items):  # noqa: N805
                odd = float("nan")
                return [item.with_result(SHARE, odd if item.frame.index == self.at_frame else 0.5) for item in items]

            def end(work, stream):  # noqa: N805
                return [Event("over", {"score": float("nan") if self.at_end else 1})]

        yield Odd()


def test_what_is_no_json_costs_a_camera_its_frame_only():
    kept = Keeping(must=True)
    outcome, account = outcome_of(patient_camera(6, Odd(at_frame=2, at_end=True), [kept]), live=True)
    assert (outcome.error, outcome.frames) == (None, 5)
    assert account.dropped == {"failed": 1}
    told = [line.get("frame", line.get("cause", line.get("state"))) for line in map(json.loads, kept.writers[0].lines)]
    assert told == ["connecting", "live", 0, 1, "failed", 3, 4, 5, "ended"]


@pytest.mark.parametrize(
    ("odd", "error"),
    [
        (Odd(at_frame=2), "the events failed on frame 2: Out of range float values"),
        (Odd(at_end=True), "the events failed on a message: Out of range float values"),
    ],
)
def test_what_is_no_json_ends_a_file(odd, error, tmp_path):
    outcome, _ = outcome_of(Job([Numbers("a", 5)], [odd], [Jsonl(tmp_path / "a.jsonl")]))
    assert outcome.error.startswith(error)
    assert (tmp_path / "a.jsonl").read_text().count('"share"') == outcome.frames > 1


def test_nothing_is_lost_where_nobody_writes():
    outcome, account = outcome_of(Job([Numbers("a", 5)], [Grey()], []))
    assert (outcome.frames, account.annotated) == (5, 5)


def test_a_video_that_its_sink_could_not_keep_is_whole_as_far_as_it_goes(folder: Path) -> None:
    from watchline import Annotator, Detector, FileSource

    stages = [Detector(model=str(folder / "tiny.onnx"), imgsz=64), Annotator()]
    sinks = [Files(folder / "out"), Keeping(must=True, **{"frame 3": OSError("no")})]
    outcome, _ = outcome_of(Job([FileSource(folder / "a.mp4")], stages, sinks))
    assert outcome.error == "the kept failed on frame 3: no"
    assert outcome.frames == 3
    assert outcome.outputs == (folder / "out" / "a.mp4", folder / "out" / "a.jsonl")
    assert len(decode(folder / "out" / "a.mp4").pictures) == 4
