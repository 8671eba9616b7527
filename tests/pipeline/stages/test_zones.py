"""The stage of zones: who enters, leaves and loiters, what is written and drawn of it, and what is refused."""

import json
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
from placing import somewhere
from tracked import ABOUT, events, item, walk

from watchline import Annotator, Detector, Zone, Zones
from watchline.errors import SettingsError
from watchline.pipeline.errors import StageError
from watchline.pipeline.events import EventLines
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.occupancy import OCCUPANCY, Occupancy
from watchline.pipeline.schema import schema_of
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.stages.stage import checked, checked_events
from watchline.pipeline.stages.tracker import Tracker

LEFT = Zone([[0, 0], [100, 0], [100, 100], [0, 100]], name="left")
STAGE = Zones(zones=[LEFT])


def run(stage, *items):
    """What the stage makes of a stream, and says at its end."""
    with stage.open() as work:
        work.begin("door", ABOUT, None)
        after = checked(stage, items, work(items))
        return after, [event.data for event in checked_events(stage, work.end("door"))]


def occupied(items):
    return [one.result(OCCUPANCY).tracks_in("left") for one in items]


def test_who_is_in_a_zone_and_for_how_long():
    inside, outside = [(50, 80)] * 10, [(150, 80)] * 8
    after, at_end = run(STAGE, *walk(*outside, *inside, *outside))
    assert occupied(after) == [[]] * 13 + [[1]] * 9 + [[]] * 4
    said = {"zone": "left", "track": 1, "label": "person", "since": 0.8}
    assert events(after) == [
        (13, said | {"state": "enter"}),
        (22, said | {"state": "leave", "dwell": 0.9}),
    ]
    assert at_end == []


def test_the_end_of_the_stream_ends_a_stay():
    _, at_end = run(STAGE, *walk(*[(50, 80)] * 10))
    assert at_end == [{"zone": "left", "state": "leave", "track": 1, "label": "person", "since": 0.0, "dwell": 0.9}]


def test_who_is_hidden_is_still_there_until_its_track_is_over():
    after, _ = run(STAGE, *walk(*[(50, 80)] * 6, None, None), item(8, {}))
    assert occupied(after) == [[]] * 5 + [[1]] * 3 + [[]]
    assert events(after)[-1] == (8, events(after)[-1][1] | {"state": "leave", "dwell": 0.5})


def test_a_stay_goes_on_where_the_number_changes():
    after, _ = run(STAGE, *walk(*[(50, 80)] * 8), *walk(*[(50, 80)] * 4, number=2, first=8), *walk(None, first=12))
    assert [(data["state"], data["track"]) for _, data in events(after)] == [("enter", 1), ("leave", 2)]
    assert events(after)[-1][1]["dwell"] == 1.1


def test_loitering_is_said_once():
    zone = Zone(LEFT.polygon, name="left", loitering="2s")
    after, _ = run(Zones(zones=[zone]), *walk(*[(50, 80)] * 40))
    assert [(index, data["state"]) for index, data in events(after)] == [(5, "enter"), (20, "loiter")]


@pytest.mark.parametrize(("anchor", "enters"), [("bottom", False), ("top", True), ("centre", True)])
def test_the_anchor_decides(anchor, enters):
    upper = Zone([[0, 0], [1, 0], [1, 0.7], [0, 0.7]], name="left", anchor=anchor, inertia=0.1)
    after, _ = run(Zones(zones=[upper]), *walk((50, 80), (50, 80)))
    assert occupied(after) == [[], [1] if enters else []]


def test_only_the_classes_that_are_named():
    zones = [Zone(LEFT.polygon, name="left", inertia=0.1, classes=["car"])]
    assert occupied(run(Zones(zones=zones), *walk((50, 80), (50, 80)))[0]) == [[], []]
    assert occupied(run(Zones(zones=zones), *walk((50, 80), (50, 80), kind=1))[0]) == [[], [1]]


def test_pixels_and_shares_are_the_same_place():
    shares = Zone([[0, 0], [0.5, 0], [0.5, 1], [0, 1]], name="left")
    items = walk(*[(x, 80) for x in range(60, 140, 4)])
    assert events(run(Zones(zones=[shares]), *items)[0]) == events(run(STAGE, *items)[0]) != []


def test_zones_are_of_their_stream():
    stage = Zones(streams={"yard": {"zones": [LEFT]}})
    after, _ = run(stage, *walk((50, 80)))
    assert after[0].result(OCCUPANCY) is None
    with stage.open() as work:
        assert work(walk((50, 80), stream="yard"))[0].result(OCCUPANCY).names == ("left",)


def test_photos_and_frames_without_detections_stay_as_they_are():
    photo = item(0, {1: (50, 80)}, file="a.jpg")
    assert run(STAGE, photo)[0] == [photo]


def test_what_is_predicted_is_in_no_zone():
    """It proves nothing: a stay and a crossing name frames in which the track was seen."""
    seen = item(0, {1: (50, 80)})
    predicted = seen.with_result(DETECTIONS, replace(seen.detections, predicted=np.array([True])))
    assert run(STAGE, predicted)[0] == [predicted]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"polygon": [[0, 0], [1, 1]]}, "polygon has 2 corners: expected 3 or more"),
        ({"polygon": [[0, 0], [9, 9], [9, 0], [0, 9]]}, "crosses itself: .0, 0. to .9, 9. touches .9, 0. to .0, 9."),
        ({"polygon": [[0.5, 0], [9, 0], [9, 9]]}, "polygon has 0.5 and 9: expected pixels, or shares"),
        ({"polygon": [[-1, 0], [9, 0], [9, 9]]}, "polygon.*greater than or equal to 0"),
        ({"polygon": [[float("nan"), 0], [9, 0], [9, 9]]}, "polygon.*finite"),
        ({"polygon": [[n % 10, n] for n in range(101)]}, "polygon.*at most 100"),
        ({"anchor": "botom"}, "anchor is 'botom'"),
        ({"loitering": "0.2s"}, "loitering is 0.2 s: expected at least the inertia, 0.5 s"),
        ({"inertia": 0}, "inertia is 0: expected a time"),
        ({"name": ""}, "name"),
        ({"colour": "red"}, "unknown setting 'colour'"),
    ],
)
def test_a_zone_that_cannot_be_is_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Zone(**{"name": "left", "polygon": LEFT.polygon} | wrong)


@pytest.mark.parametrize(
    ("zones", "says"),
    [([LEFT, LEFT], "two of the name 'left'"), ([Zone(LEFT.polygon, name="a\nb")], "cannot be shown")],
)
def test_names_tell_zones_apart(zones, says):
    with pytest.raises(SettingsError, match=says):
        Zones(zones=zones)


def test_a_zone_outside_of_the_picture_is_refused_at_the_beginning():
    stage = Zones(zones=[Zone([[0, 0], [300, 0], [0, 50]], name="left")])
    with (
        stage.open() as work,
        pytest.raises(StageError, match=r"left: polygon has \[300, 0\], outside of the picture of 200 x 100"),
    ):
        work.begin("door", ABOUT, None)


def test_a_class_that_no_detector_has_is_refused():
    stage = Zones(zones=[Zone(LEFT.polygon, name="left", classes=["persn"])])
    with pytest.raises(StageError, match=r"left: unknown class 'persn': did you mean 'person'\? \(of the detector\)"):
        run(stage, *walk((50, 80)))


def test_without_a_tracker_it_says_what_is_missing():
    bare = walk((50, 80))[0]
    bare = type(bare)(bare.frame, {kind: one for kind, one in bare.results.items() if kind.key != "trails"})
    with pytest.raises(StageError, match="no tracks for the zones: expected the tracker before it"):
        run(STAGE, bare)


def test_lines_of_events_keep_the_schema():
    after, _ = run(STAGE, *walk(*[(50, 80)] * 10))
    lines = [json.loads(line) for one in after for _, lines in EventLines().of(one) for line in lines]
    for line in lines:
        jsonschema.validate(line, schema_of(STAGES))
    assert [line["zones"] for line in lines if "zones" in line] == [{"left": []}] * 5 + [{"left": [1]}] * 5


def test_zones_are_drawn_with_who_is_in_them():
    after, _ = run(STAGE, *walk(*[(50, 80)] * 10))
    with Annotator(info=False, labels=False).open() as draw:
        draw.begin("door", ABOUT, None)
        drawn = draw([after[-1]])[-1].drawn
    assert drawn[60:95, 98:103].any(axis=2).any(axis=1).all(), "the edge"
    assert drawn[2:12, 2:40].any(), "the name"


def test_a_zone_that_another_process_sends_is_checked():
    whole = run(STAGE, *walk(*[(50, 80)] * 10))[0][-1].result(OCCUPANCY)
    again = OCCUPANCY.unpacked(*OCCUPANCY.packed(whole))
    assert OCCUPANCY.as_json(again) == OCCUPANCY.as_json(whole) == {"left": [1]}
    names = ("sizes", "corners", "counts", "tracks")
    for name, wrong in [("sizes", [3]), ("counts", [2]), ("tracks", [-1]), ("corners", np.full((4, 2), np.nan))]:
        arrays = {each: getattr(whole, each) for each in names}
        arrays[name] = np.array(wrong, arrays[name].dtype)
        with pytest.raises(ValueError, match="occupancy: expected"):
            Occupancy(("left",), **arrays)


@pytest.mark.parametrize("place", ["process", "tcp"])
def test_it_runs_elsewhere_too(place):
    stage = Zones(zones=[LEFT], streams={"yard": {"zones": [LEFT, Zone(LEFT.polygon, name="again", inertia="2s")]}})
    with somewhere(place, stage, before=[Detector(), Tracker()]) as placed, placed.open() as work:
        work.begin("door", ABOUT, None)
        work.begin("yard", ABOUT, None)
        after = [one for each in walk(*[(50, 80)] * 6) for one in work([each])]
        assert occupied(after) == [[]] * 5 + [[1]]
        assert work(walk((50, 80), stream="yard"))[0].result(OCCUPANCY).names == ("left", "again")
        assert [event.data["state"] for event in work.end("door")] == ["leave"]
