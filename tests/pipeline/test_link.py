import threading
import time

import pytest
from pipelines import numbered

from watchline.pipeline.link import Link, Stopped
from watchline.pipeline.message import End, Item


def test_messages_cross_by_reference_and_in_order():
    link = Link("t", threading.Event(), depth=4)
    items = numbered(3)
    with link.sender() as sender:
        for item in items:
            sender.send(item)
        got = [link.receive()[0].message for _ in items]
    link.close()
    assert all(a is b for a, b in zip(got, items, strict=True))


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_a_full_link_makes_the_sender_wait(depth):
    link = Link("t", threading.Event(), depth=depth)
    sent = []

    def send():
        with link.sender() as sender:
            for item in numbered(20):
                sender.send(item)
                sent.append(item.frame.index)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.3)
    waiting = len(sent)
    for _ in range(20):
        link.receive()
    thread.join()
    link.close()
    assert waiting == depth
    assert len(sent) == 20


def test_a_stop_wakes_all_who_wait():
    stop = threading.Event()
    link = Link("t", stop)
    ended = []

    def wait():
        with pytest.raises(Stopped):
            link.receive()
        ended.append(time.monotonic())

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    stopped = time.monotonic() + 0.1
    threading.Timer(0.1, stop.set).start()
    for thread in threads:
        thread.join(5)
    assert len(ended) == 3
    assert max(ended) - stopped < 1
    with link.sender() as sender, pytest.raises(Stopped):
        sender.send(numbered(1)[0])
    link.close()


def test_waiting_messages_are_taken_without_waiting_for_more():
    link = Link("t", threading.Event(), depth=8)
    with link.sender() as sender:
        for item in numbered(6):
            sender.send(item)
        assert [d.message.frame.index for d in link.receive_waiting(3)] == [0, 1, 2]
        assert [d.message.frame.index for d in link.receive(2)] == [3, 4]
        assert [d.message.frame.index for d in link.receive(5)] == [5]
        assert link.receive_waiting(3) == []
    link.close()


def test_a_message_waits_for_whoever_is_free_first():
    """A receiver that is busy keeps nothing from the others."""
    link, taken = Link("t", threading.Event(), depth=20), {0.001: 0, 0.2: 0}
    ready = threading.Barrier(3)

    def work(seconds):
        ready.wait()
        while isinstance(link.receive()[0].message, Item):
            taken[seconds] += 1
            time.sleep(seconds)

    threads = [threading.Thread(target=work, args=(seconds,)) for seconds in taken]
    for thread in threads:
        thread.start()
    with link.sender() as sender:
        ready.wait()
        for item in numbered(40):
            sender.send(item)
        for _ in threads:
            sender.send(End("a"))
        for thread in threads:
            thread.join()
    link.close()
    assert taken[0.2] <= 3
    assert sum(taken.values()) == 40


def test_many_receivers_share_the_messages_and_many_senders_meet():
    stop = threading.Event()
    out, back = Link("out", stop), Link("back", stop)

    def work():
        with back.sender() as sender:
            while isinstance(message := out.receive()[0].message, Item):
                time.sleep(0.001)
                sender.send(message)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with out.sender() as sender:
        for thread in threads:
            thread.start()
        feeder = threading.Thread(target=lambda: [sender.send(item) for item in numbered(60)])
        feeder.start()
        got = sorted(back.receive()[0].message.frame.index for _ in range(60))
        feeder.join()
        for _ in threads:
            sender.send(End("a"))
        for thread in threads:
            thread.join()
    out.close()
    back.close()
    assert got == list(range(60))


def test_a_delivery_knows_its_number_and_when_its_sender_had_it_ready():
    link = Link("t", threading.Event())
    with link.sender() as sender:
        before = time.monotonic()
        sender.send(numbered(1)[0], 7)
        time.sleep(0.05)
        [delivery] = link.receive()
    link.close()
    assert before <= delivery.ready <= time.monotonic() - 0.05
    assert delivery.sequence == 7
