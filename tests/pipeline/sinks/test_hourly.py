"""The CSV of counts: what a spreadsheet reads, hour by hour, of several streams and runs."""

import csv

import pytest
from tracked import item

from watchline import End, Hourly, Opening
from watchline.pipeline.counts import Counted
from watchline.streams.errors import SinkError

OPENING = Opening("door", False, {}, counted={"line": Counted("line", "direction", "label")})
HOUR = 36000  # frames, at ten a second


def crossing(frame):
    return item(frame, {}).with_event("line", line="sill, left", direction="in", label="person")


def run(file, *frames):
    sink = Hourly(file)
    sink.check(())
    with sink.open(OPENING) as writer:
        for frame in frames:
            writer.take(crossing(frame), [])
        writer.take(End("door"), [])


def table(file):
    return list(csv.reader(file.read_text().splitlines()))


def test_a_row_for_each_hour_appended_by_each_run(tmp_path):
    file = tmp_path / "new" / "counts.csv"
    run(file, 0, 1, HOUR)
    run(file, 2)
    assert table(file) == [
        ["stream", "hour", "event", "name", "what", "label", "count", "mean"],
        ["door", "00:00", "line", "sill, left", "in", "person", "2", ""],
        ["door", "01:00", "line", "sill, left", "in", "person", "1", ""],
        ["door", "00:00", "line", "sill, left", "in", "person", "1", ""],
    ]


def test_an_hour_is_written_when_it_is_over(tmp_path):
    with Hourly(tmp_path / "c.csv").open(OPENING) as writer:
        writer.take(crossing(0), [])
        assert table(tmp_path / "c.csv") == []
        writer.take(item(HOUR, {}), [])
        assert [row[1] for row in table(tmp_path / "c.csv")] == ["00:00"]


def test_what_happened_is_written_also_where_the_stream_breaks(tmp_path):
    with pytest.raises(RuntimeError), Hourly(tmp_path / "c.csv").open(OPENING) as writer:
        writer.take(crossing(0), [])
        raise RuntimeError
    assert [row[6] for row in table(tmp_path / "c.csv")] == ["1"]


def test_an_input_is_never_written(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SinkError, match="is an input"):
        Hourly(tmp_path / "a.mp4").check((tmp_path / "a.mp4",))
