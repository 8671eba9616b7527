"""The stage of lines: in and out by track, with the frames that prove it, what is written and drawn, and refused."""

import json

import jsonschema
import numpy as np
import pytest
from placing import somewhere
from tracked import ABOUT, LABELS, events, item, walk

from watchline import Annotator, Detector, Line, Lines
from watchline.errors import SettingsError
from watchline.pipeline.errors import StageError
from watchline.pipeline.events import EventLines
from watchline.pipeline.kinds.crossings import CROSSINGS, Crossings
from watchline.pipeline.schema import schema_of
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.stages.stage import checked
from watchline.pipeline.stages.tracker import Tracker

SILL = Line([0, 70], [200, 70], name="sill")
STAGE = Lines(lines=[SILL])
DOWN = [(50, 60), (50, 66), (50, 71), (50, 69), (50, 74), (50, 80)]  # the margin is 2 pixels


def run(stage, *items):
    """What the stage makes of a stream."""
    with stage.open() as work:
        work.begin("door", ABOUT, None)
        after = checked(stage, items, work(items))
        assert work.end("door") == []
        return after


def counts(items):
    return [CROSSINGS.as_json(one.result(CROSSINGS))["sill"] for one in items]


def test_who_crosses_is_counted_once_with_the_frames_that_prove_it():
    after = run(STAGE, *walk(*DOWN))
    assert counts(after) == [{"in": 0, "out": 0}] * 4 + [{"in": 1, "out": 0}] * 2
    before = {"frame": 1, "pts": 0.1, "track": 1, "at": [50.0, 66.0]}
    proof = {"before": before, "after": {"frame": 4, "pts": 0.4, "track": 1, "at": [50.0, 74.0]}}
    assert events(after) == [(4, {"line": "sill", "direction": "in", "track": 1, "label": "person"} | proof)]


def test_in_and_out_each_once():
    there_and_back = [*DOWN, *DOWN[::-1], *DOWN, *DOWN[::-1]]
    after = run(STAGE, *walk(*there_and_back))
    assert counts(after)[-1] == {"in": 1, "out": 1}


def test_each_track_counts():
    items = [item(n, {1: (50, 60 + 4 * n), 2: (120, 80 - 4 * n), 3: (150, 60)}) for n in range(6)]
    assert counts(run(STAGE, *items))[-1] == {"in": 1, "out": 1}


def test_who_gets_another_number_on_the_line_is_counted_once_and_both_are_named():
    after = run(STAGE, *walk(*DOWN[:3]), *walk(*DOWN[3:], number=2, first=3))
    assert counts(after)[-1] == {"in": 1, "out": 0}
    [(_, data)] = events(after)
    assert (data["track"], data["before"]["track"], data["after"]["track"]) == (2, 1, 2)


def test_who_is_hidden_on_the_line_is_counted_behind_it():
    assert counts(run(STAGE, *walk(DOWN[0], None, None, DOWN[-1])))[-1] == {"in": 1, "out": 0}


def test_a_new_epoch_counts_from_nothing():
    with STAGE.open() as work:
        for epoch in range(2):
            work.begin("door", ABOUT, epoch)
            after = work(walk(*DOWN, epoch=epoch, time=0.0))
            assert counts(after)[-1] == {"in": 1, "out": 0}
            work.end("door")


def test_only_the_classes_that_are_named():
    stage = Lines(lines=[Line(SILL.start, SILL.end, name="sill", classes=["car"])])
    assert counts(run(stage, *walk(*DOWN)))[-1] == {"in": 0, "out": 0}
    assert counts(run(stage, *walk(*DOWN, kind=1)))[-1] == {"in": 1, "out": 0}


def test_a_picture_of_another_size_has_the_line_where_its_share_is():
    stage = Lines(lines=[Line([0, 0.7], [1, 0.7], name="sill")])
    items = walk(*((x, 2 * y) for x, y in DOWN), size=(400, 200))
    with stage.open() as work:
        work.begin("door", ABOUT, None)
        assert counts(work(items))[-1] == {"in": 1, "out": 0}


def test_lines_of_events_keep_the_schema():
    lines = [json.loads(line) for one in run(STAGE, *walk(*DOWN)) for _, made in EventLines().of(one) for line in made]
    for line in lines:
        jsonschema.validate(line, schema_of(STAGES))
    assert [line["event"] for line in lines if "event" in line] == ["line"]


def test_lines_are_drawn_with_their_counts_and_an_arrow_to_in():
    after = run(STAGE, *walk(*DOWN))
    with Annotator(info=False, labels=False).open() as draw:
        draw.begin("door", ABOUT, None)
        drawn = draw([after[-1]])[-1].drawn.any(axis=2)
    assert drawn[69:72, 110:190].any(axis=0).all(), "the line"
    assert drawn[73:80, 95:106].any()
    assert not drawn[55:66, 95:106].any()
    assert drawn[56:69, 0:60].any(), "the counts"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"to": [0, 70]}, "from and to are one point"),
        ({"to": [0.5, 0.5]}, "the line has 0.5 and 70: expected pixels, or shares"),
        ({"margin": 2}, "margin is 2"),
        ({"fro": 1}, "unknown setting 'fro': did you mean 'from'"),
    ],
)
def test_a_line_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Line(**{"name": "sill", "from": [0, 70], "to": [200, 70]} | wrong)


def test_a_line_outside_of_the_picture_and_an_unknown_class_are_refused():
    with pytest.raises(StageError, match=r"sill has \[0, 170\], outside of the picture of 200 x 100"):
        run(Lines(lines=[Line([0, 170], [200, 70], name="sill")]))
    with pytest.raises(StageError, match=f"unknown class 'bus': expected one of {', '.join(LABELS)}"):
        run(Lines(lines=[Line([0, 70], [200, 70], name="sill", classes=["bus"])]), *walk(*DOWN))


def test_counts_that_another_process_sends_are_checked():
    whole = run(STAGE, *walk(*DOWN))[-1].result(CROSSINGS)
    again = CROSSINGS.unpacked(*CROSSINGS.packed(whole))
    assert CROSSINGS.as_json(again) == CROSSINGS.as_json(whole)
    for ends, numbers in [(whole.ends + np.float32(1e9), whole.counts), (whole.ends, whole.counts - 2)]:
        with pytest.raises(ValueError, match="crossings: expected"):
            Crossings(("sill",), ends, numbers)


def test_it_runs_in_another_process_too():
    with somewhere("process", STAGE, before=[Detector(), Tracker()]) as placed, placed.open() as work:
        work.begin("door", ABOUT, None)
        after = [one for each in walk(*DOWN) for one in work([each])]
        assert counts(after)[-1] == {"in": 1, "out": 0}
        assert [data["line"] for _, data in events(after)] == ["sill"]
