"""The schema of the events says what a chain writes, no less and no more; the published one is that of our stages."""

import json
from pathlib import Path
from typing import ClassVar

import jsonschema
import numpy as np
import pytest
from pipelines import Numbers

from watchline import DETECTIONS, Annotator, Detector, Kind, Runner, Stage
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.schema import schema_of
from watchline.pipeline.stages.registry import STAGES
from watchline.settings import settings

PUBLISHED = Path(__file__).parents[2] / "docs" / "events.schema.json"
SPEED = Kind("speed", float, as_json=float, schema={"type": "number", "minimum": 0})
FRAME = {"schema": 1, "stream": "gate", "frame": 3, "pts": 0.12, "width": 64, "height": 48}
LIVE = {"epoch": 0, "time": "2026-11-23T06:45:00.123Z"}
EVENT = {"schema": 1, "stream": "gate", "event": "fast", "kmh": 90.5}
HEADER = {"source": "gate.mp4", "stream": "gate", "version": "1"}


@settings
class Speed(Stage):
    name = "speed"
    gives = (SPEED, Kind("secret", np.ndarray))
    emits: ClassVar = {
        "fast": {"type": "object", "required": ["kmh"], "properties": {"kmh": {"type": "number"}}},
        "anything": {},
    }


def validator(stages):
    schema = schema_of(stages)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schema_is_that_of_our_stages():
    text = json.dumps(schema_of(STAGES), indent=2, ensure_ascii=False) + "\n"
    assert PUBLISHED.read_text() == text, "run `watchline schema > docs/events.schema.json`"


@pytest.mark.parametrize(
    "line",
    [
        FRAME | {"detections": [], "speed": 3.5},
        FRAME | {"speed": 0},
        FRAME | {"detections": []} | LIVE,
        EVENT,
        EVENT | {"frame": 3, "pts": 0.12},
        EVENT | {"frame": 3, "pts": 0.12} | LIVE,
        EVENT | LIVE,
        {"schema": 1, "stream": "gate", "event": "anything", "why": ["not"]},
        {"schema": 1, "header": HEADER | {"model": {}, "config": {}, "stages": {"speed": {"limit": 50}}}},
    ],
)
def test_what_a_chain_writes(line):
    validator([Detector, Speed, Annotator]).validate(line)


@pytest.mark.parametrize(
    "line",
    [
        FRAME | {"speed": -1},
        FRAME | {"secret": 1},
        EVENT | {"kmh": "fast"},
        {key: value for key, value in EVENT.items() if key != "kmh"},
        EVENT | {"more": 1},
        EVENT | {"frame": 3},
        EVENT | {"epoch": 0},
        EVENT | {"event": "slow"},
        {"schema": 1, "header": HEADER},
        {"schema": 1, "header": HEADER | {"model": {}, "config": {}, "stages": {"speed": 50}}},
    ],
)
def test_what_it_does_not_write(line):
    assert not validator([Detector, Speed, Annotator]).is_valid(line)


def test_without_a_detector_nothing_is_said_of_a_model():
    validator([Speed]).validate({"schema": 1, "header": HEADER})
    assert not validator([Speed]).is_valid(FRAME | {"detections": []})


def stage_that(gives=(), emits=None):
    @settings
    class Other(Stage):
        name = "other"

    Other.gives, Other.emits = gives, emits or {}
    return Other()


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (stage_that(gives=[Kind("detections", int)]), "other gives 'detections', and so does another stage"),
        (stage_that(emits={"fast": {"type": "object"}}), "other emits 'fast', and so does another stage"),
        (stage_that(emits={"dropped": {}}), "other emits 'dropped', which says how a stream stands: name it otherwise"),
    ],
)
def test_what_has_the_name_of_another_is_refused_before_anything_runs(stage, says):
    chain = [stage_that(gives=[DETECTIONS]), Speed(), stage]
    with pytest.raises(ConfigError, match=says):
        schema_of(chain)
    chain = [Detector(model="gone"), Speed(), stage]
    with pytest.raises(ConfigError, match=says):
        list(Runner(chain).run([Numbers("a", 1)]))


def test_stages_may_give_and_emit_the_same():
    again = stage_that(gives=[DETECTIONS, SPEED], emits={"fast": Speed.emits["fast"]})
    assert schema_of([Detector, Speed, again]) == schema_of([Detector, Speed])
