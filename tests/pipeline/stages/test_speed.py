"""The stage of speed: what is written, drawn and refused; and cars on a real road, whose speed is plausible."""

import json

import jsonschema
import numpy as np
import pytest
from tracked import ABOUT, LABELS, events, item, walk

from watchline import Annotator, Speed
from watchline.errors import SettingsError
from watchline.ops.detections import Detections
from watchline.ops.followed import Followed
from watchline.ops.ground import Speedometer, homography, on_ground
from watchline.ops.regions import anchors
from watchline.ops.tracks import Tracks
from watchline.pipeline.events import EventLines
from watchline.pipeline.kinds.speeds import SPEEDS
from watchline.pipeline.schema import schema_of
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.stages.stage import checked

POINTS, METRES = ((0, 0), (200, 0), (200, 100), (0, 100)), ((0, 0), (20, 0), (20, 10), (0, 10))  # 10 pixels a metre
STAGE = Speed(points=POINTS, metres=METRES)
RIGHT = [(20 + 10 * n, 80) for n in range(12)]  # a metre in a tenth of a second: 36 km/h


def run(stage, *items):
    with stage.open() as work:
        work.begin("door", ABOUT, None)
        return checked(stage, items, work(items)), work.end("door")


def test_speeds_and_the_mean_at_the_end():
    after, _ = run(STAGE, *walk(*RIGHT), item(12, {}))
    said = [SPEEDS.as_json(one.result(SPEEDS)) for one in after]
    assert said[4] == []
    assert said[5] == said[11] == [{"track": 1, "kmh": 36.0}]
    assert events(after) == [(12, {"track": 1, "label": "person", "kmh": 36.0, "metres": 11.0})]


def test_the_end_of_the_stream_ends_tracks():
    _, at_end = run(STAGE, *walk(*RIGHT))
    assert [event.data["kmh"] for event in at_end] == [36.0]


def test_lines_of_events_keep_the_schema_and_speeds_cross_to_other_processes():
    after, _ = run(STAGE, *walk(*RIGHT), item(12, {}))
    lines = [json.loads(line) for one in after for _, made in EventLines().of(one) for line in made]
    for line in lines:
        jsonschema.validate(line, schema_of(STAGES))
    whole = after[-2].result(SPEEDS)
    assert SPEEDS.as_json(SPEEDS.unpacked(*SPEEDS.packed(whole))) == SPEEDS.as_json(whole)


def test_a_speed_is_drawn_where_the_track_stands():
    after, _ = run(STAGE, *walk(*RIGHT))
    drawn = []
    for one in (after[-1], walk(*RIGHT)[-1]):
        with Annotator(info=False, labels=False).open() as draw:
            draw.begin("door", ABOUT, None)
            drawn.append(draw([one])[0].drawn)
    with_speed, without = drawn
    assert (with_speed != without)[62:80, 130:180].any()


def test_without_points_there_is_no_result():
    stage = Speed(streams={"road": {"points": POINTS, "metres": METRES}})
    assert run(stage, *walk(*RIGHT))[0][-1].result(SPEEDS) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"points": POINTS[:3]}, "there are 3 points and 4 metres: expected four of each"),
        ({"metres": ()}, "there are 4 points and 0 metres"),
        ({"points": [(0, 0), (1, 0), (2, 0), (0, 9)]}, "three of the points are on one line"),
        ({"metres": [(0, 0)] * 4}, "three of the metres are on one line"),
        ({"points": [(0.5, 0), (100, 0), (100, 90), (0, 90)]}, "points has 0.5 and 100: expected pixels, or shares"),
        ({"metres": [(0, 0), (float("inf"), 0), (1, 1), (0, 1)]}, "metres"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Speed(**{"points": POINTS, "metres": METRES} | wrong)


# Dashes begin every 12.2 m (40 feet) and lanes are 3.66 m wide, as is usual on roads of the USA. The pictures have no
# times: 30 frames per second are an assumption.
ROAD = [(142.3, 192.7), (256.7, 192.7), (263.7, 72.7), (207.3, 72.7)], [(0, 0), (3.66, 0), (3.66, 48.8), (0, 48.8)]
RATE = 30


@pytest.mark.shared
def test_cars_on_a_highway_have_a_plausible_speed(shared):
    """Plausible is all that can be said: nobody measured these cars, nor the road."""
    rows = np.loadtxt(shared / "cdnet2014" / "highway" / "boxes_from_masks.txt", delimiter=",", ndmin=2)
    matrix = homography(*(np.array(four, float) for four in ROAD))
    tracks, followed, means = Tracks(), Followed(Speedometer), []
    for frame in range(470, 1701):
        x, y, wide, high = rows[(rows[:, 0] == frame) & (rows[:, 4] > 20)][:, 1:].T
        boxes = np.stack([x, y, x + wide, y + high], axis=1).astype(np.float32)
        found = Detections(boxes, np.ones(len(boxes)), np.ones(len(boxes), np.int64), LABELS)
        numbers = tracks.update(found, frame / RATE, (320, 240))
        found = Detections(boxes, found.confidence, found.class_id, LABELS, numbers)
        places = on_ground(anchors(boxes, "bottom"), matrix)
        for row, one in followed.update(found, {track.number for track in tracks.known()}, frame / RATE):
            if 80 < boxes[row, 3] < 230:  # the whole car is in the picture
                one.state.update(frame / RATE, *places[row].tolist())
        means += [mean for one in followed.gone if (mean := one.state.mean()) and mean[1] > 15]
    kmh = [speed for speed, _ in means]
    assert len(kmh) == 21
    low, middle, high = np.percentile(kmh, [10, 50, 90])
    assert 75 < low < middle < high < 100
