"""The models that ship inside the package, some of them in INT8 too, `NAME.int8.onnx`; language models in `text`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from watchline.engines import cpu, runtimes
from watchline.engines.errors import ModelNotFound, RequestRefused
from watchline.errors import meant

FOLDER = Path(find_spec("watchline").origin).parent / "zoo"  # type: ignore[union-attr, arg-type]  # our own package
TEXT = FOLDER / "text"
DEFAULT = "yolov2-lite0"
SEGMENTER = "fcn-lite0"
CAPTIONER = "show-attend-tell"
ANSWERER = "vqa-lite0"
WRITER = "lstm-shakespeare"
INT8 = ".int8"

Precision = Literal["auto", "fp32", "int8"]


def names(folder: Path | None = None) -> list[str]:
    """The names of the shipped models, as `model` takes them. Args: folder, TEXT for the language models."""
    return sorted(path.stem for path in (folder or FOLDER).glob("*.onnx") if not path.stem.endswith(INT8))


def find(model: str, folder: Path | None = None) -> Path:
    """The file of a model: a path as it is, or the name of a shipped one, in FP32.

    Args:
        folder: of the shipped ones; TEXT for the language models.

    Raises:
        ModelNotFound: neither a file nor a shipped name.
    """
    path = Path(model)
    if path.is_file():
        return path
    shipped = names(folder)
    if model in shipped:
        return (folder or FOLDER) / f"{model}.onnx"
    expected = f"no model {model!r}: expected a file, or one of the shipped: {', '.join(shipped)}"
    raise ModelNotFound("; ".join(filter(None, [expected, meant(model, shipped)])))


def chosen(model: str, precision: Precision = "auto", runtime: str | None = None) -> Path:
    """The file of a model in a precision.

    Args:
        precision: "auto" takes INT8 where a shipped model has such a file and this machine gains from it.
        runtime: that is to run it; None for the default one.

    Raises:
        ModelNotFound: neither a file nor a shipped name; or the model does not ship in INT8.
        RequestRefused: a file in another precision than was asked for.
    """
    full, small = find(model), in_int8(model)
    if Path(model).is_file():
        _check(full, precision)
        return full
    if precision == "int8" and small is None:
        raise ModelNotFound(
            f"{model} does not ship in INT8: run it in FP32, or make it: watchline export {model} -o FILE.onnx "
            "--precision int8 --calibrate PATH…"
        )
    return small if small and (precision == "int8" or (precision == "auto" and _gains(runtime))) else full


def _check(path: Path, precision: Precision) -> None:
    """Raises RequestRefused: an ONNX file in another precision than was asked for."""
    if precision == "auto" or path.suffix.lower() != runtimes.ONNX.suffix:
        return
    from watchline.engines import metadata  # loads onnx, which no name of a model needs

    has = "int8" if any("QuantizeLinear" in node.op_type for node in metadata.parse(path).graph.node) else "fp32"
    if has != precision:
        raise RequestRefused(
            f"{path}: its layers are {has.upper()}, {precision} was asked for: a file runs in the precision that it "
            "was exported with; export it again with --precision, or leave --precision out"
        )


def in_int8(model: str) -> Path | None:
    """The INT8 file of a shipped model; None if it has none."""
    path = FOLDER / f"{model}{INT8}.onnx"
    return path if model in names() and path.is_file() else None


def _gains(runtime: str | None) -> bool:
    """Whether INT8 is faster here: on the kinds of CPUs on which exports like these were (docs/engines.md)."""
    return (runtime is None or not runtimes.find(runtime).gpu) and "avx2" in cpu.features()
