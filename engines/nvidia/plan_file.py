"""A TensorRT plan as a file, `model.engine`, and what it was built from, in `model.engine.json` beside it.

A plan is native code for one GPU and one version of TensorRT. The file beside it tells which, holds the model's
metadata, and the sha256 of the plan: bytes that were not written together with it are never given to TensorRT.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelNotFound, ModelRefused
from watchline.engines.whole_file import write_whole

SCHEMA = 1
PRECISION = "the graph's own, no TF32"  # what the builder decides beyond the ONNX; a plan built otherwise is another
STRANGERS = "a plan is native code: load only those that you have built yourself"


@dataclass(frozen=True, slots=True)
class Key:
    """What a plan depends on: built from the same, it need not be built again.

    Attributes:
        onnx: sha256 of the model and of the files that its weights lie in.
        tensorrt, gpu: the version, and the GPU's name.
        precision: in which the builder computes.
        size: (width, height) of the input in pixels.
        batch: (smallest, largest) number of pictures at once.
    """

    onnx: str
    tensorrt: str
    gpu: str
    precision: str
    size: tuple[int, int]
    batch: tuple[int, int]

    def short(self) -> str:
        """The key as a part of a file's name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a plan.

    Attributes:
        key: what it was built from and for.
        sha256: of the plan.
        model: path of the ONNX file that it was built from.
        metadata: of the model.
    """

    key: Key
    sha256: str
    model: Path
    metadata: Metadata


def beside(path: Path) -> Path:
    """Where it stands: model.engine -> model.engine.json."""
    return path.with_name(f"{path.name}.json")


def write(path: Path, plan: bytes, key: Key, model: Path, about: Metadata) -> Beside:
    """Write a plan and what stands beside it. Raises OSError: that cannot be."""
    sha256 = hashlib.sha256(plan).hexdigest()
    content = {
        "schema": SCHEMA,
        "plan": sha256,
        "model": str(model.resolve()),
        "key": asdict(key),
        "metadata": metadata.to_properties(about),
    }
    write_whole(path, plan)
    write_whole(beside(path), json.dumps(content, indent=1, ensure_ascii=False).encode())
    return Beside(key, sha256, model.resolve(), about)


def read_beside(path: Path) -> Beside:
    """What stands beside a plan.

    Raises:
        ModelNotFound: there is no plan.
        ModelRefused: nothing stands beside it, or something else than `write` writes.
    """
    if not path.is_file():
        raise ModelNotFound(f"{path}: there is no such file; expected a TensorRT plan, model.engine")
    file = beside(path)
    try:
        content = json.loads(file.read_bytes())
        if content["schema"] != SCHEMA:
            raise ModelRefused(
                f"{file}: it has schema {content['schema']}, this Watchline reads {SCHEMA}; build the plan again"
            )
        key = Key(**{name: _plain(value) for name, value in content["key"].items()})
        _check(key)
        properties = {str(name): str(value) for name, value in content["metadata"].items()}
        return Beside(
            key, str(content["plan"]), Path(content["model"]), metadata.from_properties(properties, str(file))
        )
    except FileNotFoundError:
        raise ModelRefused(
            f"{path}: {file.name} is not beside it, which says what it is and was built for; copy both, or build it "
            f"again from the ONNX. And {STRANGERS}"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ModelRefused):
            raise
        raise ModelRefused(f"{file}: broken, or not what belongs beside a plan; build the plan again") from error


def read_plan(path: Path, known: Beside) -> bytes:
    """The plan's bytes.

    Raises:
        ModelRefused: they are not those that were written together with what stands beside it.
    """
    plan = path.read_bytes()
    if hashlib.sha256(plan).hexdigest() != known.sha256:
        raise ModelRefused(
            f"{path}: its sha256 is not the one in {beside(path).name}: changed, damaged, or of another build. "
            f"Build it again; {STRANGERS}"
        )
    return plan


def sha256_of_model(path: Path) -> str:
    """Of an ONNX file, and of the files that hold weights for it.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.parse`; or a file of weights cannot be read.
    """
    graph = metadata.parse(path).graph
    digest = hashlib.sha256(path.read_bytes())
    for name in sorted(set(metadata.external_data(graph))):
        try:
            digest.update(Path(path.parent, name).read_bytes())
        except OSError as error:
            raise ModelRefused(
                f"{path}: its weights in {name} cannot be read ({error.strerror}); copy them beside it"
            ) from error
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check(key: Key) -> None:
    """Raises ValueError unless every field is of its type."""
    texts = (key.onnx, key.tensorrt, key.gpu, key.precision)
    pairs = (key.size, key.batch)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{texts}: expected texts")
    if not all(isinstance(p, tuple) and len(p) == 2 and all(type(n) is int and n > 0 for n in p) for p in pairs):
        raise ValueError(f"{pairs}: expected two pairs of whole numbers")
