"""Live streams in a run: states, epochs, back-off, drops and a ledger that balances, whatever the source does."""

import random
import threading
import time
from itertools import islice

import pytest
from pipelines import SILENCE, Numbers, Script, Step

from watchline.pipeline import camera
from watchline.pipeline.backoff import Backoff
from watchline.pipeline.errors import FrameLost
from watchline.pipeline.message import Begin, Dropped, End, Item, State
from watchline.pipeline.runner import Runner
from watchline.streams.errors import SourceDenied, SourceLost, SourceRefused
from watchline.streams.source import Missed


def keep(item: Item) -> Item:
    return item


@pytest.fixture
def hasty(monkeypatch):
    """Everything that takes seconds takes hundredths."""
    monkeypatch.setattr(camera, "AGAIN", Backoff(first=0.02, ceiling=0.1))
    monkeypatch.setattr(camera, "STALLED", 0.3)
    monkeypatch.setattr(camera, "GRACE", 0.1)
    monkeypatch.setattr("watchline.pipeline.intake.PATIENCE", 0.1)


def watch(runner: Runner, sources, enough, limit=10.0):
    """The messages of a run up to the one at which `enough` says so, and those of its proper end."""
    messages = []
    timer = threading.Timer(limit, runner.stop)
    timer.start()
    for message in runner.run(sources):
        messages.append(message)
        if enough(message, messages):
            runner.stop()
    timer.cancel()
    return messages


def states(messages, stream="a") -> list[tuple[str, int]]:
    return [(m.state, m.epoch) for m in messages if isinstance(m, State) and m.stream == stream]


def frames(messages, stream="a") -> list[Item]:
    return [m for m in messages if isinstance(m, Item) and m.stream == stream]


def balances(runner: Runner, messages, stream="a") -> None:
    """The ledger, and the messages alone: every frame is there or in a line about its loss."""
    account = runner.ledger.accounts()[stream]
    assert account.balances
    assert account.in_flight == 0
    lost = sum(m.frames for m in messages if isinstance(m, Dropped) and m.stream == stream)
    assert account.decoded == len(frames(messages, stream)) + lost
    place = 0
    for message in messages:
        if isinstance(message, Dropped) and message.stream == stream:
            place += message.frames
        if isinstance(message, Item) and message.stream == stream:
            assert message.frame.index == place
            place += 1
    assert place == account.decoded


def test_every_reconnect_is_an_epoch_and_frames_are_numbered_on(hasty):
    runner = Runner([Step("detector", keep)])
    source = Script(
        "a", [[0.05, 1, 0.05, 1], [0.05, 1, SourceLost("broke off")], [SourceRefused("nobody")], [0.05, 1, 1.0]]
    )
    messages = watch(runner, [source], lambda m, _: isinstance(m, Item) and m.frame.epoch == 3)
    assert states(messages) == [
        ("connecting", 0),
        ("live", 0),
        ("retrying", 0),
        ("connecting", 1),
        ("live", 1),
        ("retrying", 1),
        ("connecting", 2),
        ("retrying", 2),
        ("connecting", 3),
        ("live", 3),
        ("ended", 3),
    ]
    assert [(f.frame.index, f.frame.epoch) for f in frames(messages)] == [(0, 0), (1, 0), (2, 1), (3, 3)]
    assert [m.why for m in messages if isinstance(m, State) and m.state == "retrying"] == [
        "the stream ended",
        "broke off",
        "nobody",
    ]
    assert isinstance(messages[-1], End)
    assert sum(isinstance(m, Begin) for m in messages) == 3
    balances(runner, messages)


def test_time_goes_on_through_a_reconnect_and_the_gap_is_seen(hasty):
    source = Script("a", [[0.05, 1, 0.04, 1], [0.5, 1]])
    messages = watch(Runner([]), [source], lambda m, _: isinstance(m, Item) and m.frame.epoch == 1)
    pts = [f.frame.seconds for f in frames(messages)]
    assert pts[0] == 0
    assert pts[1] == pytest.approx(0.04)
    assert 0.5 < pts[2] < 1.5


def test_a_source_that_breaks_in_an_unforeseen_way_is_tried_again(hasty):
    source = Script("a", [[ZeroDivisionError("odd")], [1, ZeroDivisionError("odder")], [1, 1.0]])
    messages = watch(Runner([]), [source], lambda m, _: isinstance(m, Item) and m.frame.epoch == 2)
    assert [m.why for m in messages if isinstance(m, State) and m.state == "retrying"] == ["odd", "odder"]


def test_a_stalled_stream_says_so_and_is_live_again(hasty):
    source = Script("a", [[1, 0.8, 1, SILENCE]])
    messages = watch(Runner([]), [source], lambda m, _: isinstance(m, Item) and m.frame.index == 1)
    assert states(messages)[:4] == [("connecting", 0), ("live", 0), ("stalled", 0), ("live", 0)]


def test_a_dead_camera_does_not_hold_up_the_others(hasty):
    dead = Script("dead", [[SourceRefused("nobody")]] * 50)
    stuck = Script("stuck", [[SILENCE]])
    good = Script("good", [[0.02, 1] * 30])
    started = time.monotonic()
    runner = Runner([Step("detector", keep, 2)])
    messages = watch(
        runner, [dead, stuck, good], lambda m, _: isinstance(m, State) and (m.stream, m.state) == ("good", "retrying")
    )
    assert len(frames(messages, "good")) > 20
    assert time.monotonic() - started < 3  # the stuck reader is left behind
    assert [m.state for m in messages if isinstance(m, State) and m.stream == "stuck"] == ["connecting", "ended"]


def test_a_wrong_password_is_not_tried_again_soon():
    source = Script("a", [[SourceDenied("refused the password")]])
    messages = watch(Runner([]), [source], lambda m, _: isinstance(m, State) and m.state == "retrying")
    [waiting] = [m for m in messages if isinstance(m, State) and m.state == "retrying"]
    assert waiting.retry_in >= 30
    assert len(source.opened) == 1


def test_waits_grow_to_the_ceiling_and_differ():
    waits = list(islice(Backoff(0.5, 30).waits(random.Random(1)), 12))
    assert 0.25 <= waits[0] <= 0.5
    for wait, longest in zip(waits, [0.5 * 2**n for n in range(12)], strict=True):
        assert min(longest, 30) / 2 <= wait <= min(longest, 30)
    assert waits != list(islice(Backoff(0.5, 30).waits(random.Random(2)), 12))


def test_missed_frames_have_numbers_and_lines(hasty):
    runner = Runner([Step("detector", keep)])
    source = Script("a", [[1, 0.05, Missed(4, "damaged"), 0.05, 1]])
    messages = watch(runner, [source], lambda m, _: isinstance(m, Item) and m.frame.index == 5)
    assert [(m.cause, m.frames) for m in messages if isinstance(m, Dropped)] == [("damaged", 4)]
    balances(runner, messages)


def test_a_slow_stage_gets_the_newest_frame_and_every_loss_is_counted(hasty):
    def slow(item):
        time.sleep(0.05)
        return item

    runner = Runner([Step("detector", slow)])
    source = Script("a", [[0.005, 1] * 200])
    messages = watch(runner, [source], lambda m, _: isinstance(m, State) and m.state == "retrying")
    assert 15 < len(frames(messages)) < 60
    assert runner.ledger.accounts()["a"].dropped["newer"] > 100
    balances(runner, messages)


def busy(seconds):
    """The work of a stage that takes so long."""

    def work(item):
        time.sleep(seconds)
        return item

    return work


@pytest.mark.parametrize("works", [(0.02, 0.15), (0.15,), (0.15, 0.02), (0.15, 0.15)])
def test_stages_slower_than_the_budget_get_fewer_frames_and_never_none(hasty, works):
    runner = Runner([Step(f"s{n}", busy(seconds)) for n, seconds in enumerate(works)], latency_budget=0.1)
    source = Script("a", [[0.02, 1] * 100])
    seen, ages = [], []
    for message in runner.run([source]):
        seen.append(message)
        if isinstance(message, Item):
            ages.append(time.monotonic() - message.frame.arrival)
            assert message.late
        if isinstance(message, State) and message.state == "retrying":
            runner.stop()
    assert len(frames(seen)) > 3
    assert max(ages) < 5 * sum(works)
    assert "a latency budget of 100ms is impossible" in runner.control.budget.verdict()
    balances(runner, seen)


def test_a_stage_begins_no_frame_that_it_cannot_finish_in_time(hasty):
    runner = Runner([Step("fast", busy(0.02)), Step("slow", busy(0.1))], latency_budget=0.3)
    messages = watch(
        runner, [Script("a", [[0.01, 1] * 150])], lambda m, _: isinstance(m, State) and m.state == "retrying"
    )
    assert len(frames(messages)) > 5
    assert not runner.control.budget.verdict()
    assert runner.ledger.accounts()["a"].dropped["late"] > 0
    balances(runner, messages)


def test_a_camera_of_few_frames_gets_its_turn_beside_busy_ones(hasty):
    runner = Runner([Step("slow", busy(0.1))], latency_budget=0.05)
    sources = [Script(name, [[0.01, 1] * 200]) for name in "bcd"]
    rare = Script("a", [[0.4, 1] * 5])
    messages = watch(
        runner, [*sources, rare], lambda m, _: isinstance(m, State) and m.stream == "a" and m.state == "retrying"
    )
    assert len(frames(messages)) >= 3
    assert "late" not in runner.ledger.accounts()["a"].dropped


def test_slow_sinks_delay_nothing_but_drop(hasty):
    runner = Runner([Step("detector", keep)])
    latencies = []
    messages = []
    for m in runner.run([Script("a", [[0.005, 1] * 200])]):
        messages.append(m)
        if isinstance(m, Item):
            latencies.append(time.monotonic() - m.frame.arrival)
            time.sleep(0.05)
        if isinstance(m, State) and m.state == "retrying":
            runner.stop()
    assert max(latencies) < 0.5
    balances(runner, messages)


def test_streams_share_a_slow_stage_fairly(hasty):
    def slow(item):
        time.sleep(0.01)
        return item

    runner = Runner([Step("detector", slow)])
    sources = [Script(name, [[0.004, 1] * 300]) for name in "abcd"]
    messages = watch(runner, sources, lambda m, _: isinstance(m, State) and m.state == "retrying")
    counts = [len(frames(messages, name)) for name in "abcd"]
    assert min(counts) > 0.85 * max(counts)
    for name in "abcd":
        balances(runner, messages, name)


def test_a_file_loses_nothing_beside_a_camera(hasty):
    def slow(item):
        time.sleep(0.005)
        return item

    runner = Runner([Step("detector", slow, 2)])
    sources = [Script("a", [[0.002, 1] * 1000]), Numbers("file", 100)]
    messages = watch(runner, sources, lambda m, _: isinstance(m, End) and m.stream == "file")
    assert [f.frame.index for f in frames(messages, "file")] == list(range(100))
    assert all(f.deadline is None for f in frames(messages, "file"))
    assert len(frames(messages)) > 60  # the camera had its share
    balances(runner, messages)


def test_a_stage_that_fails_on_a_live_frame_costs_that_frame_only(hasty):
    def fails(item):
        if item.frame.index == 2:
            raise ValueError("no good")
        if item.frame.index == 4:
            raise FrameLost("the detector process died", "detector lost")
        return item

    runner = Runner([Step("detector", fails)])
    source = Script("a", [[0.1, 1] * 7])
    messages = watch(runner, [source], lambda m, _: isinstance(m, State) and m.state == "retrying")
    assert [f.frame.index for f in frames(messages)] == [0, 1, 3, 5, 6]
    assert [(m.cause, m.frames) for m in messages if isinstance(m, Dropped)] == [("failed", 1), ("detector lost", 1)]
    balances(runner, messages)


def test_an_abandoned_camera_ends_and_the_others_go_on(hasty):
    runner = Runner([Step("detector", keep)])
    messages, last = [], None
    for m in runner.run([Script("a", [[0.01, 1] * 500]), Script("b", [[0.01, 1] * 100])]):
        messages.append(m)
        if isinstance(m, Item) and m.stream == "a" and m.frame.index >= 5 and last is None:
            last = m
            runner.abandon("a")
        if isinstance(m, State) and m.stream == "b" and m.state == "retrying":
            runner.stop()
    assert frames(messages)[-1] is last
    assert states(messages)[-1][0] == "ended"
    assert len(frames(messages, "b")) > 50


def test_leaving_the_loop_ends_all_threads(hasty):
    before = threading.active_count()
    runner = Runner([Step("detector", keep, 2)])
    for m in runner.run([Script("a", [[0.01, 1] * 500]), Numbers("file", 100_000)]):
        if isinstance(m, Item) and m.frame.index == 5:
            break
    del m
    assert threading.active_count() == before
    assert all(a.balances and a.in_flight == 0 for a in runner.ledger.accounts().values())


def test_a_source_that_has_an_end_ends():
    source = Script("a", [[0.02, 1, 0.02, 1]], ends=True)
    messages = list(Runner([]).run([source]))
    assert states(messages) == [("connecting", 0), ("live", 0), ("ended", 0)]
    assert messages[-1] == End("a", whole=True)
