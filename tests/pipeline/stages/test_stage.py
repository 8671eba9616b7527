"""A stage gives what it declares, one item for each, in its place; else the error says what it may give."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pipelines import numbered

from watchline.ops.detections import Detections
from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.drawn import DRAWN
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Event
from watchline.pipeline.stages.stage import Stage, checked, checked_events
from watchline.settings import settings
from watchline.streams.frame import ArrayPicture


@dataclass(frozen=True)
class Crowd:
    count: int


CROWD: Kind[Crowd] = Kind("crowd", Crowd)
NONE = Detections.none(("a",))
SCHEMAS = {"crowded": {}, "empty": {}}


@settings
class Mute(Stage):
    """Declares nothing."""

    name = "mute"


@settings
class Crowds(Stage):
    """Declares two results, two events, and other pixels."""

    name = "crowds"
    gives = (CROWD, DRAWN)
    emits = SCHEMAS
    changes_picture = True


ALL = (
    "it may change the result 'crowd', the result 'drawn', the frame's picture, the event 'crowded', the event 'empty'"
)
NOTHING = "it may change nothing; see Stage.gives"


def black(item):
    """The item with another picture."""
    return replace(item, frame=replace(item.frame, picture=ArrayPicture(np.zeros((4, 4, 3), np.uint8))))


def framed(item, **changes):
    """The item with something else changed in its frame."""
    return replace(item, frame=replace(item.frame, **changes))


def given():
    """Two items in which other stages have found and said something."""
    return [item.with_result(DETECTIONS, NONE).with_event("seen", n=1) for item in numbered(2)]


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item,
        lambda item: replace(item),
        lambda item: item.with_result(CROWD, Crowd(3)),
        lambda item: item.with_result(CROWD, Crowd(3)).with_result(DRAWN, item.frame.image),
        lambda item: item.with_event("crowded", n=1).with_event("empty").with_event("crowded"),
        black,
        lambda item: black(item).with_result(CROWD, Crowd(3)).with_event("empty"),
    ],
)
def test_what_a_stage_declares_it_may_give(change):
    before = given()
    after = [change(item) for item in before]
    assert checked(Crowds(), before, after) == after
    assert all(one is other for one, other in zip(checked(Crowds(), before, after), after, strict=True))


def test_a_stage_may_replace_its_own_result():
    before = [item.with_result(CROWD, Crowd(1)) for item in given()]
    after = [item.with_result(CROWD, Crowd(2)) for item in before]
    assert [item.result(CROWD) for item in checked(Crowds(), before, after)] == [Crowd(2)] * 2


def test_a_tuple_of_items_is_a_list_of_them():
    before = given()
    assert checked(Mute(), before, tuple(before)) == before


@pytest.mark.parametrize(
    ("gives", "why"),
    [
        (lambda items: items[:1], "the stage gave 1 items for 2: expected one for each, in its place"),
        (lambda items: [*items, items[0]], "the stage gave 3 items for 2: expected one for each, in its place"),
        (lambda items: [], "the stage gave 0 items for 2: expected one for each, in its place"),
        (lambda items: items[::-1], "the stage gave 2 items for 2: expected one for each, in its place"),
        (lambda items: [items[0], items[0]], "the stage gave 2 items for 2: expected one for each, in its place"),
        (lambda items: numbered(2, "b"), "the stage gave 2 items for 2: expected one for each, in its place"),
        (lambda items: None, "the stage gave None for 2 items: expected a list of items"),
        (lambda items: items[0], "the stage gave an Item for 2 items: expected a list of items"),
        (lambda items: (item for item in items), "the stage gave a generator for 2 items: expected a list of items"),
        (lambda items: [items[0], None], "the stage gave a list with None in it: expected a list of items"),
        (lambda items: [NONE, items[1]], "the stage gave a list with a Detections in it: expected a list of items"),
    ],
)
def test_a_stage_gives_one_item_for_each_in_its_place(gives, why):
    items = given()
    for stage in (Mute(), Crowds()):
        with pytest.raises(StageError, match=f"^{why}$"):
            checked(stage, items, gives(items))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda item: item.with_result(DETECTIONS, Detections.none(("a",))), "the result 'detections'"),
        (lambda item: replace(item, results={}), "the result 'detections'"),
        (lambda item: item.with_result(Kind("crowd", Crowd), Crowd(3)), "the result 'crowd'"),
        (lambda item: item.with_event("full"), "the event 'full'"),
        (lambda item: item.with_event("full").with_event("full"), "the event 'full', the event 'full'"),
        (lambda item: replace(item, events=()), "the events of the stages before it"),
        (lambda item: replace(item, events=(Event("seen", {"n": 2}),)), "the events of the stages before it"),
        (lambda item: replace(item, deadline=1.0), "the deadline"),
        (lambda item: framed(item, pts=7), "the frame"),
        (lambda item: framed(item, epoch=7), "the frame"),
        (lambda item: framed(item, file="a.jpg"), "the frame"),
        (lambda item: framed(item, time=1.0), "the frame"),
        (lambda item: framed(item, arrival=1.0), "the frame"),
        (lambda item: framed(black(item), pts=7), "the frame"),
        (
            lambda item: replace(framed(item, pts=7), events=()).with_event("full"),
            "the frame, the events of",
        ),
    ],
)
def test_what_a_stage_does_not_declare_it_may_not_change(change, what):
    before = given()
    for stage, may in ((Mute(), NOTHING), (Crowds(), ALL)):
        with pytest.raises(StageError, match=f"^it changed {what}.*: {re.escape(may)}"):
            checked(stage, before, [before[0], change(before[1])])


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda item: item.with_result(CROWD, Crowd(3)), "the result 'crowd'"),
        (lambda item: item.with_event("crowded"), "the event 'crowded'"),
        (black, "the frame's picture"),
        (lambda item: black(item).with_result(CROWD, Crowd(3)), "the result 'crowd', the frame's picture"),
    ],
)
def test_what_another_stage_declares_it_may_not_change_either(change, what):
    before = given()
    with pytest.raises(StageError, match=f"^it changed {what}: {NOTHING}$"):
        checked(Mute(), before, [before[0], change(before[1])])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda item: item.with_result(CROWD, 3), "it gave an int for the result 'crowd': expected a Crowd"),
        (lambda item: item.with_result(CROWD, None), "it gave None for the result 'crowd': expected a Crowd"),
        (lambda item: item.with_result(DRAWN, [[0]]), "it gave a list for the result 'drawn': expected a ndarray"),
        (lambda item: replace(item, results={}), "it gave None for the result 'crowd': expected a Crowd"),
        (
            lambda item: framed(item, picture=item.frame.image),
            "it gave a ndarray for the frame's picture: expected an ArrayPicture",
        ),
    ],
)
def test_a_result_is_of_its_type_and_is_not_taken_away(change, why):
    before = [item.with_result(CROWD, Crowd(1)) for item in numbered(2)]
    with pytest.raises(StageError, match=f"^{why}$"):
        checked(Crowds(), before, [before[0], change(before[1])])


def test_events_at_the_end_of_a_stream_are_declared_too():
    said = [Event("empty", {"n": 1}), Event("crowded")]
    assert checked_events(Crowds(), said) == said
    assert checked_events(Crowds(), tuple(said)) == tuple(said)
    assert [*checked_events(Crowds(), None)] == [*checked_events(Mute(), [])] == []
    for stage, may in ((Mute(), "nothing"), (Crowds(), "the event 'crowded', the event 'empty'")):
        with pytest.raises(StageError, match=f"^it said the event 'full': it may say {may}; see Stage.emits$"):
            checked_events(stage, [Event("full")])
    for wrong, what in (("over", "a str"), ([("over", {})], "a list"), (Event("empty"), "an Event")):
        with pytest.raises(
            StageError, match=f"^the stage gave {what} at the end of a stream: expected a list of events$"
        ):
            checked_events(Crowds(), wrong)
