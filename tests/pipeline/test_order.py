import random

import pytest
from pipelines import numbered

from watchline.pipeline.link import Delivery
from watchline.pipeline.message import DECODER, End, Failure
from watchline.pipeline.order import Reorder


def deliveries(count, stream="a"):
    return [Delivery(item, 0.0, n) for n, item in enumerate(numbered(count, stream))]


def test_any_shuffle_of_two_streams_comes_out_in_the_order_of_each():
    rng = random.Random(0)
    for _ in range(50):
        sent = [delivery for stream in "ab" for delivery in deliveries(20, stream)]
        rng.shuffle(sent)
        order = Reorder()
        out = [due for d in sent for due in order.push(d)]
        for stream in "ab":
            assert [d.sequence for d in out if d.message.stream == stream] == list(range(20))


def test_nothing_comes_out_before_its_turn():
    order = Reorder()
    _, second, third = deliveries(3)
    assert order.push(second) == []  # 1 waits for 0
    assert order.push(third) == []


@pytest.mark.parametrize("last", [End("a"), Failure("a", DECODER, "the cable was cut")])
def test_a_name_may_come_again_once_its_stream_is_over(last):
    order = Reorder()
    for _ in range(2):
        [first] = deliveries(1)
        assert order.push(Delivery(last, 0.0, 1)) == []
        assert [d.sequence for d in order.push(first)] == [0, 1]


def test_a_stage_that_fails_is_not_the_end_of_its_stream():
    order = Reorder()
    order.push(Delivery(Failure("a", "detector", "no good"), 0.0, 0))
    assert [d.sequence for d in order.push(Delivery(End("a"), 0.0, 1))] == [1]
