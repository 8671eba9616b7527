import threading
import time

import pytest

from watchline.streams.live.backlog import Arrived, Backlog, Ended


def packet(name, age=0.0, key=False):
    then = time.monotonic() - age
    return Arrived(name, then, then, key)


def taken(backlog, timeout=0.0):
    behind, arrived = backlog.take(timeout)
    return behind, arrived and arrived.packet


def filled(*packets):
    backlog = Backlog()
    backlog._waiting.extend(packets)  # as if they had come one by one, and time had passed since
    return backlog


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        pytest.param([("k", 0.4, True), ("a", 0.2, False)], [(0, "k"), (0, "a")], id="all are news"),
        pytest.param([("a", 0.6, False), ("k", 0.2, True), ("b", 0.1, False)], [(1, "k"), (0, "b")], id="a fresh key"),
        pytest.param([("a", 0.6, False), ("k", 0.55, True), ("b", 0.1, False)], [(3, None)], id="no fresh key"),
        pytest.param([("k", 0.6, True), ("l", 0.3, True)], [(1, "l")], id="an old key"),
    ],
)
def test_what_is_too_old_goes_up_to_a_fresh_key_frame(waiting, expected):
    backlog = filled(*(packet(*each) for each in waiting))
    assert [taken(backlog) for _ in expected] == expected
    assert taken(backlog) == (0, None)


def test_after_a_loss_only_a_key_frame_is_let_in():
    backlog = filled(packet("a", 0.6))
    assert taken(backlog) == (1, None)
    backlog.put(packet("b"))
    backlog.put(packet("c"))
    backlog.put(packet("k", key=True))
    backlog.put(packet("d"))
    assert [taken(backlog), taken(backlog)] == [(2, "k"), (0, "d")]


def test_nobody_who_takes_costs_no_memory():
    backlog = Backlog(patience=0.01)
    for _ in range(300):
        backlog.put(packet("a"))
        time.sleep(0.0002)
    assert len(backlog._waiting) < 100
    time.sleep(0.02)
    assert taken(backlog) == (300, None)


def test_the_end_comes_after_what_waits():
    backlog = Backlog()
    backlog.put(packet("k", key=True))
    backlog.end(error := OSError("gone"))
    assert taken(backlog) == (0, "k")
    with pytest.raises(Ended) as ended:
        backlog.take(0)
    assert ended.value.__cause__ is error


def test_taking_waits_for_a_packet_but_not_for_ever():
    backlog = Backlog()
    started = time.monotonic()
    assert taken(backlog, timeout=0.1) == (0, None)
    assert 0.1 <= time.monotonic() - started < 0.5
    threading.Timer(0.1, lambda: backlog.put(packet("k", key=True))).start()
    assert taken(backlog, timeout=5) == (0, "k")


def test_a_packet_is_taken_when_it_is_due():
    backlog, now = Backlog(), time.monotonic()
    backlog.put(Arrived("k", now, now + 0.1, True))
    backlog.put(Arrived("a", now, now + 60, False))
    assert taken(backlog) == (0, "k")
    assert time.monotonic() >= now + 0.1
    backlog.put(Arrived("b", now, now + 0.2, False))  # it waits for nobody, and nobody before it does
    assert [taken(backlog), taken(backlog)] == [(0, "a"), (0, "b")]
    assert now + 0.2 <= time.monotonic() < now + 30
