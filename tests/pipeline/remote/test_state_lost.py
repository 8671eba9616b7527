"""A stage that keeps state dies: its streams are told so, and none goes on with a state that began anew."""

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest
from cut_link import Proxy
from leftovers import everything
from own_stages import TALLY, Tallies
from pipelines import Numbers, Script, numbered
from placing import PROCESS, items_of, live_run, serving

from watchline.pipeline.errors import FrameLost, StateLost
from watchline.pipeline.message import Begin, Dropped, End, Failure, Item, State
from watchline.pipeline.remote import connection
from watchline.pipeline.remote.placed import placed
from watchline.pipeline.runner import Runner
from watchline.streams.source import About

ABOUT = About("a.mp4", 4, 4, Fraction(1, 25), Fraction(25))
LOST = r"the tallies process \(pid \d+\) was lost, and with it what it knew of the stream"


@pytest.fixture
def hasty(monkeypatch):
    """A process that dies is started again soon."""
    monkeypatch.setattr(connection, "BACKOFF", connection.Backoff(0.05, 0.1))


@pytest.mark.parametrize("batch", [1, 4])
def test_a_file_whose_state_is_lost_ends_with_a_line_that_says_so(tmp_path, hasty, batch):
    before = everything()
    stage = placed(Tallies(dies_at=5, once=tmp_path, batch=batch), PROCESS)
    started = time.monotonic()
    runner = Runner([stage])
    messages = list(runner.run([Numbers("a", 40), Numbers("b", 9)]))
    assert time.monotonic() - started < 20
    done = [m for m in messages if isinstance(m, Item) and m.stream == "a"]
    assert [item.result(TALLY).seen for item in done] == [*range(1, len(done) + 1)]
    assert 5 - batch < len(done) <= 5
    [failure] = [m for m in messages if isinstance(m, Failure)]
    assert re.fullmatch(rf"frame {len(done)}: {LOST}", failure.why), failure.why
    assert f"pid {done[0].result(TALLY).pid})" in failure.why if done else True
    assert failure.events == ()
    assert [m.result(TALLY).seen for m in messages if isinstance(m, Item) and m.stream == "b"] == [*range(1, 10)]
    assert isinstance(messages[-1], End)
    assert all(account.balances and account.in_flight == 0 for account in runner.ledger.accounts().values())
    del messages, done
    assert everything() == before


def test_a_process_that_dies_between_two_frames_is_no_less_lost(hasty):
    """Whenever it dies: no frame comes of a state that began anew."""
    stage = placed(Tallies(), PROCESS)
    messages = []
    for message in Runner([stage]).run([Numbers("a", 100_000)]):
        messages.append(message)
        if isinstance(message, Item) and message.frame.index in (20, 21):
            with suppress(ProcessLookupError):  # the second may be of the same process
                os.kill(message.result(TALLY).pid, signal.SIGKILL)
            time.sleep(1.0)  # it is back by now
    done = [m for m in messages if isinstance(m, Item)]
    assert [item.result(TALLY).seen for item in done] == [item.frame.index + 1 for item in done]
    assert isinstance(messages[-1], Failure)
    assert re.search(LOST, messages[-1].why)


def test_files_beside_it_are_lost_too_and_those_that_begin_later_are_not(tmp_path, hasty):
    stage = placed(Tallies(dies_at=6, once=tmp_path), PROCESS)
    messages = list(Runner([stage]).run([Numbers(name, 12) for name in "abcdefgh"], together=True))
    failed = {m.stream for m in messages if isinstance(m, Failure)}
    assert 1 <= len(failed) <= 5
    for name in "abcdefgh":
        mine = [m for m in messages if m.stream == name]
        done = [m.result(TALLY).seen for m in mine if isinstance(m, Item)]
        assert done == [*range(1, len(done) + 1)]
        if name not in failed:
            assert len(done) == 12
            assert mine[-1].events[0].data["frames"] == 12


def test_what_is_lost_at_the_very_end_is_said_too(hasty):
    with placed(Tallies(), PROCESS).open() as work:
        work.begin("a", ABOUT, None)
        work.begin("b", ABOUT, None)
        [tally] = [item.result(TALLY) for item in work(numbered(1))]
        os.kill(tally.pid, signal.SIGKILL)
        with pytest.raises(StateLost, match=rf"^{LOST}$"):
            work.end("a")
        with pytest.raises(StateLost, match=rf"^{LOST}$") as caught:
            work(numbered(1, "b"))
        assert f"(pid {tally.pid})" in str(caught.value)
        assert work.end("b") == ()  # its frames have said so already
        work.begin("a", ABOUT, None)
        [again] = [item.result(TALLY) for item in work(numbered(1))]
        assert (again.seen, again.known) == (1, 1)
        assert again.pid != tally.pid
        assert [event.data["frames"] for event in work.end("a")] == [1]


def test_a_stage_that_dies_when_a_file_begins_is_tried_again(tmp_path, hasty):
    stage = placed(Tallies(begins_badly=2, once=tmp_path), PROCESS)
    messages = list(Runner([stage]).run([Numbers("a", 5)]))
    assert [m.result(TALLY).seen for m in messages if isinstance(m, Item)] == [1, 2, 3, 4, 5]
    assert isinstance(messages[-1], End)


def test_a_stage_that_dies_whenever_a_file_begins_ends_the_file(hasty):
    stage = placed(Tallies(begins_badly=1), PROCESS)
    messages = list(Runner([stage]).run([Numbers("a", 5)]))
    [failure] = messages
    assert re.fullmatch(
        r"the tallies process \(pid \d+\) was lost 3 times at the beginning of a: it is given up", failure.why
    )


def test_a_live_stream_whose_state_is_lost_begins_a_new_epoch(tmp_path):
    script = Script("gate", [[1, 0.05] * 400] * 4)
    stage = placed(Tallies(dies_at=5, once=tmp_path), PROCESS)
    started = time.monotonic()
    messages = live_run([stage], script, lambda seen: len(items_of(seen, 1)) >= 5)
    assert time.monotonic() - started < 15
    for epoch in (0, 1):
        tallies = [item.result(TALLY) for item in items_of(messages, epoch)]
        assert [tally.seen for tally in tallies] == [*range(1, len(tallies) + 1)]
        assert {tally.who[1] for tally in tallies} == {epoch}
    assert len(items_of(messages, 0)) == 5
    assert len({item.result(TALLY).pid for item in items_of(messages, 0) + items_of(messages, 1)}) == 2
    course = [m for m in messages if isinstance(m, State | Begin)]
    assert [(m.epoch, m.state if isinstance(m, State) else "begin") for m in course] == [
        *((0, state) for state in ("connecting", "begin", "live", "retrying")),
        *((1, state) for state in ("connecting", "begin", "live", "ended")),
    ]
    retrying = course[3]
    assert re.fullmatch(LOST, retrying.why), retrying.why
    assert f"(pid {items_of(messages, 0)[0].result(TALLY).pid})" in retrying.why
    assert retrying.events == ()
    lost = [m for m in messages if isinstance(m, Dropped) and m.cause == "tallies lost"]
    assert {m.epoch for m in lost} == {0}
    assert len(script.opened) == 2


def test_live_and_file_in_one_batch_each_get_what_is_theirs(tmp_path, hasty):
    """After a death, with one stream of the old life and one of the new in one call."""
    with placed(Tallies(batch=4), PROCESS).open() as work:
        work.begin("old", ABOUT, 0)
        work.begin("file", ABOUT, None)
        [tally] = [item.result(TALLY) for item in work(numbered(1, "old"))]
        os.kill(tally.pid, signal.SIGKILL)
        with pytest.raises(StateLost):
            work(numbered(1, "file"))
        work.begin("new", ABOUT, None)  # waits until it is back
        both = [replace(numbered(1, "old")[0], deadline=time.monotonic() + 60), *numbered(1, "new")]
        with pytest.raises(StateLost):
            work(both)
        [new] = work(both[1:])
        assert new.result(TALLY).seen == 1  # it was not counted when both were refused
        with pytest.raises(StateLost):
            work(both[:1])


def test_a_live_stream_does_not_wait_for_a_stage_that_is_away(monkeypatch):
    monkeypatch.setattr(connection, "BACKOFF", connection.Backoff(3.0, 4.0))
    with placed(Tallies(), PROCESS).open() as work:
        work.begin("gate", ABOUT, 0)
        item = replace(numbered(1, "gate")[0], deadline=time.monotonic() + 60)
        [tally] = [item.result(TALLY) for item in work([item])]
        os.kill(tally.pid, signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(FrameLost) as caught:
            work([item])
        assert not isinstance(caught.value, StateLost)
        work.begin("door", ABOUT, 0)
        assert work._lives["door"] == 0
        with pytest.raises(FrameLost):
            work([replace(numbered(1, "door")[0], deadline=time.monotonic() + 60)])
        assert work.end("door") == ()
        assert time.monotonic() - started < 1
        work.begin("file", ABOUT, None)  # a file waits
        with pytest.raises(StateLost):
            work([item])


@pytest.fixture
def proxy():
    """A proxy to a server of the stage, whose connections a test can break."""
    with serving(Tallies()) as place, Proxy(int(place.address.rsplit(":", 1)[1])) as proxy:
        proxy.place = replace(place, address=proxy.address)
        yield proxy


def test_a_connection_that_breaks_costs_a_file_its_state(proxy):
    stage, messages = placed(Tallies(), proxy.place), []
    for message in Runner([stage]).run([Numbers("a", 100_000), Numbers("b", 4)]):
        messages.append(message)
        if isinstance(message, Item) and message.stream == "a" and message.frame.index == 20:
            proxy.cut()
    done = [m for m in messages if isinstance(m, Item)]
    assert [item.result(TALLY).seen for item in done] == [item.frame.index + 1 for item in done]
    assert len([item for item in done if item.stream == "b"]) == 4
    [failure] = [m for m in messages if isinstance(m, Failure)]
    what = f"tallies at {proxy.address} was lost, and with it what it knew of the stream"
    assert re.fullmatch(rf"frame \d+: {re.escape(what)}", failure.why), failure.why


def test_a_connection_that_breaks_has_a_live_stream_begin_anew(proxy):
    def enough(seen):
        if len(items_of(seen, 0)) == 5 and not items_of(seen, 1) and isinstance(seen[-1], Item):
            proxy.cut()
        return len(items_of(seen, 1)) >= 5

    messages = live_run([placed(Tallies(), proxy.place)], Script("gate", [[1, 0.05] * 400] * 3), enough)
    for epoch in (0, 1):
        tallies = [item.result(TALLY) for item in items_of(messages, epoch)]
        assert [tally.seen for tally in tallies] == [*range(1, len(tallies) + 1)]
        assert len(tallies) >= 5
    [retrying] = [m for m in messages if isinstance(m, State) and m.state == "retrying"]
    assert retrying.why == f"tallies at {proxy.address} was lost, and with it what it knew of the stream"
