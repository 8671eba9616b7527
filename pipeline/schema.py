"""The JSON Schema of the events: ours, and for each stage of a chain what it says of its results and events.

docs/events.schema.json is that of our own stages.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from watchline.pipeline.stages.registry import events_of, kinds_of
from watchline.pipeline.stages.stage import StageInfo

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLE = (
    "One line of Watchline's events (JSON Lines): the header first, then one line a frame; what stages have seen to "
    "happen; of a live stream, its states and losses too; the footer last"
)

MERGED = ("type", "required", "properties", "dependentRequired")  # of an event's data, with what every event has

_LINE: Mapping[str, Any] = {"schema": {"const": 1}, "stream": {"type": "string", "minLength": 1}}
_EPOCH = {"$ref": "#/$defs/epoch"}
_TIME = {"$ref": "#/$defs/time"}


def schema_of(stages: Iterable[StageInfo | type[StageInfo]]) -> dict[str, Any]:
    """The schema of one line of what these stages make.

    Args:
        stages: of the chain, or their classes.

    Raises:
        ConfigError: two of them give different results, or emit different events, of one name.
    """
    stages = list(stages)
    parts = {key: kind.schema for key, kind in kinds_of(stages).items() if kind.as_json is not None}
    events = events_of(stages)
    lines = {
        "header": _header([stage.name for stage in stages]),
        "footer": _object(("schema", "footer"), {"schema": {"const": 1}, "footer": _FOOTER}),
        "frame": _frame(parts),
        "state": _event("state", _STATE, is_live=True),
        "dropped": _event("dropped", _DROPPED, is_live=True),
        **{f"event_{name}": _event(name, data) for name, data in events.items()},
    }
    return {
        "$schema": DIALECT,
        "title": TITLE,
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in lines],
        "$defs": {**lines, **_WORDS},
    }


def _object(required: Iterable[str], properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "additionalProperties": False, **more} | {
        "properties": dict(properties)
    }


def _header(stages: list[str]) -> dict[str, Any]:
    """The first line. What the detector says of itself stands in the middle of it, as it has from the beginning."""
    detector = ["model", "config"] if "detector" in stages else []
    properties = {
        "source": {
            "type": "string",
            "description": "Name of the file or folder, without its place; "
            "of a camera, its address without credentials",
        },
        "stream": {"type": "string", "minLength": 1, "description": "As the lines after it have it"},
        "version": {"type": "string", "description": "Of Watchline"},
        "model": {"type": "object", "description": "The detector: name, checkpoint, runtime, labels"},
        "config": {"type": "object", "description": "The settings of the detector"},
        "stages": {
            "type": "object",
            "description": "What other stages say of themselves, and their settings, by name",
            "additionalProperties": {"type": "object"},
        },
    }
    header = {"type": "object", "required": ["source", "version", *detector], "properties": properties}
    return _object(("schema", "header"), {"schema": {"const": 1}, "header": header})


def _frame(parts: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        **_LINE,
        "frame": {
            "type": "integer",
            "minimum": 0,
            "description": "Index in the stream, from 0. Of a live stream, index + 1 = frames so far, with this one, "
            "+ dropped so far",
        },
        "pts": {"type": "number", "description": "Presentation time in seconds, as the container says"},
        "file": {"type": "string", "minLength": 1, "description": "Of a photo: its name"},
        "epoch": _EPOCH,
        "time": _TIME | {"description": "Of a live frame: when it arrived"},
        "latency_ms": {"type": "number", "minimum": 0, "description": "From its arrival until this line was written"},
        "late": {"const": True, "description": "It is older than the latency budget, as the stages need longer"},
        "width": {"type": "integer", "minimum": 1, "description": "Of the picture as shown, in pixels"},
        "height": {"type": "integer", "minimum": 1},
        **parts,
    }
    together = {"epoch": ["time"], "time": ["epoch"], "latency_ms": ["time"], "late": ["time"]}
    required = ("schema", "stream", "frame", "pts", "width", "height")
    return _object(required, properties, dependentRequired=together)


def _event(name: str, data: Mapping[str, Any], is_live: bool = False) -> dict[str, Any]:
    """A line that is not a frame's. Args: data, JSON Schema of an object; is_live, only live streams have it."""
    where = {
        "frame": {"type": "integer", "minimum": 0, "description": "In which it happened"},
        "pts": {"type": "number", "description": "Of that frame"},
    }
    properties = {**_LINE, "event": {"const": name}, "epoch": _EPOCH, "time": _TIME, **({} if is_live else where)}
    together = {"epoch": ["time"], "time": ["epoch"]} | ({} if is_live else {"frame": ["pts"], "pts": ["frame"]})
    more = {key: value for key, value in data.items() if key not in MERGED}
    return _object(
        ("schema", "stream", "event", *(("epoch", "time") if is_live else ()), *data.get("required", ())),
        properties | data.get("properties", {}),
        **{"additionalProperties": "properties" not in data, **more},
        dependentRequired=together | data.get("dependentRequired", {}),
    )


_STATE: Mapping[str, Any] = {
    "required": ["state"],
    "properties": {
        "state": {"enum": ["connecting", "live", "stalled", "retrying", "ended"]},
        "why": {"type": "string", "minLength": 1, "description": "In one line, without credentials"},
        "retry_in": {"type": "number", "minimum": 0, "description": "Seconds until the next attempt"},
    },
}
_FOOTER = _object(
    ("stream", "whole", "frames", "dropped"),
    {
        "stream": _LINE["stream"],
        "whole": {
            "type": "boolean",
            "description": "The stream was read to its end (of a recording's segment: to the next one), and every "
            "frame that is counted here is in the outputs",
        },
        "frames": {"type": "integer", "minimum": 0, "description": "In the outputs, with and without a line"},
        "dropped": {
            "type": "object",
            "description": "Frames by cause",
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
    },
    description="The last line: a file without it is of a process that was killed, or is being written",
)
_DROPPED: Mapping[str, Any] = {
    "required": ["cause", "frames"],
    "properties": {
        "cause": {
            "type": "string",
            "minLength": 1,
            "description": "Why they have no lines of their own, in a word or two",
        },
        "frames": {
            "type": "integer",
            "minimum": 1,
            "description": "How many; they came before the next frame that has a line",
        },
    },
}
_WORDS: Mapping[str, Any] = {
    "epoch": {
        "type": "integer",
        "minimum": 0,
        "description": "How often the live stream was connected again before",
    },
    "time": {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$",
        "description": "ISO 8601, UTC, with milliseconds",
    },
}
