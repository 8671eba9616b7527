"""What every engine does around its runtime: check what goes in, check what comes out, open and close."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from copy import copy
from types import MappingProxyType, TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from watchline.engines.engine import Batch, Metadata
from watchline.engines.errors import EngineError, InferenceFailed, ModelRefused, RequestRefused
from watchline.engines.tasks import IMAGES, TASKS, Outputs, Tensor, shown


class CheckedEngine(ABC):
    """An engine without its runtime: a subclass loads in its constructor, and implements run, fork and release."""

    def __init__(
        self,
        where: str,
        metadata: Metadata,
        size: tuple[int, int],
        runtime: str,
        batch: int | None = None,
        others: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    ) -> None:
        """Args:
        where: the file that errors name.
        batch: the only batch size that the model takes, None for any.
        others: shape of one row of each input other than `images`, by name.
        """
        self.metadata = metadata
        self.size = size
        self.runtime = runtime
        self._where = where
        self._batch = batch
        self._rows = {IMAGES.name: (size[1], size[0], 3), **others}
        self._closed = False
        self._proven = False

    @property
    def rows(self) -> Mapping[str, tuple[int, ...]]:
        """As the Engine protocol says."""
        return self._rows

    @abstractmethod
    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Outputs by name, in arrays that later runs leave alone. The inputs have been checked.

        The names are the task's outputs; with a runtime that shows what is inside a model, they may be any tensors.
        """

    @abstractmethod
    def _separate(self) -> None:
        """Called on a copy, which shares everything with the original: replace what two engines cannot share."""

    @abstractmethod
    def _release(self) -> None:
        """Give back what the runtime holds. Called once."""

    def infer(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """As the Engine protocol says."""
        inputs = self._inputs(batch)
        outputs = self._computed(inputs, self._names)
        self._check_outputs(len(inputs[IMAGES.name]), outputs)
        return outputs

    def tensors(self, batch: Batch, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        """Any outputs of the file, unchecked (inside.py). Raises what `infer` raises, except ModelRefused."""
        return self._computed(self._inputs(batch), names)

    def _computed(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        try:
            return self._run(inputs, names)
        except EngineError:
            raise
        except Exception as error:  # the exceptions of the runtimes have no base in common but this one
            raise InferenceFailed(f"{self._where}: {self.runtime} failed: {first_line(error)}") from error

    @property
    def _names(self) -> tuple[str, ...]:
        """The outputs that the task has."""
        return TASKS[self.metadata.task].names

    def warm_up(self) -> None:
        """As the Engine protocol says."""
        self.infer(self._blank(self._batch or 1))

    def _blank(self, count: int) -> Batch:
        """Inputs for a run whose result does not matter: pictures of padding, zeros in the other inputs."""
        return {
            tensor.name: np.full(
                (count, *self._rows[tensor.name]), self.metadata.pad if tensor is IMAGES else 0, tensor.dtype
            )
            for tensor in TASKS[self.metadata.task].inputs
        }

    def fork(self) -> Self:
        """As the Engine protocol says."""
        self._check_open()
        fork = copy(self)
        fork._separate()
        return fork

    def close(self) -> None:
        """As the Engine protocol says."""
        if not self._closed:
            self._closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RequestRefused(f"{self._where}: the engine is closed; load it again")

    def _inputs(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """The inputs by name. Raises RequestRefused: they are not those of the task."""
        self._check_open()
        wanted = TASKS[self.metadata.task].inputs
        given = dict(batch) if isinstance(batch, Mapping) else {IMAGES.name: batch}
        if given.keys() != {tensor.name for tensor in wanted}:
            raise RequestRefused(
                f"{self._where}: the batch has {', '.join(given) or 'nothing'}; expected {', '.join(map(str, wanted))}"
            )
        count = self._batch
        for tensor in wanted:
            self._check_input(tensor, given[tensor.name], count)
            count = len(given[tensor.name])
        return given

    def _check_input(self, tensor: Tensor, array: Any, count: int | None) -> None:
        """Args: count, how many rows the array must have, None for any number. Raises RequestRefused."""
        what = "the batch" if tensor is IMAGES else f"`{tensor.name}`"
        shape = shown((count or "B", *self._rows[tensor.name]))
        expected = f"{shape} {np.dtype(tensor.dtype)} {tensor.about}".rstrip()
        if not isinstance(array, np.ndarray):
            raise RequestRefused(f"{self._where}: {what} is a {type(array).__name__}; expected an array {expected}")
        rows = count or max(1, len(array) if array.ndim else 0)
        if array.dtype != tensor.dtype or array.shape != (rows, *self._rows[tensor.name]):
            raise RequestRefused(f"{self._where}: {what} is {array.dtype} {array.shape}; expected {expected}")

    def _check_outputs(self, count: int, outputs: Outputs) -> None:
        task = TASKS[self.metadata.task]
        width, height = self.size
        sizes = {"B": count, "H": height, "W": width, "C": len(self.metadata.labels)}
        for tensor in task.outputs:
            array = outputs[tensor.name]
            if array.ndim == len(tensor.shape):
                chosen = {letter: n for letter, n in zip(tensor.shape, array.shape, strict=True) if letter not in sizes}
                sizes |= {letter: n for letter, n in chosen.items() if isinstance(letter, str)}
            expected = tensor.with_sizes(sizes)
            if array.dtype != tensor.dtype or array.shape != expected:
                raise ModelRefused(
                    f"{self._where}: `{tensor.name}` came out as {array.dtype} {array.shape}; "
                    f"expected {np.dtype(tensor.dtype)} {shown(expected)} {tensor.about}".rstrip()
                )
            # 11 us for 2808 boxes of 20 classes, where summing takes twice that
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InferenceFailed(
                    f"{self._where}: `{tensor.name}` holds NaN or infinity in {np.count_nonzero(~np.isfinite(array))} "
                    f"of {array.size} numbers; the model or its precision is at fault"
                )
        if not self._proven and all(outputs[name].size for name in task.names):
            if wrong := task.wrong(outputs, len(self.metadata.labels)):
                raise ModelRefused(f"{self._where}: {wrong}")
            self._proven = True  # logits show in the first picture already; later ones need not pay for the check


def in_pieces(inputs: dict[str, NDArray[Any]], most: int) -> Iterator[dict[str, NDArray[Any]]]:
    """The inputs in pieces of at most `most` rows."""
    for first in range(0, len(inputs[IMAGES.name]), most):
        yield {name: rows[first : first + most] for name, rows in inputs.items()}


def first_line(error: BaseException) -> str:
    """The first line of what a runtime has to say, for a message of one line; not where in its source it says so."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from ", "Check '"))] or lines
    return telling[0] if telling else type(error).__name__
