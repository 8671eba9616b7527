"""A TensorRT plan as a file, `model.engine`, with a sidecar, `model.engine.json`, that says what it was built from.

A plan is native code for one GPU and one version of TensorRT. The sidecar names them, and has the model's metadata and
the sha256 of the plan. TensorRT never gets a plan whose sha256 is not the one in its sidecar.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from watchline.engines import metadata
from watchline.engines.engine import Metadata
from watchline.engines.errors import ModelNotFound, ModelRefused
from watchline.files import write_complete

SCHEMA = 1
PRECISION = "the graph's own, no TF32"  # the precision that the builder adds to the graph's; part of the key
TRUST = "a plan is native code: load only those that you have built yourself"


@dataclass(frozen=True, slots=True)
class Key:
    """Everything that a plan depends on. A plan with an equal key need not be built again.

    Attributes:
        onnx: sha256 of the model and of the files with its weights.
        tensorrt: version of TensorRT.
        gpu: name of the GPU.
        precision: PRECISION of the builder.
        size: (width, height) of the input in pixels.
        batch: (smallest, largest) number of pictures per batch.
    """

    onnx: str
    tensorrt: str
    gpu: str
    precision: str
    size: tuple[int, int]
    batch: tuple[int, int]

    def short(self) -> str:
        """The key in the form for a file name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a plan's sidecar.

    Attributes:
        key: what the plan was built from and for.
        sha256: of the plan.
        model: path of the ONNX file that the plan was built from.
        metadata: of the model.
    """

    key: Key
    sha256: str
    model: Path
    metadata: Metadata


def sidecar_of(path: Path) -> Path:
    """The path of a plan's sidecar: model.engine -> model.engine.json."""
    return path.with_name(f"{path.name}.json")


def write(path: Path, plan: bytes, key: Key, model: Path, about: Metadata) -> Sidecar:
    """Write a plan and its sidecar. Raises OSError: one of them cannot be written."""
    sha256 = hashlib.sha256(plan).hexdigest()
    content = {
        "schema": SCHEMA,
        "plan": sha256,
        "model": str(model.resolve()),
        "key": asdict(key),
        "metadata": metadata.to_properties(about),
    }
    write_complete(path, plan)
    write_complete(sidecar_of(path), json.dumps(content, indent=1, ensure_ascii=False).encode())
    return Sidecar(key, sha256, model.resolve(), about)


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of a plan.

    Raises:
        ModelNotFound: there is no plan.
        ModelRefused: the plan has no sidecar, or one that `write` has not written.
    """
    if not path.is_file():
        raise ModelNotFound(f"{path}: there is no such file; expected a TensorRT plan, model.engine")
    file = sidecar_of(path)
    try:
        content = json.loads(file.read_bytes())
        if content["schema"] != SCHEMA:
            raise ModelRefused(
                f"{file}: it has schema {content['schema']}, this Watchline reads {SCHEMA}; build the plan again"
            )
        key = Key(**{name: _plain(value) for name, value in content["key"].items()})
        _check(key)
        properties = {str(name): str(value) for name, value in content["metadata"].items()}
        return Sidecar(
            key, str(content["plan"]), Path(content["model"]), metadata.from_properties(properties, str(file))
        )
    except FileNotFoundError:
        raise ModelRefused(
            f"{path}: {file.name} is missing, which says what the plan is and was built for; copy both, or build it "
            f"again from the ONNX. And {TRUST}"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, ModelRefused):
            raise
        raise ModelRefused(f"{file}: broken, or not the sidecar of a plan; build the plan again") from error


def read_plan(path: Path, sidecar: Sidecar) -> bytes:
    """Read the bytes of a plan.

    Raises:
        ModelRefused: they do not have the sha256 in the sidecar.
    """
    plan = path.read_bytes()
    if hashlib.sha256(plan).hexdigest() != sidecar.sha256:
        raise ModelRefused(
            f"{path}: its sha256 is not the one in {sidecar_of(path).name}: changed, damaged, or of another build. "
            f"Build it again; {TRUST}"
        )
    return plan


def sha256_of_model(path: Path) -> str:
    """The sha256 of an ONNX file and of the files with its weights.

    Raises:
        ModelNotFound, ModelRefused: see `metadata.parse`; or a file with weights cannot be read.
    """
    graph = metadata.parse(path).graph
    digest = hashlib.sha256(path.read_bytes())
    for name in sorted(set(metadata.external_data(graph))):
        try:
            digest.update(Path(path.parent, name).read_bytes())
        except OSError as error:
            raise ModelRefused(
                f"{path}: its weights in {name} cannot be read ({error.strerror}); copy them into its folder"
            ) from error
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check(key: Key) -> None:
    """Raises ValueError: a field is not of its type."""
    texts = (key.onnx, key.tensorrt, key.gpu, key.precision)
    pairs = (key.size, key.batch)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{texts}: expected texts")
    if not all(isinstance(p, tuple) and len(p) == 2 and all(type(n) is int and n > 0 for n in p) for p in pairs):
        raise ValueError(f"{pairs}: expected two pairs of whole numbers")
