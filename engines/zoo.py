"""The models that ship inside the package."""

from importlib.util import find_spec
from pathlib import Path

from watchline.engines.errors import ModelNotFound

FOLDER = Path(find_spec("watchline").origin).parent / "zoo"  # type: ignore[union-attr, arg-type]  # our own package
DEFAULT = "yolov2-lite0"
SEGMENTER = "fcn-lite0"
CAPTIONER = "show-attend-tell"


def names() -> list[str]:
    """The names of the shipped models, as `model` takes them."""
    return sorted(path.stem for path in FOLDER.glob("*.onnx"))


def find(model: str) -> Path:
    """The file of a model: a path as it is, or the name of a shipped one.

    Raises:
        ModelNotFound: neither a file nor a shipped name.
    """
    path = Path(model)
    if path.is_file():
        return path
    if model in names():
        return FOLDER / f"{model}.onnx"
    raise ModelNotFound(f"no model {model!r}: expected a file, or one of the shipped: {', '.join(names())}")
