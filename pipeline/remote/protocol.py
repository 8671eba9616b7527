"""What a hub and a stage elsewhere say to one another: small frozen messages, as JSON.

    header = encode(Word("ping"))
    message = decode(header)

No pickle. Whatever comes is checked field by field, and what is none of these messages raises Malformed. Pixels and
arrays travel beside the header as raw parts, or in shared memory; `codec.py` knows which belongs to what.

    hub                                  stage
    hello: the stage and its settings ->
                                      <- welcome, or refused: why
    work: an id, items                ->
                                      <- done: the id, results; or failed: the id, why
    ping, once a second               ->
                                      <- pong; or unknown, to a hub that said no hello
    bye                               ->

SCHEMA is the version of all that: whoever changes a message or a part raises it. Two things are the same in every
version, so that any two can tell each other that they differ: a header is a JSON object with the whole number `schema`,
and a refusal has `"kind": "refused"` and `why`, a text that names both versions.
"""

import string
from typing import Annotated, Literal
from urllib.parse import quote, unquote

from pydantic import (
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)
from pydantic.dataclasses import dataclass

from watchline.pipeline.remote.channel import LARGEST_HEADER
from watchline.streams.planes import LONGEST_SIDE
from watchline.version import VERSION

SCHEMA = 1
MOST_ITEMS = 256  # of a request
MOST_DETECTIONS = 100_000  # of a frame
MOST_LABELS = 100_000
LONGEST_TEXT = 1 << 16

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Malformed(ValueError):
    """What came is no message of ours. The text is one short line that may be logged."""


class OtherVersion(Malformed):
    """A message of another version of the protocol.

    Attributes:
        schema: the other side's version.
        why: what its refusal says; "" for any other message.
    """

    def __init__(self, schema: int, why: str) -> None:
        super().__init__(f"a message of protocol {schema}, expected {SCHEMA}")
        self.schema, self.why = schema, why


def _quoted(text: str) -> str:
    return quote(text, safe=string.punctuation.replace("%", "") + " ", errors="surrogatepass")


def _text(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise ValueError(f"expected a text of up to {LONGEST_TEXT} letters")
    return unquote(value, errors="surrogatepass") if info.mode == "json" else value


# Any text, also a file's name that is no UTF-8, which JSON cannot have: ASCII as it is, the rest as in a URL.
Text = Annotated[str, PlainValidator(_text), PlainSerializer(_quoted)]
Natural = Annotated[int, Field(ge=0, lt=1 << 63)]
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Positive = Annotated[int, Field(ge=1, lt=1 << 63)]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Shape = tuple[Side, Positive]
Quality = Annotated[int, Field(ge=1, le=100)]


@dataclass(frozen=True, slots=True, config=STRICT)
class PlanesEntry:
    """A decoded picture: a part for each plane, of these shapes. See `DecodedPicture.of_planes`."""

    format: Annotated[str, Field(max_length=32)]
    width: Side
    height: Side
    colorspace: Natural
    color_range: Annotated[int, Field(ge=0, le=2)]
    transposed: bool
    shapes: Annotated[tuple[Shape, ...], Field(min_length=1, max_length=4)]
    flip: Literal[-1, 0, 1] | None = None
    kind: Literal["planes"] = "planes"


@dataclass(frozen=True, slots=True, config=STRICT)
class PixelsEntry:
    """A picture (height, width, 3) BGR in one part: as it is, or as JPEG."""

    width: Side
    height: Side
    kind: Literal["bgr", "jpeg"]


@dataclass(frozen=True, slots=True, config=STRICT)
class DetectionsEntry:
    """`count` detections in one part: rows of `ROW`."""

    count: Annotated[int, Field(ge=0, le=MOST_DETECTIONS)]
    labels: Annotated[tuple[Text, ...], Field(max_length=MOST_LABELS)]


@dataclass(frozen=True, slots=True, config=STRICT)
class ItemEntry:
    """An item with all of its frame that a stage may look at."""

    sequence: Natural
    stream: Text
    index: Natural
    pts: Whole
    time_base: tuple[Positive, Positive]
    picture: Annotated[PlanesEntry | PixelsEntry, Field(discriminator="kind")]
    file: Text | None = None
    epoch: Natural | None = None
    time: float | None = None
    detections: DetectionsEntry | None = None
    drawn: PixelsEntry | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class ResultEntry:
    """What a stage set in an item; None where it left what was there."""

    detections: DetectionsEntry | None = None
    drawn: PixelsEntry | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class Where:
    """Parts that lie in a slot of shared memory: offset and length of each."""

    slot: Natural
    places: Annotated[tuple[tuple[Natural, Natural], ...], Field(max_length=8 * MOST_ITEMS)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Hello:
    """The stage that a hub needs, and its settings. `hub` is the same each time that a hub connects again."""

    hub: Text
    stage: Text
    settings: dict[str, JsonValue] = Field(max_length=256)
    kind: Literal["hello"] = "hello"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Welcome:
    """The stage is open, and has so many workers."""

    workers: Positive
    kind: Literal["welcome"] = "welcome"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Refused:
    """Not this stage, or not now, and why."""

    why: Text
    kind: Literal["refused"] = "refused"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Work:
    """Items to be done. The answer has the same id. `quality`: send pixels back as JPEG of this quality."""

    id: Natural
    items: Annotated[tuple[ItemEntry, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    quality: Quality | None = None
    where: Where | None = None
    kind: Literal["work"] = "work"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Done:
    """What the stage set, an entry an item, in their order."""

    id: Natural
    results: Annotated[tuple[ResultEntry, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    where: Where | None = None
    kind: Literal["done"] = "done"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Failed:
    """A request could not be done, and why."""

    id: Natural
    why: Text
    kind: Literal["failed"] = "failed"
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=STRICT)
class Word:
    """What needs no more than its kind."""

    kind: Literal["ping", "bye", "pong", "unknown"]
    schema: Literal[1] = 1


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore", strict=True))
class Envelope:
    """What a header has in every version."""

    schema: Natural
    kind: Text = ""
    why: Text = ""


Message = Hello | Welcome | Refused | Work | Done | Failed | Word
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
_envelopes = TypeAdapter(Envelope)


def encode(message: Message) -> bytes:
    """The header of a message.

    Raises:
        ValueError: there is more in it than a header may have.
    """
    header = _messages.dump_json(message)
    if len(header) > LARGEST_HEADER:
        raise ValueError(f"a header of {len(header)} bytes, {LARGEST_HEADER} at most: send fewer frames at once")
    return header


def decode(header: bytes) -> Message:
    """The message of a header.

    Raises:
        OtherVersion: it is of another version of the protocol, whatever else is in it.
        Malformed: it is no message.
    """
    try:
        return _messages.validate_json(header)
    except ValidationError as error:
        other = _other_version(header)
        if other is not None:
            raise other from None
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise Malformed(f"no message: {first['type']} at {'.'.join(map(str, first['loc']))[:80]!a}") from None
    except RecursionError:
        raise Malformed("no message: too deep") from None


def unlike(stage: int, hub: int) -> str:
    """Why a stage and a hub of two protocols cannot work together, and what to do; for a refusal and for the log.

    Args:
        stage, hub: the protocol of each; one of them is ours.
    """
    here = f" (Watchline {VERSION})"
    return (
        f"the stage speaks protocol {stage}{here if stage == SCHEMA else ''}, "
        f"the hub protocol {hub}{here if hub == SCHEMA else ''}: install the same version of Watchline on both hosts"
    )


def _other_version(header: bytes) -> OtherVersion | None:
    """What is no message of ours may be one of another version."""
    try:
        envelope = _envelopes.validate_json(header)
    except (ValidationError, RecursionError):
        return None
    why = envelope.why if envelope.kind == "refused" else ""
    return OtherVersion(envelope.schema, why) if envelope.schema != SCHEMA else None
