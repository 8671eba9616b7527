"""The messages between a client and the server of a stage: small, frozen, as JSON.

    header = encode(Signal("ping"))
    message = decode(header)

There is no pickle. Each message is checked field by field; what is not one of these messages raises Malformed. Pixels
and arrays travel beside the header as raw parts, or in shared memory; `codec.py` knows which part belongs to what.

    client                                              server
    hello: the stage, its settings, the chain before ->
                                                     <- welcome: what runs there; or refused: why
    work: an id, items                               ->
                                                     <- done: the id, results; or failed: the id, why
    course: an id, a stream begins or ends           ->     only to stages of order "stream"
                                                     <- heard: the id, events; or failed
    ping, once per second                            ->
                                                     <- pong; or unknown, to a client that said no hello
    bye                                              ->

SCHEMA is the version of all that: whoever changes a message, a part or its pieces (`channel.py`) raises it. Two things
are the same in every version, so that any two can tell each other that they differ: a header is a JSON object with the
whole number `schema`, and a refusal has `"kind": "refused"` and `why`, a text that names both versions.
"""

import json
import string
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote, unquote

from pydantic import (
    ConfigDict,
    Field,
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

SCHEMA = 3
MOST_ITEMS = 256  # of a request
MOST_KINDS = 32  # of results of an item
MOST_ARRAYS = 16  # of a result
MOST_AXES = 4  # of an array
MOST_EVENTS = 1000  # of an item, or of a stream's end
MOST_STAGES = 64  # of a chain
LONGEST_TEXT = 1 << 16

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Malformed(ValueError):
    """What arrived is not a message of ours. The text is one short line that may be logged."""


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


def _json(value: object, info: ValidationInfo) -> Any:
    if info.mode != "json":
        return value
    if not isinstance(value, str):
        raise ValueError("expected JSON in a text")
    try:
        return json.loads(value, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("too deep") from None


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


# A JSON value as a text of ASCII: a name in it may not be UTF-8, and pydantic's JSON has UTF-8 only.
Json = Annotated[Any, PlainValidator(_json), PlainSerializer(lambda value: json.dumps(value, allow_nan=False))]

# Any text, also a file's name that is not UTF-8, which JSON cannot have: ASCII as it is, the rest as in a URL.
Text = Annotated[str, PlainValidator(_text), PlainSerializer(_quoted)]
Natural = Annotated[int, Field(ge=0, lt=1 << 63)]
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
Positive = Annotated[int, Field(ge=1, lt=1 << 63)]
Side = Annotated[int, Field(ge=1, le=LONGEST_SIDE)]
Shape = tuple[Side, Positive]
Quality = Annotated[int, Field(ge=1, le=100)]
Dtype = Literal["|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8"]
DTYPES: tuple[str, ...] = get_args(Dtype)


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
class ArrayEntry:
    """An array in one part, in C order, little-endian; `jpeg`: a picture, as JPEG."""

    dtype: Dtype
    shape: Annotated[tuple[Natural, ...], Field(max_length=MOST_AXES)]
    jpeg: bool = False


@dataclass(frozen=True, slots=True, config=STRICT)
class KindEntry:
    """A result: the key of its kind, its JSON value, and a part for each of its arrays."""

    key: Text
    value: Json
    arrays: Annotated[tuple[ArrayEntry, ...], Field(max_length=MOST_ARRAYS)]


@dataclass(frozen=True, slots=True, config=STRICT)
class EventEntry:
    """Something that a stage has seen to happen."""

    name: Text
    data: Json


PictureEntry = Annotated[PlanesEntry | PixelsEntry, Field(discriminator="kind")]
Kinds = Annotated[tuple[KindEntry, ...], Field(max_length=MOST_KINDS)]
Events = Annotated[tuple[EventEntry, ...], Field(max_length=MOST_EVENTS)]


@dataclass(frozen=True, slots=True, config=STRICT)
class ItemEntry:
    """An item with all of its frame that a stage may look at, and what the stages before have found and said."""

    stream: Text
    index: Natural
    pts: Whole
    time_base: tuple[Positive, Positive]
    picture: PictureEntry
    file: Text | None = None
    epoch: Natural | None = None
    time: float | None = None
    results: Kinds = ()
    events: Events = ()


@dataclass(frozen=True, slots=True, config=STRICT)
class ResultEntry:
    """What a stage changed in an item: its results, the events that it added, and the frame's picture, if it may."""

    results: Kinds = ()
    events: Events = ()
    picture: PictureEntry | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class AboutEntry:
    """What a stage hears of a stream at its beginning: `streams.source.About` without its path, which is local."""

    name: Text
    width: Natural
    height: Natural
    time_base: tuple[Positive, Positive]
    pixel_aspect: tuple[Positive, Positive]
    rate: tuple[Positive, Positive] | None = None
    frames: Natural | None = None
    codec: Text | None = None


@dataclass(frozen=True, slots=True, config=STRICT)
class PartsInSlot:
    """Parts that lie in a slot of shared memory: offset and length of each."""

    slot: Natural
    spans: Annotated[tuple[tuple[Natural, Natural], ...], Field(max_length=64 * MOST_ITEMS)]


@dataclass(frozen=True, slots=True, config=STRICT)
class Hello:
    """The stage that a client needs, its settings, and the stages before it that give results.

    `client` is the same each time that a client connects again.
    """

    client: Text
    stage: Text
    settings: Json
    chain: Annotated[tuple[Text, ...], Field(max_length=MOST_STAGES)] = ()
    kind: Literal["hello"] = "hello"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Welcome:
    """The stage is open, has so many workers, and says what runs there."""

    workers: Positive
    about: Json
    kind: Literal["welcome"] = "welcome"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Refused:
    """The server does not serve this client, and why."""

    why: Text
    kind: Literal["refused"] = "refused"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class WorkRequest:
    """Items for the stage. The answer has the same id. `quality`: the server sends pixels back as JPEG of it."""

    id: Natural
    items: Annotated[tuple[ItemEntry, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    quality: Quality | None = None
    where: PartsInSlot | None = None
    kind: Literal["work"] = "work"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Done:
    """What the stage changed: an entry per item, in their order."""

    id: Natural
    results: Annotated[tuple[ResultEntry, ...], Field(min_length=1, max_length=MOST_ITEMS)]
    where: PartsInSlot | None = None
    kind: Literal["done"] = "done"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Course:
    """A stream begins, or an epoch of it; or, without `about`, it ends."""

    id: Natural
    stream: Text
    about: AboutEntry | None = None
    epoch: Natural | None = None
    kind: Literal["course"] = "course"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Heard:
    """What a stage has to say at the end of a stream."""

    id: Natural
    events: Events = ()
    kind: Literal["heard"] = "heard"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Failed:
    """A request could not be done, and why."""

    id: Natural
    why: Text
    kind: Literal["failed"] = "failed"
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Signal:
    """A message without content."""

    kind: Literal["ping", "bye", "pong", "unknown"]
    schema: Literal[3] = 3


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="ignore", strict=True))
class Envelope:
    """The part of a header that is the same in every version."""

    schema: Natural
    kind: Text = ""
    why: Text = ""


Message = Hello | Welcome | Refused | WorkRequest | Done | Course | Heard | Failed | Signal
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])
_envelopes = TypeAdapter(Envelope)


def encode(message: Message) -> bytes:
    """The header of a message.

    Raises:
        ValueError: it is longer than a header may be, or has a value that JSON does not have.
    """
    header = _messages.dump_json(message)
    if len(header) > LARGEST_HEADER:
        raise ValueError(f"a header of {len(header)} bytes, {LARGEST_HEADER} at most: send fewer frames at once")
    return header


def decode(header: bytes) -> Message:
    """The message of a header.

    Raises:
        OtherVersion: it is of another version of the protocol, whatever else is in it.
        Malformed: it is not a message.
    """
    try:
        return _messages.validate_json(header)
    except ValidationError as error:
        other = _other_version(header)
        if other is not None:
            raise other from None
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise Malformed(f"not a message: {first['type']} at {'.'.join(map(str, first['loc']))[:80]!a}") from None
    except RecursionError:
        raise Malformed("not a message: too deep") from None


def unlike(server: int, client: int) -> str:
    """Why a server and a client of two protocols cannot work together, and what to do; for a refusal and for the log.

    Args:
        server, client: the protocol of each; one of them is ours.
    """
    here = f" (Watchline {VERSION})"
    return (
        f"the stage speaks protocol {server}{here if server == SCHEMA else ''}, "
        f"its client protocol {client}{here if client == SCHEMA else ''}: "
        "install the same version of Watchline on both hosts"
    )


def _other_version(header: bytes) -> OtherVersion | None:
    """What is not a message of ours may be one of another version."""
    try:
        envelope = _envelopes.validate_json(header)
    except (ValidationError, RecursionError):
        return None
    why = envelope.why if envelope.kind == "refused" else ""
    return OtherVersion(envelope.schema, why) if envelope.schema != SCHEMA else None
