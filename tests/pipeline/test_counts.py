"""How often what happened in each hour: what is counted, kept, and said in words."""

import json
from collections import Counter

import jsonschema
from clips import write_clip
from models_onnx import save, tiny_detector
from tracked import item

from watchline import (
    Annotate,
    Annotator,
    Detector,
    End,
    Files,
    FileSource,
    Hourly,
    Job,
    Line,
    Lines,
    Tracker,
    Zone,
    Zones,
)
from watchline.pipeline import counts
from watchline.pipeline.counts import Count, Counted, Counts, in_words
from watchline.pipeline.schema import schema_of

COUNTED = {"line": Counted("line", "direction", "label"), "zone": Counted("zone", "state", "label", "dwell")}
HOUR = 36000  # frames, at ten a second


def line(frame, direction="in", label="person"):
    return frame.with_event("line", line="sill", direction=direction, label=label)


def rows(counts):
    return [(one.hour, one.what, one.label, one.count) for one in counts]


def test_events_are_counted_by_hour_name_and_class():
    made = Counts(COUNTED)
    for frame in (0, 9, HOUR - 1, HOUR):
        made.take(line(item(frame, {})))
    made.take(line(line(item(HOUR + 1, {}), "out", "car").with_event("other", line="sill")))
    assert rows(made.all()) == [
        ("00:00", "in", "person", 3),
        ("01:00", "in", "person", 2),
        ("01:00", "out", "car", 1),
    ]


def test_an_hour_of_a_camera_is_that_of_the_clock_in_utc():
    made = Counts(COUNTED)
    made.take(line(item(0, {}, epoch=0, time=1795589999.9)))
    assert [one.hour for one in made.all()] == ["2026-11-25T06:00Z"]


def test_the_mean_is_of_those_who_have_the_number():
    made = Counts(COUNTED)
    frame = item(0, {}).with_event("zone", zone="yard", state="enter", label="person")
    for dwell in (2.0, 3.0):
        frame = frame.with_event("zone", zone="yard", state="leave", label="person", dwell=dwell)
    made.take(frame)
    assert [(one.what, one.count, one.mean) for one in made.all()] == [("enter", 1, None), ("leave", 2, 2.5)]


def test_hours_that_are_over_are_taken_out_once():
    made = Counts(COUNTED)
    made.take(line(item(0, {})))
    assert made.take_out(is_over=False) == []
    made.take(line(item(HOUR, {})))
    assert rows(made.take_out(is_over=False)) == [("00:00", "in", "person", 1)]
    assert made.take_out(is_over=False) == []
    made.take(End("door"))
    assert rows(made.take_out(is_over=True)) == [("01:00", "in", "person", 1)]
    assert made.all() == []


def test_a_stream_of_years_keeps_the_last_hours(monkeypatch):
    monkeypatch.setattr(counts, "KEPT", 2)
    made = Counts(COUNTED)
    for hour in range(4):
        made.take(line(item(hour * HOUR, {})))
    assert [one.hour for one in made.all()] == ["02:00", "03:00"]


def test_in_words_all_hours_are_one():
    counted = [
        Count("00:00", "line", "sill", "in", "person", 3),
        Count("01:00", "line", "sill", "in", "person", 1),
        Count("01:00", "line", "sill", "in", "car", 1),
        Count("01:00", "line", "sill", "out", "person", 2),
        Count("00:00", "zone", "yard", "leave", "person", 1, 1.0),
        Count("01:00", "zone", "yard", "leave", "person", 3, 3.0),
    ]
    assert in_words(counted) == [
        "line sill: in 4 person, 1 car; out 2 person",
        "zone yard: leave 4 person (mean 2.5 s)",
    ]


def test_a_run_counts_for_its_report_what_its_events_say(tmp_path):
    clip, model = write_clip(tmp_path / "street.mp4", 30, (128, 72), rate=10), save(tiny_detector(), tmp_path)
    everywhere = Zones(zones=[Zone([[0, 0], [1, 0], [1, 1], [0, 1]], name="all", inertia="0.1s")])
    across = Lines(lines=[Line([0.5, 0], [0.5, 1], name="middle")])
    stages = [Detector(model=str(model)), Tracker(sure=0.3, start=0.3), everywhere, across, Annotator()]
    sinks = [Files(tmp_path / "out", None), Hourly(tmp_path / "counts.csv")]
    work = Annotate(Job([FileSource(clip)], stages, sinks))
    list(work.run())
    [outcome] = work.outcomes
    assert (outcome.error, outcome.notes) == (None, ())
    lines = [json.loads(line) for line in (tmp_path / "out" / "street.jsonl").read_text().splitlines()]
    for line in lines:
        jsonschema.validate(line, schema_of(stages))
    states = [line["state"] for line in lines if line.get("event") == "zone"]
    assert states.count("enter") == states.count("leave") > 0
    counted = Counter()
    for one in outcome.counts:
        counted[one.event, one.what] += one.count
    assert counted["zone", "leave"] == states.count("leave")
    assert counted["line", "in"] == sum(line.get("direction") == "in" for line in lines)
    assert f"street,00:00,zone,all,leave,{outcome.counts[-1].label}" in (tmp_path / "counts.csv").read_text()
    assert lines[0]["header"]["stages"]["zones"]["all"]["inertia"] == 0.1
