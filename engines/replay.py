"""The shipped fake: an engine that gives back outputs which a real one gave before, for tests and demonstrations.

    with Recorder(load("model.onnx"), "clip.npz") as engine:
        ...  # any run; what comes out is stored when the recorder closes
    with load("clip.npz") as engine:
        ...  # the same run with the same numbers, without the model and its runtime

The file is a plain .npz: "metadata" (JSON), "size" (width, height), "runtime" (what was recorded), and for each batch
the outputs, e.g. "SHA256.boxes" and "SHA256.scores", by the sha256 of the batch's bytes. If there are inputs other than
the pictures, their bytes follow, and "row.NAME" is the shape of one row.
"""

import hashlib
import json
import math
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine
from watchline.engines.engine import Batch, Engine, Metadata
from watchline.engines.errors import EngineError, InferenceFailed, ModelNotFound, ModelRefused, RequestRefused
from watchline.engines.tasks import IMAGES
from watchline.files import replacing

ROW = "row."
MAX_BYTES = 1 << 29
"""Of an array. The masks of 8 pictures of 1024 x 2048 and 8 classes have as many; a small file may declare any size."""
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a recording raises when it is none, is cut short, or holds other arrays or other JSON."""


class Replay(CheckedEngine):
    """A recording, played back. Arrays are read when they are asked for, so a long recording needs little memory.

    Args:
        path: of the .npz file.
        size: (width, height) that the recording must have, None for any.
        max_bytes: of an array; larger ones are refused before memory is allocated for them.

    Raises:
        ModelNotFound: there is no such file.
        ModelRefused: the file is no recording, or an array is larger than `max_bytes`.
        RequestRefused: it was recorded at another size.
    """

    _files: ExitStack

    def __init__(self, path: Path, size: tuple[int, int] | None = None, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._separate()
        with ExitStack() as stack, _understood(path):
            stack.enter_context(self._files)
            about = metadata.from_properties(json.loads(str(self._read("metadata"))), str(path))
            width, height = map(int, self._read("size"))
            runtime = str(self._read("runtime"))
            if size is not None and size != (width, height):
                raise RequestRefused(
                    f"{path}: asked for {size[0]} x {size[1]}, but it was recorded at {width} x {height}"
                )
            others = {
                name.removeprefix(ROW): tuple(map(int, self._read(name)))
                for name in self._arrays
                if name.startswith(ROW)
            }
            super().__init__(str(path), about, (width, height), f"replay of {runtime}", others=others)
            self._files = stack.pop_all()

    def _run(self, inputs: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        key = _key(inputs)
        first = names[0]
        if f"{key}.{first}" not in self._arrays:
            known = sum(name.endswith(f".{first}") for name in self._arrays)
            raise InferenceFailed(
                f"{self._where}: it holds no outputs for this batch {inputs[IMAGES.name].shape} (sha256 {key[:12]}…), "
                f"only for {known} others; replay the frames that were recorded, or record these"
            )
        return {name: self._read(f"{key}.{name}") for name in names}

    def warm_up(self) -> None:
        """Nothing waits to be set up, and the grey picture need not be in the recording."""

    def _read(self, name: str) -> NDArray[Any]:
        """An array of the file. Raises ModelRefused: it declares too many bytes; what NumPy raises: it is damaged."""
        with self._arrays.zip.open(f"{name}.npy") as file:  # type: ignore[union-attr]
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
        size = math.prod(shape) * dtype.itemsize
        if size > self._max_bytes:
            raise ModelRefused(
                f"{self._path}: its array {name} declares {size} bytes: expected {self._max_bytes} at most; "
                "if you trust it, Replay(path, max_bytes=…) takes more"
            )
        return np.asarray(self._arrays[name])

    def _separate(self) -> None:
        with ExitStack() as stack, _understood(self._path):
            self._arrays = _arrays(stack.enter_context(self._path.open("rb")))
            self._files = stack.pop_all()

    def _release(self) -> None:
        self._files.close()


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    """What reading raises becomes ours."""
    try:
        yield
    except FileNotFoundError:
        raise ModelNotFound(f"{path}: there is no such file; expected a recording (.npz)") from None
    except EngineError:
        raise
    except BROKEN as error:
        raise ModelRefused(f"{path}: broken or no recording of an engine; record it again by Recorder") from error


class Recorder:
    """Any engine, with every batch's outputs stored in an .npz file when it closes. Closes the engine, too.

    Forks record into the same file, which is written when the last of them closes.

    Args:
        engine: that runs.
        path: of the file to write, replaced if it is there.

    Raises:
        RequestRefused: the path does not end on .npz, or its folder is not there.
    """

    def __init__(self, engine: Engine, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        if self._path.suffix != ".npz" or not self._path.parent.is_dir():
            raise RequestRefused(f"{path}: a recording is written to a name on .npz in a folder that exists")
        self._engine = engine
        self._arrays: dict[str, NDArray[Any]] = {}
        self._open = {self}
        self._lock = threading.Lock()

    @property
    def metadata(self) -> Metadata:
        return self._engine.metadata

    @property
    def size(self) -> tuple[int, int]:
        return self._engine.size

    @property
    def runtime(self) -> str:
        return self._engine.runtime

    @property
    def rows(self) -> Mapping[str, tuple[int, ...]]:
        return self._engine.rows

    def infer(self, batch: Batch) -> dict[str, NDArray[Any]]:
        """What the engine gives; raises what it raises, and then records nothing."""
        outputs = self._engine.infer(batch)
        inputs = batch if isinstance(batch, Mapping) else {IMAGES.name: batch}
        key = _key(inputs)
        self._arrays |= {f"{key}.{name}": array for name, array in outputs.items()}
        self._arrays |= {ROW + name: np.array(rows.shape[1:]) for name, rows in inputs.items() if name != IMAGES.name}
        return outputs

    def warm_up(self) -> None:
        """Warms the engine up; the grey picture is not recorded."""
        self._engine.warm_up()

    def fork(self) -> "Recorder":
        """A recorder of the engine's fork; raises what that raises."""
        fork = copy(self)
        fork._engine = self._engine.fork()
        with self._lock:
            self._open.add(fork)
        return fork

    def close(self) -> None:
        """Close the engine; the last one writes the file before. Raises OSError: the file cannot be written."""
        with self._lock:
            if self not in self._open:
                return
            self._open.remove(self)
            last = not self._open
        try:
            if last:
                self._write()
        finally:
            self._engine.close()

    def _write(self) -> None:
        about = {
            "metadata": np.array(json.dumps(metadata.to_properties(self.metadata))),
            "size": np.array(self.size),
            "runtime": np.array(self.runtime),
        }
        with replacing(self._path) as part, part.open("wb") as file:
            np.savez_compressed(file, **about, **self._arrays)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _arrays(file: IO[bytes]) -> NpzFile:
    if file.read(2) != b"PK":  # of a single array, NumPy would allocate what its header declares
        raise TypeError("expected an .npz")
    file.seek(0)
    arrays = np.load(file, allow_pickle=False)
    assert isinstance(arrays, NpzFile), "a zip file"
    return arrays


def _key(inputs: Mapping[str, NDArray[Any]]) -> str:
    """Of the pictures, and of other inputs after them."""
    digest = hashlib.sha256()
    for name in sorted(inputs, key=lambda name: (name != IMAGES.name, name)):
        digest.update(np.ascontiguousarray(inputs[name]).data)
    return digest.hexdigest()
