"""The tracker stage: numbers that stay, streams and epochs of their own, events, and what the annotator draws of it."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip
from models_onnx import save, tiny_detector
from placing import somewhere
from street_walk import Walk, detections

import watchline
from watchline import Annotate, Annotator, Detector, Files, FileSource, Job, Tracker
from watchline.errors import SettingsError
from watchline.ops.colours import track_colour
from watchline.ops.detections import Detections
from watchline.ops.tracks import MEMORY, NONE
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.trails import TRAILS, Trails
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import checked, checked_events
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About

RATE, SIZE = 10, (320, 120)
ABOUT = About("gate", *SIZE, Fraction(1, RATE))
LABELS = ("person", "car")


def item(index, *lefts, stream="gate", kind=0, **fields):
    """A frame in which objects of 20 x 40 are seen at these places."""
    boxes = np.array([(left, 50, left + 20, 90) for left in lefts], np.float32).reshape(-1, 4)
    found = Detections(boxes, np.full(len(boxes), 0.9), np.full(len(boxes), kind), LABELS)
    picture = ArrayPicture(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return Item(Frame(stream, index, index, Fraction(1, RATE), picture, 0.0, **fields)).with_result(DETECTIONS, found)


def numbers(items):
    return [one.detections.tracker_id.tolist() for one in items]


def events(items):
    return [(one.frame.index, event.data) for one in items for event in one.events]


@pytest.fixture
def work():
    with Tracker().open() as work:
        work.begin("gate", ABOUT, None)
        yield work


def test_objects_keep_their_numbers(work):
    items = [item(n, 20 + 3 * n, 200 - 3 * n) for n in range(10)]
    after = checked(Tracker(), items, work(items))
    assert numbers(after) == [[1, 2]] * 10
    assert [one.name for one in after[0].detections] == ["person", "person"]


def test_each_stream_has_numbers_of_its_own(work):
    work.begin("yard", ABOUT, None)
    after = [work([item(n, 20, 90), item(n, 50, stream="yard")]) for n in range(3)]
    assert [numbers(pair) for pair in after] == [[[1, 2], [1]]] * 3


def test_an_epoch_ends_all_tracks(work):
    work([item(n, 20, epoch=0, time=0.0) for n in range(3)])
    [event] = work.end("gate")
    assert (event.data["track"], event.data["why"], event.data["until"]) == (1, "over", 0.2)
    work.begin("gate", ABOUT, 1)
    after = work([item(3, 20, epoch=1, time=1.0)])
    assert numbers(after) == [[1]]
    assert [data["state"] for _, data in events(after)] == ["begun"]


def test_a_track_says_when_it_begins_and_how_it_ended(work):
    walk = [item(n, 20 + 2 * n, kind=1) for n in range(5)]
    after = work([*walk, *(item(5 + n) for n in range(round(MEMORY * RATE) + 1))])
    begun, ended = events(after)
    said = {"track": 1, "label": "car", "since": 0.0, "score": 0.9}
    assert begun == (0, said | {"state": "begun"})
    assert ended == (25, said | {"state": "ended", "until": 0.4, "why": "lost"})
    assert work.end("gate") == []


def test_who_leaves_has_left(work):
    after = work([item(n, 250 + 10 * n) for n in range(7)] + [item(7 + n) for n in range(5)])
    assert [data.get("why") for _, data in events(after)] == [None, "left"]


def unseen(index, **fields):
    """A frame that no detector looked at."""
    return replace(item(index, **fields), results={})


def test_photos_and_what_comes_before_the_first_look_stay_as_they_are(work):
    bare, photo = unseen(0), item(1, 20, file="a.jpg")
    assert work([bare, photo]) == [bare, photo]
    assert numbers(work([item(2, 22)])) == [[1]]


def test_between_looks_tracks_are_where_they_must_be(work):
    """Who has no number yet is not, and what is predicted says so."""
    looks = [item(n, 20 + 3 * n, *([150] if n == 8 else [])) for n in range(0, 9, 2)]
    [between] = work([*looks, unseen(9)])[-1:]
    found = between.detections
    assert (found.tracker_id.tolist(), found.predicted.tolist()) == ([1], [True])
    assert found.xyxy[0] == pytest.approx([47, 50, 67, 90], abs=1)
    assert found.to_dicts()[0] | {"box": []} == {
        "label": "person",
        "class": 0,
        "score": 0.9,
        "track": 1,
        "predicted": True,
        "box": [],
    }
    assert all("predicted" not in row for one in looks for row in one.detections.to_dicts())
    assert (between.result(TRAILS), between.events) == (None, ())


def test_who_was_not_seen_at_the_last_look_is_nowhere(work):
    work([item(n, 20) for n in range(5)])
    after = work([item(5), unseen(6)])[-1]
    assert after.detections.to_dicts() == []
    assert [event.data for event in work([item(7, 20)])[0].events] == [], "its track was not over"


def test_what_has_no_number_has_minus_one_and_no_key(work):
    [_, second] = work([item(0, 20), item(1, 20, 90)])
    assert second.detections.tracker_id.tolist() == [1, NONE]
    assert [row.get("track") for row in second.detections.to_dicts()] == [1, None]
    assert [one.tracker_id for one in second.detections] == [1, None]


def test_trails_are_of_the_last_seconds_and_end_with_their_tracks(work):
    after = work([item(n, 20 + n) for n in range(50)])
    trails = after[-1].result(TRAILS)
    assert trails.numbers.tolist() == [1]
    assert trails.lengths[0] in (30, 31)
    assert trails.points[-2:].tolist() == [[78, 90], [79, 90]]
    gone = work([item(50 + n) for n in range(30)])[-1].result(TRAILS)
    assert (len(gone.numbers), len(gone.points)) == (0, 0)


def test_trails_cross_to_other_processes():
    trails = Trails(np.array([4, 9]), np.array([2, 1]), np.array([[1, 2], [3, 4], [5, 6]], np.float32))
    again = TRAILS.unpacked(*TRAILS.packed(trails))
    assert all(np.array_equal(getattr(again, name), getattr(trails, name)) for name in ("numbers", "lengths", "points"))


@pytest.mark.parametrize(
    ("numbers", "lengths", "points"),
    [
        ([1], [2], [[0, 0]]),
        ([1, 2], [1], [[0, 0]]),
        ([1, 2], [2, -1], [[0, 0]]),
        ([1], [1], [[np.nan, 0]]),
        ([1], [1], [[1e9, 0]]),
        ([1.5], [1], [[0, 0]]),
    ],
)
def test_trails_that_cannot_be_are_refused(numbers, lengths, points):
    with pytest.raises(ValueError, match="trails: expected"):
        Trails(np.array(numbers), np.array(lengths), np.array(points, np.float32))


def test_tracks_are_drawn_in_their_colours_with_number_and_trail(work):
    items = [item(n, 20 + 8 * n) for n in range(16)]
    with Annotator(info=False, labels=False).open() as draw:
        draw.begin("gate", ABOUT, None)
        drawn = draw(work(items))[-1].drawn
    colour = track_colour(1)
    assert (drawn[60:80, 140:160] == colour).all(axis=2).any(), "the box"
    assert drawn[85:95, 40:130].any(axis=2).any(axis=0).all(), "the trail"


def test_named_colours_are_stronger(work):
    with Annotator(info=False, labels=False, colours=("#00ff00",)).open() as draw:
        draw.begin("gate", ABOUT, None)
        drawn = draw(work([item(0, 20)]))[-1].drawn
    assert (drawn[70, 20] == (0, 255, 0)).all()


@pytest.mark.parametrize("wrong", [{"memory": 0}, {"memory": "2 weeks"}, {"sure": 2}, {"start": -1}, {"starts": 1}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(SettingsError):
        Tracker(**wrong)


def test_settings_hold_for_their_stream():
    with Tracker(streams={"yard": {"start": 0.95}}).open() as work:
        for stream in ("gate", "yard"):
            work.begin(stream, ABOUT, None)
        after = [work([item(n, 20), item(n, 20, stream="yard")]) for n in range(3)]
    assert [numbers(pair) for pair in after] == [[[1], [NONE]]] * 3


def test_events_are_those_that_the_stage_declares(work):
    work([item(n, 20) for n in range(3)])
    assert checked_events(Tracker(), work.end("gate"))


def test_a_crowd_costs_little(work):
    """More than a second for 20 frames would be no tracker but a brake; it takes some 40 ms."""
    walk = Walk(seed=1, rate=RATE, people=100)
    for index in range(20):
        found = detections(walk, 100 + index, 0.05, 2.0, 0.1)
        work([item(index).with_result(DETECTIONS, found)])


@pytest.fixture
def model(tmp_path):
    return str(save(tiny_detector(), tmp_path))


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "street.mp4", 30, (128, 72), rate=RATE)


def test_the_same_file_has_the_same_numbers_and_valid_lines(tmp_path, model, clip):
    lines = []
    for name in ("a", "b"):
        stages = [Detector(model=model, workers=2), Tracker(sure=0.3, start=0.3), Annotator()]
        work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / name, None)]))
        list(work.run())
        assert [outcome.error for outcome in work.outcomes] == [None]
        lines.append((tmp_path / name / "street.jsonl").read_bytes())
    assert lines[0] == lines[1]
    rows = [json.loads(line) for line in lines[0].splitlines()]
    assert rows[0]["header"]["stages"]["tracker"] == {"memory": MEMORY, "sure": 0.3, "start": 0.3}
    tracks = {one["track"] for row in rows for one in row.get("detections", ()) if "track" in one}
    begun = [row["track"] for row in rows if row.get("event") == "track" and row["state"] == "begun"]
    ended = [row["track"] for row in rows if row.get("event") == "track" and row["state"] == "ended"]
    assert tracks
    assert begun == sorted(tracks)
    assert sorted(ended) == begun


def test_with_every_frames_between_have_boxes_too(tmp_path, model, clip):
    """The numbers are those of the looks, and what is predicted crosses into the lines of the events."""
    stages = [Detector(model=model, every=3), Tracker(sure=0.3, start=0.3), Annotator()]
    work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / "out", None)]))
    list(work.run())
    rows = [json.loads(line) for line in (tmp_path / "out" / "street.jsonl").read_text().splitlines()]
    frames = {row["frame"]: row["detections"] for row in rows if "detections" in row}
    assert frames.keys() >= {*range(0, 30, 3)}
    assert len(frames) > 20
    assert all(found for frame, found in frames.items() if frame % 3)
    assert all(one.get("predicted", False) == bool(frame % 3) for frame, found in frames.items() for one in found)
    looked = {one["track"] for frame, found in frames.items() for one in found if frame % 3 == 0 and "track" in one}
    assert {one["track"] for frame, found in frames.items() for one in found if frame % 3} <= looked


def test_from_python(model, clip):
    seen = list(watchline.track(clip, detector=Detector(model=model), sure=0.3, start=0.3))
    assert len(seen) == 30
    assert all(found.tracker_id is not None for _, found in seen)
    assert any((found.tracker_id >= 1).any() for _, found in seen)


@pytest.mark.parametrize("place", ["process", "tcp"])
def test_it_runs_elsewhere_too(place):
    items = [item(n, 20 + 3 * n, 200 - 3 * n) for n in range(4)]
    with somewhere(place, Tracker(), before=[Detector()]) as stage, stage.open() as work:
        work.begin("gate", ABOUT, None)
        after = [one for each in items for one in work([each])]
        assert numbers(after) == [[1, 2]] * 4
        assert after[-1].result(TRAILS).lengths.tolist() == [4, 4]
        assert [event.data["track"] for event in work.end("gate")] == [1, 2]


def test_a_frame_that_nobody_looked_at_and_that_has_no_track_has_no_line():
    """An empty list would say that the detector has looked, and found nothing."""
    empty = np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), LABELS
    assert DETECTIONS.as_json(Detections(*empty)) == []
    assert DETECTIONS.as_json(Detections(*empty, predicted=np.zeros(0, np.bool_))) is None
