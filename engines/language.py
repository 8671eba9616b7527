"""Runs language models by ONNX Runtime: a step takes a character and a state, and gives what may come next.

    with LanguageModel(Path("lstm.onnx")) as model:
        scores, state = model.step(model.numbers("R")[0], model.begin())

Such a file sees no pictures, so it keeps another contract than tasks.py has, and less metadata: `watchline.task` is
"write", `watchline.labels` has the characters by number; name, checkpoint and figures are as elsewhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.contract import checked, named
from watchline.engines.errors import InferenceFailed, ModelRefused, RequestRefused
from watchline.engines.metadata import PREFIX, SCHEMA, WRITES
from watchline.engines.onnx_runtime import open_session, plain_options
from watchline.engines.tasks import Tensor

INPUTS = (
    Tensor("character", np.int32, ("B",), "with the number of a label"),
    Tensor("state", np.float32, ("B", "S"), "after the characters before"),
)
OUTPUTS = (
    Tensor("scores", np.float32, ("B", "C"), "with the logarithm of each label's probability to come next"),
    Tensor("next_state", np.float32, ("B", "S"), "after the character"),
)
FIELDS = ("schema", "name", "task", "labels", "checkpoint", "figures")
MOST_STATE = 1 << 20  # numbers of a state, which is memory before anything runs
SHOWN = 100  # characters of those it knows, in a message

State = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class About:
    """What a language model says of itself.

    Attributes:
        name: of the model.
        characters: all that it knows; a character's number is its place.
        checkpoint: sha256 of the checkpoint that it was exported from.
        figures: measured figures by name.
    """

    name: str
    characters: str
    checkpoint: str
    figures: Mapping[str, float]


class LanguageModel:
    """A language model in a session of one thread.

    Args:
        path: of the ONNX file.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: it is no language model, breaks the contract above, or the runtime does not take it.
    """

    def __init__(self, path: Path) -> None:
        model = metadata.parse(path)
        self.about = read(model, str(path))
        self._length = _check(model.graph, self.about, str(path))
        self._where = str(path)
        self._number = {character: number for number, character in enumerate(self.about.characters)}
        self._session = open_session(path, plain_options(threads=1))

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text's characters. Raises RequestRefused: the model does not know one."""
        if unknown := [character for character in dict.fromkeys(text) if character not in self._number]:
            known = self.about.characters
            shown = repr(known if len(known) <= SHOWN else known[:SHOWN] + "…")
            raise RequestRefused(
                f"{self.about.name} does not know {', '.join(map(repr, unknown[:10]))}; expected a text of {shown}"
            )
        return [self._number[character] for character in text]

    def begin(self) -> State:
        """The state before the first character, (1, S)."""
        return np.zeros((1, self._length), np.float32)

    def step(self, number: int, state: State) -> tuple[NDArray[np.float32], State]:
        """Read a character.

        Args:
            number: of the character.
            state: before it, (1, S).

        Returns:
            (C,), the logarithm of each character's probability to come next; the state after it.

        Raises:
            InferenceFailed: the model gives NaN or infinity.
        """
        scores, after = self._session.run(
            [tensor.name for tensor in OUTPUTS], {"character": np.array([number], np.int32), "state": state}
        )
        if not np.isfinite(scores).all():
            raise InferenceFailed(f"{self._where}: `scores` hold NaN or infinity; the model is at fault")
        return scores[0], after

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._session


def read(model: onnx.ModelProto, where: str) -> About:
    """What a file says of itself; `where` is what errors name. Raises ModelRefused: it is no language model."""
    properties = {prop.key: prop.value for prop in model.metadata_props}
    task = properties.get(f"{PREFIX}task")
    if task != WRITES:
        what = f"its task is to {task}" if task else "it has no Watchline metadata"
        raise ModelRefused(
            f"{where}: it is no language model, {what}; `watchline train lstm` makes one, and one ships with Watchline"
        )
    if missing := [PREFIX + field for field in FIELDS if PREFIX + field not in properties]:
        raise ModelRefused(f"{where}: its metadata lacks {', '.join(missing)}; export it again")
    metadata.check_schema(properties, where)
    labels = metadata.value(properties, "labels", list, where)
    figures = metadata.value(properties, "figures", dict, where)
    single = all(isinstance(label, str) and len(label) == 1 for label in labels)
    if not labels or not single or len(set(labels)) < len(labels):
        raise ModelRefused(f"{where}: {PREFIX}labels are {str(labels)[:80]}; expected different single characters")
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in figures.values()):
        raise ModelRefused(f"{where}: {PREFIX}figures are {str(figures)[:80]}; expected a number for each name")
    return About(properties[f"{PREFIX}name"], "".join(labels), properties[f"{PREFIX}checkpoint"], figures)


def write(model: onnx.ModelProto, about: About) -> None:
    """Put what it says of itself into a model, in place of its metadata."""
    values: dict[str, Any] = {
        "schema": SCHEMA,
        "name": about.name,
        "task": WRITES,
        "labels": list(about.characters),
        "checkpoint": about.checkpoint,
        "figures": dict(about.figures),
    }
    del model.metadata_props[:]
    for field, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        model.metadata_props.add(key=PREFIX + field, value=text)


def _check(graph: onnx.GraphProto, about: About, where: str) -> int:
    """The length of a state. Raises ModelRefused: inputs or outputs are not those of the contract."""
    takes, gives = named(graph, INPUTS, OUTPUTS, where)
    sizes = {"C": len(about.characters)}
    for tensor in INPUTS:
        dims = checked(takes[tensor.name], tensor, sizes, where)
        batch, length = dims[0], dims[-1]
        if isinstance(batch, int) and batch != 1:
            raise ModelRefused(f"{where}: `{tensor.name}` has {batch} rows; expected any number of them, or one")
    if not isinstance(length, int) or length > MOST_STATE:
        raise ModelRefused(
            f"{where}: a row of `state` has {length} numbers; expected a fixed number up to {MOST_STATE}"
        )
    for tensor in OUTPUTS:
        checked(gives[tensor.name], tensor, sizes | {"S": length}, where)
    return length
