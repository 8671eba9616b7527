"""Putting messages back in the order of their streams, after several workers have overtaken one another."""

from watchline.pipeline.link import Delivery
from watchline.pipeline.message import Message, is_last


class Reorder:
    """Holds back what came too early. How much it holds is bounded by the frames a run lets in (see runner)."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._early: dict[str, dict[int, Delivery[Message]]] = {}

    def push(self, delivery: Delivery[Message]) -> list[Delivery[Message]]:
        """Add a message; returns those that are now due, in order."""
        stream = delivery.message.stream
        early = self._early.setdefault(stream, {})
        early[delivery.sequence] = delivery
        due: list[Delivery[Message]] = []
        place = self._next.get(stream, 0)
        while place in early:
            due.append(early.pop(place))
            place += 1
        self._next[stream] = place
        if due and is_last(due[-1].message):  # nothing is remembered of it; its name may come again
            del self._early[stream], self._next[stream]
        return due
