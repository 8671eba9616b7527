import threading
import time
from contextlib import contextmanager

import pytest
from pipelines import Numbers, Step

from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.message import End, Failure, Item
from watchline.pipeline.runner import Runner


def keep(item):
    return item


def jitter(item):
    time.sleep(0.004 if item.frame.index % 3 else 0)
    return item


def fails_at(index, stream="b"):
    def work(item):
        time.sleep(0.001)
        if (item.stream, item.frame.index) == (stream, index):
            raise ValueError("no\n  good")
        return item

    return work


def kinds(messages):
    return [type(m).__name__ for m in messages]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_frame_arrives_once_and_in_order(workers):
    runner = Runner([Step("detector", jitter, workers), Step("annotator", keep)])
    messages = list(runner.run([Numbers("a", 40), Numbers("b", 3), Numbers("c", 0)]))
    expected = [
        f"{name} {i}" for name, count in (("a", 40), ("b", 3), ("c", 0)) for i in ("Begin", *range(count), "End")
    ]
    assert [f"{m.stream} {m.frame.index if isinstance(m, Item) else type(m).__name__}" for m in messages] == expected
    accounts = runner.ledger.accounts()
    assert {name: a.annotated for name, a in accounts.items()} == {"a": 40, "b": 3}
    assert all(a.balances and a.in_flight == 0 and not a.dropped for a in accounts.values())


@pytest.mark.timeout(60)  # it waited for ever
def test_a_source_that_is_added_while_a_run_begins_has_its_turn_behind_those_that_were_there(monkeypatch):
    runner = Runner([Step("detector", keep, 2), Step("annotator", keep)])
    start = runner._start

    def adding(*given):
        start(*given)
        runner.add(Numbers("b", 40))

    monkeypatch.setattr(runner, "_start", adding)
    messages = list(runner.run([Numbers("a", 40)]))
    assert [m.stream for m in messages] == ["a"] * 42 + ["b"] * 42


def test_a_single_worker_sees_the_frames_in_order_after_many():
    seen = []
    runner = Runner(
        [Step("detector", jitter, 4), Step("annotator", lambda item: seen.append(item.frame.index) or item)]
    )
    list(runner.run([Numbers("a", 30)]))
    assert seen == list(range(30))


def test_a_stage_that_fails_on_frame_57_ends_its_stream_there_and_no_other():
    runner = Runner([Step("detector", fails_at(57), 3), Step("annotator", keep)])
    messages = list(runner.run([Numbers("a", 20), Numbers("b", 100), Numbers("c", 20)]))
    of_b = [m for m in messages if m.stream == "b"]
    assert [m.frame.index for m in of_b if isinstance(m, Item)] == list(range(57))
    assert kinds(of_b)[-1] == "Failure"
    assert (of_b[-1].where, of_b[-1].why) == ("detector", "frame 57: no good")
    assert kinds([m for m in messages if m.stream == "c"]) == ["Begin", *["Item"] * 20, "End"]
    account = runner.ledger.accounts()["b"]
    assert account.balances
    assert account.annotated == 57
    assert account.in_flight == 0
    assert set(account.dropped) == {"failed"}
    assert account.decoded < 100  # the decoder did not read on to the end for nothing


def test_a_source_that_breaks_off_delivers_what_came_before():
    runner = Runner([Step("detector", jitter, 2)])
    messages = list(runner.run([Numbers("a", 50, breaks_after=12), Numbers("b", 5)]))
    assert kinds([m for m in messages if m.stream == "a"]) == ["Begin", *["Item"] * 12, "Failure"]
    assert next(m for m in messages if isinstance(m, Failure)).why == "the cable was cut"
    assert kinds(messages)[-1] == "End"


def test_a_source_that_does_not_open_is_a_failure_without_a_beginning():
    class Missing(Numbers):
        def open(self):
            raise FileNotFoundError("no such camera")

    messages = list(Runner([Step("detector", keep)]).run([Missing("a", 1), Numbers("b", 1)]))
    assert kinds(messages) == ["Failure", "Begin", "Item", "End"]


def test_a_stage_that_cannot_start_raises_its_own_error():
    class Broken(Step):
        def open(self):
            raise LookupError("no model")

    with pytest.raises(LookupError, match="no model"):
        list(Runner([Broken("detector", keep)]).run([Numbers("a", 100)]))


def test_a_stage_that_cannot_start_is_told_where_nothing_was_added_because_of_it(monkeypatch):
    """Whoever adds files sees that the run is over, and closes it, before anybody waits for a frame."""

    class Broken(Step):
        def open(self):
            raise LookupError("no model")

    def after_the_crash(links, together):
        runner.control.abort.wait(10)
        runner.close()
        return deliver(links, together)

    runner = Runner([Broken("detector", keep)])
    deliver = runner._deliver
    monkeypatch.setattr(runner, "_deliver", after_the_crash)
    with pytest.raises(LookupError, match="no model"):
        list(runner.deliveries([], kept=True))


def test_a_slow_end_holds_the_source_back():
    runner = Runner([Step("detector", keep, 2), Step("annotator", keep)])
    most = 0
    for m in runner.run([Numbers("a", 60)]):
        if isinstance(m, Item):
            time.sleep(0.002)
            most = max(most, runner.ledger.accounts()["a"].in_flight)
    assert most <= 2 * 3 + 4


def test_an_end_says_whether_the_stream_was_whole_and_what_was_odd_in_it():
    messages = list(Runner([Step("detector", keep)]).run([Numbers("a", 3)]))
    assert messages[-1] == End("a", whole=True, notes=("3 frames of grey",))


def test_a_source_that_breaks_before_its_first_frame_is_a_failure_too():
    messages = list(Runner([Step("detector", keep)]).run([Numbers("a", 3, breaks_after=0), Numbers("b", 1)]))
    assert kinds(messages) == ["Begin", "Failure", "Begin", "Item", "End"]


def test_stop_finishes_the_stream_and_skips_the_rest():
    runner = Runner([Step("detector", jitter, 2)])
    messages = []
    for m in runner.run([Numbers("a", 10_000), Numbers("b", 10)]):
        messages.append(m)
        if isinstance(m, Item) and m.frame.index == 20:
            runner.stop()
    last = [m for m in messages if m.stream == "a"][-1]
    assert isinstance(last, End)
    assert not last.whole
    assert [m for m in messages if m.stream == "b"] == [End("b", whole=False)]
    account = runner.ledger.accounts()["a"]
    assert account.decoded == account.annotated < 200


def test_an_abandoned_stream_is_booked_as_dropped_and_the_next_goes_on():
    runner = Runner([Step("detector", keep, 2)])
    messages = []
    for m in runner.run([Numbers("a", 500), Numbers("b", 10)]):
        messages.append(m)
        if isinstance(m, Item) and m.stream == "a" and m.frame.index == 5:
            runner.abandon("a")
    account = runner.ledger.accounts()["a"]
    assert account.annotated == 6  # those that were handed out
    assert account.balances
    assert account.in_flight == 0
    assert sum(isinstance(m, Item) and m.stream == "b" for m in messages) == 10


def test_leaving_the_loop_ends_all_threads():
    before = threading.active_count()
    runner = Runner([Step("detector", jitter, 3), Step("annotator", keep)])
    for m in runner.run([Numbers("a", 10_000)]):
        if isinstance(m, Item) and m.frame.index == 5:
            break
    del m
    assert threading.active_count() == before
    account = runner.ledger.accounts()["a"]
    assert account.balances
    assert account.in_flight == 0
    assert account.dropped["stopped"] > 0


def test_two_streams_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="same name"):
        list(Runner([]).run([Numbers("a", 1), Numbers("a", 1)]))


def test_a_frame_of_another_stream_fails_its_source():
    class Slip(Numbers):
        @contextmanager
        def open(self):
            with Numbers("other", 3).open() as reader:
                yield reader

    messages = list(Runner([Step("detector", keep)]).run([Slip("a", 3), Numbers("b", 1)]))
    assert kinds(messages) == ["Begin", "Failure", "Begin", "Item", "End"]
    assert "a frame of 'other'" in messages[1].why


def test_leaving_does_not_wait_for_a_source_that_never_answers(monkeypatch):
    monkeypatch.setattr("watchline.pipeline.intake.PATIENCE", 0.1)
    answer = threading.Event()

    class Stalled(Numbers):
        @contextmanager
        def open(self):
            with Numbers("a", 50, breaks_after=None).open() as reader:
                reader.__class__ = StalledReader
                yield reader

    class StalledReader(Numbers.Reader):
        def __iter__(self):
            yield from list(super().__iter__())[:3]
            answer.wait(20)

    started = time.monotonic()
    for m in Runner([Step("detector", keep)]).run([Stalled("a", 50)]):
        if isinstance(m, Item) and m.frame.index == 2:
            break
    del m
    assert time.monotonic() - started < 5
    answer.set()
    while {"decoder"} & {thread.name for thread in threading.enumerate()}:
        time.sleep(0.01)
    time.sleep(0.2)  # its link is closed after it


@pytest.mark.parametrize("stages", [["detector", "detector"], ["decoder"], ["writer"]])
def test_stages_and_sinks_have_names_of_their_own(stages):
    with pytest.raises(ConfigError, match="two stages or sinks have the same name"):
        list(Runner([Step(name, keep) for name in stages], sinks=["writer"]).run([Numbers("a", 1)]))


def test_a_runner_runs_once():
    runner = Runner([])
    list(runner.run([Numbers("a", 1)]))
    with pytest.raises(ConfigError, match="make a new one"):
        list(runner.run([Numbers("a", 1)]))


def test_two_neighbours_may_have_several_workers():
    runner = Runner([Step("detector", jitter, 2), Step("mine", jitter, 3)])
    messages = list(runner.run([Numbers("a", 60)]))
    assert [m.frame.index for m in messages if isinstance(m, Item)] == list(range(60))


def test_waiting_frames_go_into_one_batch_and_one_bad_frame_fails_alone():
    def slow_or_bad(item):
        time.sleep(0.002)
        return fails_at(30, "a")(item)

    stage = Step("detector", slow_or_bad, workers=2, batch=4)
    messages = list(Runner([stage]).run([Numbers("a", 60)]))
    assert max(stage.sizes) > 1
    assert [m.frame.index for m in messages if isinstance(m, Item)] == list(range(30))
    assert messages[-1].why == "frame 30: no good"


def test_a_stage_may_replace_what_it_was_given():
    runner = Runner([Step("annotator", lambda item: item.with_result(DRAWN, item.frame.picture.bgr() + 1))])
    items = [m for m in runner.run([Numbers("a", 3)]) if isinstance(m, Item)]
    assert [int(i.drawn[0, 0, 0]) for i in items] == [1, 2, 3]


def test_the_meter_counts_each_stage():
    runner = Runner([Step("detector", jitter, 2), Step("annotator", keep)])
    list(runner.run([Numbers("a", 20)]))
    assert {name: s.count for name, s in runner.meter.stages.items()} == {
        "decoder": 20,
        "detector": 20,
        "annotator": 20,
    }
    assert runner.meter.stages["detector"].work.percentile(95) > 0.003
    assert int(runner.meter.latency.counts.sum()) == 20
