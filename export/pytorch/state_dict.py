"""The tensors of a PyTorch checkpoint by name, without running what a pickle may say.

    load(Path("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"))  # {"backbone.body.conv1.weight": (64, 3, 7, 7), ...}

torch.load(weights_only=True) is the lock on the door. What is checked before it is what it does not look at: sizes, and
what the file would have called, so that a refusal can say it in one line.
"""

import io
import mmap
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from watchline.export.errors import CheckpointRefused
from watchline.export.recognise import look

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which trainings keep the state dict
PARALLEL = "module."  # DataParallel and DistributedDataParallel put it before every name
OLD_PICKLES = 5  # in the old format: magic number, version, machine, the object, the storages' keys
HARMLESS = re.compile(  # what tensors and the dicts around them are made of; torch itself looks closer
    r"torch\.(\w+|_utils\._rebuild_\w+|storage\.\w+|_tensor\._rebuild_from_type_v2|serialization\._get_layout)"
    r"|torch\.nn\.parameter\.Parameter|collections\.(OrderedDict|Counter|defaultdict)|(builtins|__builtin__)\.set"
)
RESAVE = "where you trust it, load it and torch.save(model.state_dict(), 'new.pth')"


def load(path: Path) -> dict[str, Tensor]:
    """The state dict of a `.pth` or `.pt`, on the CPU, its tensors mapped from the file where the format allows.

    Taken out of {"model": ...}, {"state_dict": ...} or {"model_state_dict": ...}; a `module.` before every name is cut.

    Raises:
        CheckpointNotFound: there is no such file.
        CheckpointRefused: it is something else, cut short, unsafe, or declares more than it holds.
    """
    found = look(path)
    if found.part == "torch zip":
        _check_zip(path)
    elif found.part == "torch pickle":
        _check_pickles(path)
    else:
        raise CheckpointRefused(f"{path}: it is {found.words}; expected a PyTorch state dict (.pth, .pt)")
    try:
        with warnings.catch_warnings(action="ignore"):  # of sparse tensors, which are refused in words of ours
            saved = torch.load(path, map_location="cpu", weights_only=True, mmap=found.part == "torch zip")
    except Exception as error:  # there is no telling what a broken file makes of the loader
        raise CheckpointRefused(
            f"{path}: it is broken, or no plain state dict ({_reason(error)}); get it again, or {RESAVE}"
        ) from error
    return _checked(_unwrapped(saved), path)


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises CheckpointRefused: NaN or infinity among the weights."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointRefused(
                f"{path}: its {name[:80]!r} holds NaN or infinity: the training failed; take an earlier checkpoint"
            )


def _check_zip(path: Path) -> None:
    """Every member stored as it is and within the file: nothing unfolds to more than was downloaded."""
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
    _check_calls(io.BytesIO(pickle), path)


def _check_pickles(path: Path) -> None:
    """The old format, a row of pickles: a size in it is believed by torch before a byte has been read."""
    size = path.stat().st_size
    with path.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        file = cast(BinaryIO, mapped)  # gives what there is, where a file makes room for whatever length is asked for
        for _ in range(OLD_PICKLES - 2):
            _check_calls(file, path)
        largest = _check_calls(file, path)
        if largest > size:
            raise CheckpointRefused(
                f"{path}: it declares a tensor or a number of {largest} and has {size} bytes; get it again, or {RESAVE}"
            )
        _check_calls(file, path)


def _check_calls(file: BinaryIO, path: Path) -> int:
    """Read one pickle without running it. Returns the largest whole number in it; raises CheckpointRefused."""
    largest = 0
    try:
        for name, number in _operations(file):
            if name is not None and not HARMLESS.fullmatch(name):
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


def _unwrapped(saved: object) -> object:
    """The state dict inside what a training has saved; anything else as it is."""
    if isinstance(saved, Mapping):
        for key in WRAPPERS:
            if isinstance(saved.get(key), Mapping):
                return saved[key]
    return saved


def _checked(saved: object, path: Path) -> dict[str, Tensor]:
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
    cut = len(PARALLEL) if all(name.startswith(PARALLEL) for name in saved) else 0
    return {name[cut:]: tensor.detach() for name, tensor in saved.items()}
