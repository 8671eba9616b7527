"""The tensors of a PyTorch checkpoint by name, without running what a pickle may say.

    load(Path("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"))  # {"backbone.body.conv1.weight": (64, 3, 7, 7), ...}

torch.load(weights_only=True) is the lock on the door. What is checked before it is what it does not look at: sizes, and
what the file would have called, so that a refusal can say it in one line.
"""

import collections
import io
import mmap
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from watchline.export.errors import CheckpointRefused
from watchline.export.pytorch.unwrap import unwrap
from watchline.export.recognise import look

OLD_PICKLES = 5  # in the old format: magic number, version, machine, the object, the storages' keys
HARMLESS = re.compile(  # what tensors and the dicts around them are made of; torch itself looks closer
    r"torch\.(\w+|_utils\._rebuild_\w+|storage\.\w+|_tensor\._rebuild_from_type_v2|serialization\._get_layout)"
    r"|torch\.nn\.parameter\.Parameter|collections\.(OrderedDict|Counter|defaultdict)|(builtins|__builtin__)\.set"
    r"|_codecs\.encode"
)
INERT = re.compile(  # what trainings keep beside the tensors: options, figures, paths. In their place comes nothing
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path"
    r"|numpy\.(dtype|ndarray|dtypes\.\w+|_?core\.multiarray\.(scalar|_reconstruct)|_?core\.numeric\._frombuffer)"
    r"|datetime\.(datetime|date|timedelta|timezone)|omegaconf\.[\w.]+|typing\.(Any|Union|Optional|List|Dict)"
)
TABLES = re.compile(r"(pytorch_lightning|lightning|lightning_fabric)\.[\w.]*AttributeDict")
RESAVE = "where you trust it, load it and torch.save(model.state_dict(), 'new.pth')"


class Ignored:
    """In place of an object that is no part of the network. It takes everything and keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> "Ignored":
        return super().__new__(cls)

    def __setstate__(self, _: object) -> None: ...


@dataclass(frozen=True)
class StateDict:
    """Attributes:
    tensors: by name, on the CPU, mapped from the file where the format allows.
    chosen: which of several state dicts in the file it is, in words; "" if there is one.
    words: what else the file has at its top, as far as it is text: a training's class names, for example.
    """

    tensors: dict[str, Tensor]
    chosen: str
    words: dict[str, str] = field(default_factory=dict)


def load(path: Path) -> dict[str, Tensor]:
    """The tensors that `read` reads. Raises what it raises."""
    return read(path).tensors


def read(path: Path) -> StateDict:
    """The state dict of a `.pth`, `.pt` or `.safetensors`, taken out of what a training has saved, see unwrap.py.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is something else, cut short, unsafe, or declares more than it holds.
    """
    found = look(path)
    names: set[str] = set()
    if found.part == "torch zip":
        _check_zip(path, names)
    elif found.part == "torch pickle":
        _check_pickles(path, names)
    elif found.part == "safetensors":
        return _checked(*unwrap(_safetensors(path)), path)
    else:
        raise CheckpointRefused(f"{path}: it is {found.words}; expected a PyTorch state dict (.pth, .pt)")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of sparse tensors, which are refused in words of ours
            torch.serialization.safe_globals([(_stand_in(name), name) for name in names]),
        ):
            saved = torch.load(path, map_location="cpu", weights_only=True, mmap=found.part == "torch zip")
    except Exception as error:  # there is no telling what a broken file makes of the loader
        raise CheckpointRefused(
            f"{path}: it is broken, or no plain state dict ({_reason(error)}); get it again, or {RESAVE}"
        ) from error
    words = saved.items() if isinstance(saved, Mapping) else ()
    text = {name: value for name, value in words if isinstance(name, str) and isinstance(value, str)}
    return replace(_checked(*unwrap(saved), path), words=text)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises CheckpointRefused: NaN or infinity among the weights."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointRefused(
                f"{path}: its {name[:80]!r} holds NaN or infinity: the training failed; take an earlier checkpoint"
            )


def _stand_in(name: str) -> type:
    return collections.OrderedDict if TABLES.fullmatch(name) else Ignored


def _safetensors(path: Path) -> dict[str, Tensor]:
    """Raises CheckpointRefused: it is broken, or the library is not installed."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise CheckpointRefused(f"{path}: safetensors are read by a library: pip install safetensors") from error
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointRefused(f"{path}: it is broken ({_reason(error)}); get or copy it again") from error


def _check_zip(path: Path, names: set[str]) -> None:
    """Every member stored as it is and within the file: nothing unfolds to more than was downloaded.

    Args: names, gets those that are INERT.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if packed := next((m for m in members if m.compress_type != zipfile.ZIP_STORED), None):
            raise CheckpointRefused(
                f"{path}: its part {packed.filename!r} is compressed, {packed.compress_size} to {packed.file_size} "
                "bytes; torch.save compresses nothing: get the original file"
            )
        declared = sum(member.file_size for member in members)
        if declared > size:
            raise CheckpointRefused(f"{path}: its parts declare {declared} bytes and the file has {size}; get it again")
        (name,) = [m.filename for m in members if m.filename.partition("/")[2] == "data.pkl"][:1]
        try:
            pickle = archive.read(name)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise CheckpointRefused(f"{path}: it is broken ({error}); get or copy it again") from error
    _check_calls(io.BytesIO(pickle), path, names)


def _check_pickles(path: Path, names: set[str]) -> None:
    """The old format, a row of pickles: a size in it is believed by torch before a byte has been read."""
    size = path.stat().st_size
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        file = cast(BinaryIO, mapped)  # gives what there is, where a file makes room for whatever length is asked for
        for _ in range(OLD_PICKLES - 2):
            _check_calls(file, path, names)
        largest = _check_calls(file, path, names)
        if largest > size:
            raise CheckpointRefused(
                f"{path}: it declares a tensor or a number of {largest} and has {size} bytes; get it again, or {RESAVE}"
            )
        _check_calls(file, path, names)


def _check_calls(file: BinaryIO, path: Path, names: set[str]) -> int:
    """Read one pickle without running it. Returns the largest whole number in it; raises CheckpointRefused."""
    largest = 0
    try:
        for name, number in _operations(file):
            if name is not None and (INERT.fullmatch(name) or TABLES.fullmatch(name)):
                names.add(name)
            elif name is not None and not HARMLESS.fullmatch(name):
                raise CheckpointRefused(f"{path}: it is unsafe, loading it would call {name[:80]!r}; {RESAVE}")
            largest = max(largest, number)
    except ValueError as error:
        if isinstance(error, CheckpointRefused):
            raise
        raise CheckpointRefused(f"{path}: it is cut short or broken ({error}); get or copy it again") from error
    return largest


def _operations(file: BinaryIO) -> Iterator[tuple[str | None, int]]:
    """Names that a pickle imports, and the sizes of its whole numbers: (name, 0) or (None, size).

    Raises:
        ValueError: broken.
    """
    strings = ["", ""]  # the last two: STACK_GLOBAL takes its name from there
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", "."), 0
        elif operation.name == "STACK_GLOBAL":
            yield ".".join(strings), 0
        elif isinstance(argument, str):
            strings = [strings[1], argument]
        elif isinstance(argument, int) and operation.name not in ("PROTO", "FRAME"):
            yield None, abs(argument)


def _reason(error: Exception) -> str:
    """torch's own reason in one line, without its advice on how to load unsafely."""
    text = str(error)
    found = re.search(r"WeightsUnpickler error: *(.+)", text)
    line = found[1] if found else next(iter(text.splitlines()), "")
    return f"{type(error).__name__}: {line.partition('. ')[0][:120]}".rstrip(": ")


def _checked(saved: object, chosen: str, path: Path) -> StateDict:
    """Names and dense tensors that are no larger than the file. Raises CheckpointRefused."""
    if not isinstance(saved, Mapping) or not saved:
        what = "an empty dict" if saved == {} else f"a {type(saved).__name__}"
        raise CheckpointRefused(f"{path}: it holds {what}; expected a state dict: {RESAVE}")
    size = path.stat().st_size
    for name, tensor in saved.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointRefused(
                f"{path}: its {str(name)[:80]!r} is a {type(tensor).__name__}; expected a state dict, "
                f"names and tensors only: {RESAVE}"
            )
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CheckpointRefused(
                f"{path}: its {name[:80]!r} is quantised, sparse or without numbers; expected plain tensors: "
                "save the model before it is converted"
            )
        if tensor.numel() * tensor.element_size() > size:
            raise CheckpointRefused(
                f"{path}: its {name[:80]!r} has shape {tuple(tensor.shape)}, more than the file's {size} bytes; "
                "get it again"
            )
    return StateDict({name: tensor.detach() for name, tensor in saved.items()}, chosen)


def reason(error: Exception) -> str:
    """What torch says is missing or of another shape: the line after its heading."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)][:200]
