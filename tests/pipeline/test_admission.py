"""Admission: cameras never wait, files never lose, nobody starves, and the numbers have no holes."""

import threading
import time
from contextlib import ExitStack

import pytest
from pipelines import numbered

from watchline.pipeline.admission import Admission
from watchline.pipeline.ledger import Ledger
from watchline.pipeline.link import Delivery, Stopped
from watchline.pipeline.message import Dropped, End, Item, Message, State


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def admission(ledger, stop):
    admission = Admission(ledger, room=100, reach=1000, stop=stop)
    yield admission
    admission.close()


def live_items(count: int, stream: str = "a", budget: float = 60.0) -> list[Item]:
    return [Item(item.frame, deadline=time.monotonic() + budget) for item in numbered(count, stream)]


def seen(admission: Admission, limit: int = 1) -> list[tuple]:
    return [describe(delivery) for delivery in admission.receive(limit)]


def describe(delivery: Delivery[Message]) -> tuple:
    message = delivery.message
    match message:
        case Item():
            return message.stream, delivery.sequence, message.frame.index
        case Dropped():
            return message.stream, delivery.sequence, message.cause, message.frames
        case _:
            return message.stream, delivery.sequence, type(message).__name__


def test_the_newest_frame_of_a_camera_takes_the_place_of_those_before(admission, ledger):
    with admission.entrance("a", live=True) as put:
        for item in live_items(5):
            put(item)
        assert seen(admission) == [("a", 0, "newer", 4), ("a", 1, 4)]
        for item in live_items(7)[5:]:
            put(item)
        assert seen(admission) == [("a", 2, "newer", 1), ("a", 3, 6)]
    account = ledger.accounts()["a"]
    assert (account.decoded, account.dropped, account.in_flight) == (7, {"newer": 5}, 2)


def test_what_is_said_of_a_camera_keeps_its_place_among_the_frames(admission):
    first, second = live_items(2)
    with admission.entrance("a", live=True) as put:
        put(State("a", "live", 0))
        put(first)
        put(State("a", "stalled", 0))
        put(second)
        put(End("a"))
        assert seen(admission) == [
            ("a", 0, "State"),
            ("a", 1, "newer", 1),
            ("a", 2, "State"),
            ("a", 3, 1),
            ("a", 4, "End"),
        ]


def test_a_frame_that_waits_is_the_newest_however_old_it_is(admission, ledger):
    with admission.entrance("a", live=True) as put:
        put(live_items(1, budget=-1.0)[0])
        began = time.monotonic()
        [delivery] = admission.receive()
    assert began <= delivery.message.taken <= time.monotonic()
    assert ledger.accounts()["a"].dropped == {}


def test_missed_frames_are_booked_and_joined(admission, ledger):
    with admission.entrance("a", live=True) as put:
        put(Dropped("a", "damaged", 2, 0))
        put(Dropped("a", "damaged", 3, 0))
        put(Dropped("a", "damaged", 1, 1))  # of the next epoch
        assert seen(admission) == [("a", 0, "damaged", 5), ("a", 1, "damaged", 1)]
    assert ledger.accounts()["a"].decoded == 6


def test_a_camera_never_waits_and_a_file_does(admission):
    with admission.entrance("camera", live=True) as film, admission.entrance("file", live=False) as read:
        started = time.monotonic()
        for item in live_items(2000, "camera"):
            film(item)
        assert time.monotonic() - started < 1
        done = []

        def work():
            for item in numbered(6, "file"):
                read(item)
                done.append(item.frame.index)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        assert done == [0, 1]  # the depth of its mailbox
        got = [message for _ in range(7) for message in seen(admission)]
        thread.join()
    assert [message for message in got if message[0] == "file"] == [("file", i, i) for i in range(6)]
    assert [message for message in got if message[0] == "camera"][-1] == ("camera", 1, 1999)


def test_streams_have_their_turns_however_busy_one_is(admission):
    names = ["busy", "b", "c"]
    frames = {"busy": iter(live_items(40, "busy")), "b": iter(live_items(4, "b")), "c": iter(live_items(4, "c"))}
    with ExitStack() as entrances:
        puts = {name: entrances.enter_context(admission.entrance(name, live=True)) for name in names}
        order = []
        for _ in range(4):
            for name in names:
                for _ in range(10 if name == "busy" else 1):
                    puts[name](next(frames[name]))
            order += [seen(admission)[-1][0] for _ in names]
    assert order == names * 4


def test_waiting_frames_of_several_streams_make_a_batch(admission):
    with (
        admission.entrance("a", live=True) as a,
        admission.entrance("b", live=True) as b,
        admission.entrance("c", live=True) as c,
    ):
        for put, name in ((a, "a"), (b, "b"), (c, "c")):
            put(live_items(1, name)[0])
        assert [message[0] for message in seen(admission, 2)] == ["a", "b"]
        assert [message[0] for message in seen(admission, 8)] == ["c"]


def test_no_more_frames_than_there_is_room_for_are_let_in(ledger, stop):
    admission = Admission(ledger, room=2, reach=9, stop=stop)
    taken = []
    with admission.entrance("a", live=False) as put:
        admission.depth = 5
        for item in numbered(3):
            put(item)
        taken += admission.receive(8)  # all that there is room for
        assert len(taken) == 2
        waiter = threading.Thread(target=lambda: taken.extend(admission.receive()))
        waiter.start()
        time.sleep(0.2)
        assert len(taken) == 2
        admission.leave()
        waiter.join(2)
        assert len(taken) == 3
    admission.close()


def test_what_is_no_frame_needs_no_room(ledger, stop):
    admission = Admission(ledger, room=1, reach=9, stop=stop)
    with admission.entrance("a", live=True) as put:
        for _ in range(3):
            put(State("a", "live", 0))
            assert len(admission.receive()) == 1
        put(live_items(1)[0])
        assert len(admission.receive()) == 1
    admission.close()


def test_a_file_is_not_read_on_while_its_frames_do_not_reach_their_end(ledger, stop):
    admission = Admission(ledger, room=100, reach=3, stop=stop)
    with admission.entrance("a", live=False) as put:
        reader = threading.Thread(target=lambda: [put(item) for item in numbered(5)], daemon=True)
        reader.start()
        taken = [admission.receive() for _ in range(3)]
        time.sleep(0.2)
        assert len(taken) == 3
        assert reader.is_alive()
        assert ledger.accounts()["a"].decoded == 3
        for _ in range(2):
            admission.ended("a")
        reader.join(2)
        assert not reader.is_alive()
        assert [admission.receive()[0].message.frame.index for _ in range(2)] == [3, 4]
    admission.close()


def test_a_stop_wakes_all_who_wait(admission, stop):
    ended = []

    def take():
        with pytest.raises(Stopped):
            admission.receive()
        ended.append("receiver")

    def give():
        with pytest.raises(Stopped), admission.entrance("a", live=False) as put:
            for item in numbered(10):
                put(item)
        ended.append("file")

    full = threading.Thread(target=give)
    full.start()
    time.sleep(0.1)
    stop.set()
    waiting = threading.Thread(target=take)
    waiting.start()
    for thread in (full, waiting):
        thread.join(2)
    assert sorted(ended) == ["file", "receiver"]
