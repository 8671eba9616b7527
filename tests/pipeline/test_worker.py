"""The loop of a stage's workers: what a stage hears of a stream, and what becomes of it where the stage fails."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from pipelines import Numbers, Script, Step

from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.message import Begin, Dropped, End, Event, Failure, Item, State
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.stage import Stage, Work


@dataclass(frozen=True)
class Notes(Stage, Work):
    """Writes down what it is called with; fails where it is told to."""

    name = "notes"
    emits = {"over": {}, "was": {}}  # noqa: RUF012
    gives = (DRAWN,)

    batch: int = 1
    order: str = "stream"
    fails_at: tuple[tuple[str, int], ...] = ()  # (stream, frame)
    begins_badly: tuple[tuple[str, int | None], ...] = ()  # (stream, epoch)
    says: Sequence[Event] = (Event("over"),)
    heard: list[object] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[Work]:
        yield self

    def begin(self, stream, about, epoch):
        self.heard.append(("begin", stream, epoch))
        if (stream, epoch) in self.begins_badly:
            raise ValueError("no room\n for it")

    def end(self, stream):
        self.heard.append(("end", stream))
        return self.says

    def __call__(self, items):
        self.sizes.append(len(items))
        self.heard.extend((item.stream, item.frame.index) for item in items)
        time.sleep(0.002)
        if any((item.stream, item.frame.index) in self.fails_at for item in items):
            raise ValueError("no\n good")
        return [item.with_event("was") for item in items]

    def frames(self, stream):
        return [each[1] for each in self.heard if each[0] == stream]


def jitter(item):
    time.sleep(0.004 if item.frame.index % 3 else 0)
    return item


def run(stages, sources, together=False):
    return list(Runner(stages).run(sources, together))


def until(stages, sources, done):
    """What a run of live streams says until `done` of its messages, or for ten seconds."""
    runner, messages = Runner(stages), []
    enough = threading.Timer(10, runner.stop)
    enough.start()
    for message in runner.run(sources):
        messages.append(message)
        if done(messages):
            runner.stop()
    enough.cancel()
    return messages


def kinds(messages):
    return [type(message).__name__ for message in messages]


def test_a_stage_hears_of_each_file_once_and_between_its_frames():
    stage = Notes()
    messages = run([stage], [Numbers("a", 2), Numbers("b", 0), Numbers("c", 1)])
    for name, frames in (("a", [0, 1]), ("b", []), ("c", [0])):
        heard = [each for each in stage.heard if name in each]
        assert heard == [("begin", name, None), *((name, index) for index in frames), ("end", name)]
    assert [m.events for m in messages if isinstance(m, End)] == [(Event("over"),)] * 3
    assert [m.events for m in messages if isinstance(m, Item)] == [(Event("was"),)] * 3


def test_a_stage_hears_of_each_epoch():
    stage = Notes()
    messages = until(
        [stage],
        [Script("a", [[1, 0.2, OSError("cut")], [1, 1.0]])],
        lambda seen: any(isinstance(m, Item) and m.frame.epoch == 1 for m in seen),
    )
    beginnings = [each for each in stage.heard if each[0] in ("begin", "end")]
    assert beginnings == [("begin", "a", 0), ("end", "a"), ("begin", "a", 1), ("end", "a")]
    said = [m for m in messages if isinstance(m, State | Begin | End) and m.events]
    assert [m.state for m in said] == ["retrying", "ended"]


def test_a_stage_of_any_order_hears_nothing():
    stage = Notes(order="any")
    run([stage], [Numbers("a", 3)])
    assert {each[0] for each in stage.heard} == {"a"}


@pytest.mark.parametrize("batch", [1, 3])
def test_a_call_has_no_more_items_than_a_batch_where_many_come_at_once(batch):
    """Frames that came too early are due all at once."""
    stage = Notes(batch=batch)
    run([Step("detector", jitter, workers=5), stage], [Numbers("a", 60)])
    assert max(stage.sizes) == batch
    assert stage.frames("a") == [*range(60)]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_stage_that_keeps_state_is_given_no_frame_twice(batch):
    stage = Notes(batch=batch, fails_at=(("a", 20),))
    messages = run([stage], [Numbers("a", 40), Numbers("b", 3)])
    assert stage.frames("a") == sorted(set(stage.frames("a")))
    assert stage.frames("b") == [0, 1, 2]
    [failure] = [m for m in messages if isinstance(m, Failure)]
    first = len([m for m in messages if isinstance(m, Item) and m.stream == "a"])
    last = stage.frames("a")[-1]
    assert first <= 20 <= last < first + batch
    assert failure.why == f"{f'frame {first}' if first == last else f'frames {first} to {last}'}: no good"


def test_a_failed_batch_is_booked_and_the_other_streams_in_it_go_on():
    stage = Notes(batch=6, fails_at=(("a", 5),))
    runner = Runner([stage])
    messages = list(runner.run([Numbers("a", 30), Numbers("b", 2), Numbers("c", 30)], together=True))
    failed = {m.stream for m in messages if isinstance(m, Failure)}
    assert "a" in failed
    assert all(account.balances and account.in_flight == 0 for account in runner.ledger.accounts().values())
    for name in "abc":
        assert stage.frames(name) == sorted(set(stage.frames(name)))
        assert [m for m in stage.heard if m == ("end", name)] == [("end", name)]


def test_a_failure_of_a_stage_says_the_end_of_the_stream_there():
    stage, after = Notes(fails_at=(("a", 2),)), Step("annotator", lambda item: item)
    messages = run([stage, after], [Numbers("a", 9), Numbers("b", 1)])
    assert kinds(messages) == ["Begin", "Item", "Item", "Failure", "Begin", "Item", "End"]
    assert messages[3] == Failure("a", "notes", "frame 2: no good", (Event("over"),))
    assert stage.heard[:5] == [("begin", "a", None), ("a", 0), ("a", 1), ("a", 2), ("end", "a")]
    assert stage.heard.count(("end", "a")) == 1


def test_a_stage_that_cannot_begin_fails_the_file_alone():
    stage = Notes(batch=4, begins_badly=(("b", None),))
    messages = run([stage], [Numbers("a", 9), Numbers("b", 9), Numbers("c", 9)], together=True)
    assert [m.why for m in messages if isinstance(m, Failure)] == ["no room for it"]
    assert sum(isinstance(m, Item) for m in messages) == 18
    assert stage.frames("b") == []
    assert ("end", "b") not in stage.heard


def test_a_stage_that_cannot_begin_with_an_epoch_costs_its_frames_and_no_others(caplog):
    stage = Notes(batch=4, begins_badly=(("a", 0),))
    messages = until(
        [stage],
        [Script("a", [[3, 0.3, OSError("cut")], [2, 0.5]]), Numbers("b", 40)],
        lambda seen: any(isinstance(m, Item) and m.stream == "a" for m in seen),
    )
    assert {m.frame.epoch for m in messages if isinstance(m, Item) and m.stream == "a"} == {1}
    assert {m.cause for m in messages if isinstance(m, Dropped) and m.epoch == 0} <= {"failed", "newer"}
    assert [m.frame.index for m in messages if isinstance(m, Item) and m.stream == "b"] == [*range(40)]
    said = [
        r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "the notes failed" in r.getMessage()
    ]
    assert said == ["a: the notes failed at its beginning: no room for it"]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ((Event("full"),), "it said the event 'full': it may say the event 'over', the event 'was'; see Stage.emits"),
        (("over",), "the stage gave a tuple at the end of a stream: expected a list of events"),
    ],
)
def test_what_is_said_at_the_end_has_to_be_declared(caplog, says, why):
    messages = run([Notes(says=says)], [Numbers("a", 2)])
    assert messages[-1] == End("a", notes=("2 frames of grey",))
    assert f"a: the notes failed at its end: {why}" in caplog.text


def test_a_stage_that_says_nothing_at_the_end_may_return_none():
    assert run([Notes(says=None)], [Numbers("a", 2)])[-1].events == ()
