"""Events as data: what was found comes back as it was written, as rows and as tables of pandas and Arrow."""

import builtins
import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from saved_events import NOON, SIZE, found, parts, write_events

import watchline
from watchline.streams.errors import EventsRefused, LibraryMissing
from watchline.streams.events import table
from watchline.streams.events.table import COLUMNS

CAR, BIKE = (1, 0.9, 1, 2, 30, 40.5), (0, 0.5, 50, 2, 60, 70)


@pytest.fixture
def out(tmp_path):
    """A video with tracks, zones and speeds; two photos; a camera that was connected twice."""
    more = {"zones": {"yard": [7], "door": [7, 3], "roof": []}, "speeds": [{"track": 7, "kmh": 31.5}]}
    frames = [parts(found()), parts(found(CAR, BIKE, tracks=[7, -1]), **more)]
    write_events(tmp_path / "A" / "clip.jsonl", "A/clip", [*frames, {"caption": {}}], source="A/clip.mp4")
    write_events(
        tmp_path / "photos.jsonl", "photos", [parts(found(CAR)), parts(found(BIKE))], photos=["a.jpg", "b/c.png"]
    )
    write_events(
        tmp_path / "gate-1.jsonl", "gate", [parts(found(CAR, tracks=[1]))] * 2, epochs=[0, 1], source="rtsp://gate"
    )
    return tmp_path


def test_a_row_for_each_detection(out):
    rows = list(watchline.read_events(out))
    assert [(row.stream, row.frame, row.label, row.file, row.epoch) for row in rows] == [
        ("A/clip", 1, "car", None, None),
        ("A/clip", 1, "person", None, None),
        ("gate", 0, "car", None, 0),
        ("gate", 1, "car", None, 1),
        ("photos", 0, "car", "a.jpg", None),
        ("photos", 1, "person", "b/c.png", None),
    ]
    car, bike, *_ = rows
    assert (car.source, car.seconds, car.width, car.height, car.class_id) == ("A/clip.mp4", 0.1, *SIZE, 1)
    assert (car.score, car.x1, car.y1, car.x2, car.y2) == (0.9, 1, 2, 30, 40.5)
    assert (car.track, car.zones, car.kmh) == (7, ("yard", "door"), 31.5)
    assert (bike.track, bike.zones, bike.kmh) == (None, (), None)
    assert rows[3].time == datetime.fromtimestamp(NOON + 0.1, UTC)


def test_the_tables_hold_the_rows(out):
    rows = watchline.read_events(str(out))
    wanted = [{name: getattr(row, name) for name in COLUMNS} for row in rows]
    arrow = rows.to_arrow()
    assert arrow.to_pylist() == [row | {"zones": list(row["zones"])} for row in wanted]
    frame = rows.to_pandas()
    assert list(frame.columns) == list(COLUMNS)
    assert frame.astype(object).where(frame.notna(), None).to_dict("records") == wanted
    assert frame.time.dt.hour.dropna().tolist() == [22, 22]


def test_tables_of_many_parts_are_of_one_type(out, monkeypatch):
    one = watchline.read_events(out)
    whole, arrow = one.to_pandas(), one.to_arrow()
    monkeypatch.setattr(table, "BATCH", 1)
    assert one.to_pandas().equals(whole)
    assert one.to_pandas().dtypes.equals(whole.dtypes)
    assert one.to_arrow().equals(arrow)


def test_a_table_of_nothing_has_the_columns(tmp_path):
    write_events(tmp_path / "a.jsonl", "a", [parts(found())])
    rows = watchline.read_events(tmp_path)
    assert list(rows) == []
    assert (rows.to_arrow().num_rows, rows.to_arrow().column_names) == (0, list(COLUMNS))
    assert rows.to_pandas().label.tolist() == []
    assert str(rows.to_pandas().time.dtype) == "datetime64[ms, UTC]"


def test_instances_are_rows_where_they_are_asked_for(tmp_path):
    write_events(tmp_path / "a.jsonl", "a", [{"instances": found(CAR).to_dicts()}])
    assert [row.label for row in watchline.read_events(tmp_path, of="instances")] == ["car"]
    with pytest.raises(EventsRefused, match=r"no line of .*a\.jsonl has 'detections': .*; they have 'instances'"):
        list(watchline.read_events(tmp_path))
    with pytest.raises(EventsRefused, match="objects of 'tracks': expected one of detections, instances"):
        watchline.read_events(tmp_path, of="tracks")


def test_a_long_file_is_read_in_little_memory(tmp_path):
    file = write_events(tmp_path / "many.jsonl", "a", [parts(found(CAR, BIKE))] * 8000)
    tracemalloc.start()
    assert sum(1 for _ in watchline.read_events(file)) == 16_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.stat().st_size > 1 << 20
    assert peak < 1 << 20  # all rows would take many times as much


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_a_library_that_is_missing_is_named_with_its_extra(out, library, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == library:
            raise ImportError(f"No module named {name!r}")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    rows = watchline.read_events(out)
    with pytest.raises(LibraryMissing, match=rf"pip install '\.\[{'pandas' if library == 'pandas' else 'parquet'}\]'"):
        rows.to_pandas() if library == "pandas" else rows.to_arrow()


HEADER = {"schema": 1, "header": {"source": "a.mp4", "stream": "a"}}
FRAME = {"schema": 1, "stream": "a", "frame": 0, "pts": 0.0, "width": 9, "height": 9, "detections": []}
THING = {"label": "car", "class": 1, "score": 0.5, "box": [0, 0, 5, 5]}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([FRAME], "line 1 is of 'a', of which no header stands before"),
        ([HEADER, FRAME, FRAME], "line 3 has frame 0 of 'a' again: .* is the stream in two files?"),
        ([HEADER, FRAME | {"pts": "0"}], "line 2 has no stream, frame, pts, width or height"),
        ([HEADER, FRAME | {"width": 0}], "line 2 is of frame 0 at 0.0 s, 0 x 9"),
        ([HEADER, FRAME | {"frame": -1}], "line 2 is of frame -1"),
        ([HEADER, FRAME | {"file": "../a.jpg"}], "expected names that lead out of no folder"),
        ([HEADER, FRAME | {"stream": "/a"}], "expected names that lead out of no folder"),
        ([HEADER, FRAME | {"epoch": 0, "time": "noon"}], "line 2 has parts that cannot be"),
        (
            [HEADER, FRAME | {"epoch": 0, "time": "2026-11-28", "speeds": [{"track": 1, "kmh": 10**400}]}],
            "OverflowError",
        ),
        ([HEADER, FRAME | {"frame": 10**30}], "line 2 is of frame 100000000000 at 0.0 s"),
        ([HEADER, FRAME | {"pts": 10**400}], "line 2 is of frame 0 at 100000000000 s"),
        ([HEADER, FRAME | {"file": "\ud800.jpg"}], "line 2 has parts that cannot be .UnicodeEncodeError"),
        ([HEADER, FRAME | {"detections": [THING | {"class": -1}]}], "a number is below 0 or above"),
        ([HEADER, FRAME | {"zones": [3]}], "line 2 has parts that cannot be"),
        ([HEADER, FRAME | {"detections": [THING | {"track": "7"}]}], "line 2 has parts that cannot be"),
        ([HEADER, FRAME | {"detections": [THING | {"score": 2}]}], "line 2 has the detection .* expected a label"),
    ],
)
def test_lines_that_cannot_be_are_named(tmp_path, lines, says):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(EventsRefused, match=says):
        list(watchline.read_events(tmp_path))


def test_a_stream_that_is_in_two_files_is_not_counted_twice(out):
    text = (out / "A" / "clip.jsonl").read_text()
    (out / "all.jsonl").write_text(text)
    with pytest.raises(EventsRefused, match=r"all\.jsonl: line 2 has frame 0 of 'A/clip' again"):
        list(watchline.read_events(out))
    assert len(list(watchline.read_events(out / "all.jsonl"))) == 2
