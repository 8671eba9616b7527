"""The lines of events: losses in a row, and what stages say of a camera's epochs."""

import json
from contextlib import contextmanager

import jsonschema
import numpy as np
import pytest
from ledger_of import ledger_of
from pipelines import Script

from watchline import Dropped, End, Event, Files, Job, Jsonl, Kind, Stage, State, Watch, Work
from watchline.pipeline.events import EventLines, header_of
from watchline.pipeline.schema import schema_of
from watchline.settings import settings
from watchline.version import VERSION

NTH = Kind("nth", int, as_json=int, schema={"type": "integer"})


@settings
class Counter(Stage):
    """Numbers the frames of each epoch."""

    name = "counter"
    gives = (NTH,)
    emits = {  # noqa: RUF012
        "third": {"type": "object", "required": ["of"], "properties": {"of": {"type": "string"}}},
        "counted": {"type": "object", "required": ["frames"], "properties": {"frames": {"type": "integer"}}},
    }
    per_stream = ("unit",)

    unit: str = "frames"

    @contextmanager
    def open(self):
        yield Counting()

    def recorded(self):
        return {"unit": self.unit}


class Counting(Work):
    about = {"by": "hand"}  # noqa: RUF012

    def __init__(self):
        self.seen = {}

    def begin(self, stream, about, epoch):
        assert stream not in self.seen
        self.seen[stream] = 0

    def end(self, stream):
        return [Event("counted", {"frames": self.seen.pop(stream)})]

    def __call__(self, items):
        done = []
        for item in items:
            self.seen[item.stream] += 1
            nth = self.seen[item.stream]
            item = item.with_result(NTH, nth)
            done.append(item.with_event("third", of=item.stream) if nth == 3 else item)
        return done


def test_a_stage_forgets_and_tells_at_the_end_of_each_epoch(tmp_path):
    frames = [0.05, 1] * 6
    sources = [
        Script("a", [[*frames, OSError("cut")], [*frames, 1.0]], ends=False),
        Script("b", [[0.02, 1] * 40], ends=True),
    ]
    told = tmp_path / "all.jsonl"
    watch = Watch(Job(sources, [Counter()], [Files(tmp_path / "out", None), Jsonl(told)]))
    for progress in watch.run():
        if progress.stream == "a" and progress.frames == 12:
            watch.stop()
    assert [outcome.error for outcome in watch.outcomes] == [None, None]
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    schema = jsonschema.Draft202012Validator(schema_of([Counter]))
    for line in lines:
        schema.validate(line)
    mine = [line for line in lines if line.get("stream") == "a"]
    story = [
        (line["epoch"], line.get("nth", line.get("state", line.get("event"))))
        for line in mine
        if line.get("state") != "stalled"
    ]
    epochs = [
        [
            *((epoch, say) for say in ("connecting", "live", 1, 2, 3, "third", 4, 5, 6, "counted")),
            (epoch, "retrying" if epoch == 0 else "ended"),
        ]
        for epoch in (0, 1)
    ]
    assert story == epochs[0] + epochs[1]
    thirds = [line for line in mine if line.get("event") == "third"]
    assert [(line["frame"], line["of"]) for line in thirds] == [(2, "a"), (8, "a")]
    assert all(line["time"].endswith("Z") and line["pts"] >= 0 for line in thirds)
    assert [line["frames"] for line in mine if line.get("event") == "counted"] == [6, 6]
    apart = ledger_of((tmp_path / "out").glob("*.jsonl"))
    assert apart == ledger_of([told])
    assert apart["a"].seen == {"third": 2, "counted": 2}
    assert apart["b"].frames == watch.report.streams["b"].annotated


def test_the_header_has_what_each_stage_says_for_this_stream():
    stages = [Counter(streams={"gate": {"unit": "people"}})]
    about = {"counter": {"by": "hand"}, "nobody": {"x": 1}}
    assert header_of("rtsp://host", "gate", stages, about) == {
        "source": "rtsp://host",
        "stream": "gate",
        "version": VERSION,
        "stages": {"counter": {"by": "hand", "unit": "people"}},
    }
    assert header_of("x", "yard", stages, {})["stages"] == {"counter": {"unit": "frames"}}


def lost(cause="newer", frames=1, epoch=0, time=100.0):
    return Dropped("a", cause, frames, epoch, time)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([lost(), lost(frames=2)], [("newer", 3, 0)]),
        ([lost(), lost("late"), lost()], [("newer", 1, 0), ("late", 1, 0), ("newer", 1, 0)]),
        ([lost(), lost(epoch=1)], [("newer", 1, 0), ("newer", 1, 1)]),
        ([lost(), lost(time=100.9), lost(time=101.1)], [("newer", 2, 0), ("newer", 1, 0)]),
        ([], []),
    ],
)
@pytest.mark.parametrize("after", [End("a"), State("a", "retrying", 0)], ids=["end", "state"])
def test_losses_in_a_row_are_one_line_before_what_follows(losses, told, after):
    lines = EventLines()
    out = [each for message in (*losses, after) for each in lines.of(message)]
    assert [(message.cause, message.frames, message.epoch) for message, _ in out[:-1]] == told
    for message, [line] in out[:-1]:
        event = json.loads(line)
        assert (event["cause"], event["frames"], event["epoch"]) == (message.cause, message.frames, message.epoch)
    assert out[-1][0] == after


def test_secrets_are_not_written():
    lines = EventLines(lambda text: text.replace("pike", "***"))
    [(_, [line])] = lines.of(State("a", "retrying", 0, why="rtsp://pike@host: refused"))
    assert json.loads(line)["why"] == "rtsp://***@host: refused"


def test_a_result_that_is_no_json_is_said_so():
    from pipelines import numbered

    [item] = numbered(1)
    [(_, [line])] = EventLines().of(item.with_result(NTH, np.int64(3)))
    assert json.loads(line)["nth"] == 3
    odd = Kind("odd", float, as_json=float)
    with pytest.raises(ValueError, match="not JSON compliant"):
        list(EventLines().of(item.with_result(odd, float("inf"))))
