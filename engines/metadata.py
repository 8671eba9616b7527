"""What an ONNX file says of itself: Metadata in its own `metadata_props`, one property a field, `watchline.NAME`.

    metadata.write(model, Metadata(name="my-net", task="detect", labels=("person",), ...))
    onnx.save(model, "my-net.onnx")
    metadata.read("my-net.onnx").labels  # ("person",)

Plain strings are stored as they are, everything else as JSON. `watchline.schema` is the version of this layout.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from watchline.engines.contract import InputShape, check_graph, check_size
from watchline.engines.engine import CANDIDATES, Candidates, Metadata
from watchline.engines.errors import ModelNotFound, ModelRefused, RequestRefused
from watchline.engines.resizing import RESIZES
from watchline.engines.tasks import TASKS

SCHEMA = 1
PREFIX = "watchline."
FIELDS = ("name", "task", "labels", "imgsz", "stride", "resize", "checkpoint", "figures")
WRITES = "write"  # task of a language model, which keeps another contract (language.py)
PAD = "pad"  # may be missing: older files have none
MERGE = "candidates"  # the same
WORDS = "words"  # of models that answer questions alone


def read(path: str | PathLike[str]) -> Metadata:
    """The metadata of an ONNX file whose input and outputs were found to keep the contract.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: it is no ONNX, has no metadata or an unknown version of it, or breaks the contract.
    """
    return describe(Path(path))[0]


def describe(path: Path) -> tuple[Metadata, InputShape]:
    """What `read` returns, and which dimensions of the input are free. Raises the same."""
    model = parse(path)
    where = str(path)
    metadata = of(model, where)
    return metadata, check_graph(model.graph, metadata, where)


def parse(path: Path) -> onnx.ModelProto:
    """Any ONNX file; what it keeps in files beside it is named there and not loaded.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: it is no ONNX, or keeps weights outside its own folder.
    """
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: there is no such file; expected a model, e.g. model.onnx") from None
    except OSError as error:
        raise ModelRefused(f"{path}: it cannot be read ({error.strerror}); expected an ONNX file") from error
    except DecodeError as error:
        raise ModelRefused(
            f"{path}: it is broken, cut short or no ONNX at all ({path.stat().st_size} bytes); "
            "expected an ONNX file: copy or export it again"
        ) from error
    if not model.graph.node:  # an empty file, or other bytes that happen to parse
        raise ModelRefused(f"{path}: it holds no ONNX graph ({path.stat().st_size} bytes); copy or export it again")
    for location in external_data(model.graph):
        try:
            beside = (path.parent / location).resolve()
            beside.is_file()
        except (OSError, ValueError) as error:  # too long a name, or one with NUL
            raise ModelRefused(
                f"{path}: it keeps weights at {location[:80]!r}, which is no file's name; export it again"
            ) from error
        if not beside.is_relative_to(path.parent.resolve()):
            raise ModelRefused(
                f"{path}: it keeps weights at {location!r}, outside its own folder; export it as one file"
            )
    return model


def external_data(graph: onnx.GraphProto) -> Iterator[str]:
    """Where tensors of the graph and of the graphs inside it lie outside the file."""
    tensors = list(graph.initializer)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        tensors += [attribute.t, *attribute.tensors]
        for inner in (attribute.g, *attribute.graphs):
            yield from external_data(inner)
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def of(model: onnx.ModelProto, where: str) -> Metadata:
    """The metadata of an ONNX in memory; `where` is what errors name. Raises what `from_properties` raises."""
    return from_properties({prop.key: prop.value for prop in model.metadata_props}, where)


def write(model: onnx.ModelProto, metadata: Metadata) -> None:
    """Put the metadata into the model, in place of what it had; properties of others stay.

    Raises:
        ModelRefused: a field cannot be (e.g. no labels, imgsz no multiple of stride).
    """
    properties = to_properties(metadata)
    kept = [(prop.key, prop.value) for prop in model.metadata_props if not prop.key.startswith(PREFIX)]
    del model.metadata_props[:]
    for key, value in [*kept, *properties.items()]:
        model.metadata_props.add(key=key, value=value)


def to_properties(metadata: Metadata) -> dict[str, str]:
    """The metadata as a flat table of strings. Raises ModelRefused: a field cannot be."""
    _check(metadata, "metadata")
    values: dict[str, object] = {"schema": SCHEMA} | {
        field: getattr(metadata, field) for field in (*FIELDS, PAD, MERGE)
    }
    if metadata.words:
        values[WORDS] = metadata.words
    width, height = metadata.size
    values["imgsz"] = width if width == height else [width, height]
    return {PREFIX + k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in values.items()}


def from_properties(properties: Mapping[str, str], where: str) -> Metadata:
    """The metadata from such a table; `where` is what errors name.

    Raises:
        ModelRefused: keys are missing, the schema is unknown, or a value cannot be.
    """
    if properties.get(f"{PREFIX}task") == WRITES:
        raise ModelRefused(
            f"{where}: it is a language model, which sees no pictures; expected one that does, as this is for "
            "`watchline write`"
        )
    if missing := [PREFIX + key for key in ("schema", *FIELDS) if PREFIX + key not in properties]:
        raise ModelRefused(
            f"{where}: no Watchline model, its metadata lacks {', '.join(missing)}; `watchline export` makes one of a "
            "detector's ONNX, and docs/engines.md says what a model needs"
        )
    check_schema(properties, where)
    labels = value(properties, "labels", list, where)
    figures = value(properties, "figures", dict, where)
    metadata = Metadata(
        name=properties[PREFIX + "name"],
        task=properties[PREFIX + "task"],
        labels=tuple(labels),
        imgsz=_imgsz(properties, where),
        stride=value(properties, "stride", int, where),
        resize=properties[PREFIX + "resize"],
        checkpoint=properties[PREFIX + "checkpoint"],
        figures=figures,
        candidates=cast(Candidates, properties.get(PREFIX + MERGE, CANDIDATES[0])),
        words=tuple(value(properties, WORDS, list, where)) if PREFIX + WORDS in properties else (),
        **_pad(properties, where),
    )
    _check(metadata, where)
    return metadata


def check_schema(properties: Mapping[str, str], where: str) -> None:
    """Raises ModelRefused: the layout of the metadata is another one than SCHEMA."""
    schema = properties[f"{PREFIX}schema"]
    if schema != str(SCHEMA):
        raise ModelRefused(
            f"{where}: its metadata has schema {schema}, this Watchline reads {SCHEMA}; "
            "upgrade Watchline or export the model again"
        )


def _imgsz(properties: Mapping[str, str], where: str) -> int | tuple[int, int]:
    """A side, or width and height."""
    if not properties[PREFIX + "imgsz"].lstrip().startswith("["):
        side: int = value(properties, "imgsz", int, where)
        return side
    sides = value(properties, "imgsz", list, where)
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise ModelRefused(f"{where}: {PREFIX}imgsz is {sides}; expected a side, or width and height")
    return sides[0], sides[1]


def _pad(properties: Mapping[str, str], where: str) -> dict[str, Any]:
    if PREFIX + PAD not in properties:
        return {}
    return {PAD: tuple(value(properties, PAD, list, where))}


def value(properties: Mapping[str, str], field: str, kind: type, where: str) -> Any:
    """A field that is JSON of a kind: list, dict or int. Raises ModelRefused: it is not; `where` is what is named."""
    text = properties[PREFIX + field]
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):  # no JSON, too deep, or a number of thousands of digits
        loaded = None
    if not isinstance(loaded, kind) or isinstance(loaded, bool):
        words = {list: "a JSON list", dict: "a JSON object", int: "a whole number"}
        raise ModelRefused(f"{where}: {PREFIX}{field} is {text[:80]!r}; expected {words[kind]}")
    return loaded


def _check(metadata: Metadata, where: str) -> None:
    """Raises ModelRefused, naming the first field that cannot be."""
    labels, figures = metadata.labels, metadata.figures
    numbers = [v for v in figures.values() if isinstance(v, int | float) and not isinstance(v, bool)]
    complaint = None
    if not metadata.name:
        complaint = "name is empty; expected the model's name"
    elif metadata.task not in TASKS:
        complaint = f"task is {metadata.task!r}; expected one of {', '.join(TASKS)}"
    elif not _are_names(labels):
        complaint = f"labels are {list(labels)}; expected different class names"
    elif not labels and TASKS[metadata.task].labels:
        complaint = f"labels are []; expected names of {TASKS[metadata.task].labels}, at least one"
    elif len(labels) > (TASKS[metadata.task].most_labels or len(labels)):
        complaint = f"labels are {len(labels)}; expected at most {TASKS[metadata.task].most_labels} of a model's task"
    elif metadata.stride < 1:
        complaint = f"stride is {metadata.stride}; expected a positive number of pixels"
    elif metadata.resize not in RESIZES:
        complaint = f"resize is {metadata.resize!r}; expected one of {', '.join(RESIZES)}"
    elif len(metadata.pad) != 3 or not all(type(v) is int and 0 <= v <= 255 for v in metadata.pad):
        complaint = f"pad is {list(metadata.pad)}; expected blue, green and red in 0..255"
    elif metadata.candidates not in CANDIDATES:
        complaint = f"candidates is {metadata.candidates!r}; expected one of {', '.join(CANDIDATES)}"
    elif metadata.candidates == "merge" and metadata.task != "detect":
        complaint = f"candidates is 'merge' of the task {metadata.task!r}; expected the task 'detect'"
    elif bool(metadata.words) != (metadata.task == "answer") or not _are_names(metadata.words):
        complaint = f"words are {list(metadata.words)[:5]}; expected different words, of the task 'answer' alone"
    elif len(numbers) < len(figures):
        complaint = f"figures are {figures}; expected a number for each name"
    if complaint:
        raise ModelRefused(f"{where}: {PREFIX}{complaint}")
    try:
        check_size(metadata.size, metadata.stride, f"{where}: {PREFIX}imgsz")
    except RequestRefused as error:
        raise ModelRefused(str(error)) from None


def _are_names(values: Sequence[object]) -> bool:
    """Whether they are different texts, none of them empty."""
    return all(isinstance(value, str) and value for value in values) and len(set(values)) == len(values)
