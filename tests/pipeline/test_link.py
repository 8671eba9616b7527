import threading
import time

import pytest
from pipelines import numbered

from watchline.pipeline.link import Link, Stopped
from watchline.pipeline.message import End, Item


def test_messages_cross_by_reference_and_in_order():
    link = Link("t", depth=4)
    items = numbered(3)
    with link.receiver() as receiver, link.sender() as sender:
        for item in items:
            sender.send(item)
        got = [receiver.receive().message for _ in items]
    link.close()
    assert all(a is b for a, b in zip(got, items, strict=True))


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_a_full_link_makes_the_sender_wait(depth):
    link = Link("t", depth=depth)
    sent = []

    def send():
        with link.sender() as sender:
            for item in numbered(20):
                sender.send(item)
                sent.append(item.sequence)

    with link.receiver() as receiver:
        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.3)
        waiting = len(sent)
        for _ in range(20):
            receiver.receive()
        thread.join()
    link.close()
    assert waiting == depth
    assert len(sent) == 20


def test_a_stop_wakes_a_waiting_receiver_and_a_waiting_sender():
    stop = threading.Event()
    link = Link("t", stop=stop)
    with link.receiver() as receiver, link.sender() as sender:
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(Stopped):
            receiver.receive()
        with pytest.raises(Stopped):
            sender.send(numbered(1)[0])
    link.close()


def test_waiting_messages_are_taken_without_waiting_for_more():
    link = Link("t", depth=8)
    with link.receiver() as receiver, link.sender() as sender:
        for item in numbered(5):
            sender.send(item)
        assert [d.message.sequence for d in receiver.receive_waiting(3)] == [1, 2, 3]
        assert [d.message.sequence for d in receiver.receive_waiting(3)] == [4, 5]
        assert receiver.receive_waiting(3) == []
    link.close()


def test_many_receivers_share_the_messages_and_many_senders_meet():
    out, back = Link("out", receivers=3), Link("back", senders=3)

    def work():
        with out.receiver() as receiver, back.sender() as sender:
            while isinstance(message := receiver.receive().message, Item):
                time.sleep(0.001)
                sender.send(message)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with back.receiver() as receiver, out.sender() as sender:
        for thread in threads:
            thread.start()
        feeder = threading.Thread(target=lambda: [sender.send(item) for item in numbered(60)])
        feeder.start()
        got = sorted(receiver.receive().message.sequence for _ in range(60))
        feeder.join()
        for _ in threads:
            sender.send(End("a", 61))
        for thread in threads:
            thread.join()
    out.close()
    back.close()
    assert got == list(range(1, 61))


def test_a_delivery_knows_when_its_sender_had_it_ready():
    link = Link("t")
    with link.receiver() as receiver, link.sender() as sender:
        before = time.monotonic()
        sender.send(numbered(1)[0])
        time.sleep(0.05)
        ready = receiver.receive().ready
    link.close()
    assert before <= ready <= time.monotonic() - 0.05
