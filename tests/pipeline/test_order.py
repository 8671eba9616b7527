import random

from pipelines import numbered

from watchline.pipeline.link import Delivery
from watchline.pipeline.order import Reorder


def test_any_shuffle_of_two_streams_comes_out_in_the_order_of_each():
    rng = random.Random(0)
    for _ in range(50):
        sent = [Delivery(item, 0.0) for stream in "ab" for item in numbered(20, stream)]
        order = Reorder()
        for d in sent:  # sequences begin at 0
            object.__setattr__(d.message, "sequence", d.message.sequence - 1)
        rng.shuffle(sent)
        out = [due.message for d in sent for due in order.push(d)]
        for stream in "ab":
            assert [m.sequence for m in out if m.stream == stream] == list(range(20))


def test_nothing_comes_out_before_its_turn():
    order = Reorder()
    first, second = (Delivery(item, 0.0) for item in numbered(2))
    assert order.push(first) == []  # 1 waits for 0
    assert order.push(second) == []
