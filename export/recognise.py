"""What a file is, told from its first bytes and never from its name; nothing is unpickled, nothing is read whole.

recognise([Path("yolov2.weights"), Path("yolov2.cfg")])  # "darknet"
recognise([Path("fasterrcnn.pth")])  # "torch"
recognise([Path("yolox_nano.onnx")])  # "onnx"
"""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from watchline.export.errors import CheckpointNotFound, CheckpointRefused
from watchline.export.onnx_head import read_head

Kind = Literal["darknet", "torch", "onnx"]
Part = Literal["cfg", "weights", "torch zip", "torch pickle", "safetensors", "onnx"]

HEAD = 4096  # bytes that are looked at
EXPECTED = "a Darknet .cfg with its .weights, a PyTorch state dict (.pth, .pt, .safetensors) or an ONNX detector"
PARTS: dict[str, str] = {
    "cfg": "a Darknet network (.cfg)",
    "weights": "Darknet weights (.weights)",
    "torch zip": "a PyTorch checkpoint",
    "torch pickle": "a PyTorch checkpoint",
    "safetensors": "a safetensors checkpoint",
    "onnx": "an ONNX model",
}
OLD_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."  # its magic number, pickled
ARCHIVE = "unpack it and name the checkpoint inside"
RESAVE = "in Python, torch.save(model.state_dict(), 'new.pth')"
# Where a magic number stands, the number, what the file is, what to do. The first that fits is taken.
MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"version https://git-lfs.github.com/", "a Git LFS pointer, not the file itself", "run `git lfs pull`"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5 or Caffe)", "export the model to ONNX and name that"),
    (4, b"TFL3", "a TensorFlow Lite model", "export the model to ONNX and name that"),
    (0, b"ftrt", "a TensorRT plan", "it is an engine already, for one GPU; name the checkpoint it came from"),
    (0, b"\x93NUMPY", "a NumPy array", RESAVE),
    (0, b"GGUF", "a GGUF language model", "name a detector"),
    (0, b"\x1f\x8b", "a gzip archive", ARCHIVE),
    (0, b"BZh", "a bzip2 archive", ARCHIVE),
    (0, b"\xfd7zXZ\x00", "an xz archive", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive", ARCHIVE),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", ARCHIVE),
    (0, b"Rar!\x1a\x07", "a RAR archive", ARCHIVE),
    (257, b"ustar", "a tar archive", ARCHIVE),
    (0, b"\xff\xd8\xff", "a JPEG picture", "name a checkpoint"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture", "name a checkpoint"),
    (4, b"ftyp", "a video", "name a checkpoint"),
    (0, b"\x7fELF", "a program or library", "name a checkpoint"),
    (0, b"%PDF", "a PDF document", "name a checkpoint"),
)


@dataclass(frozen=True)
class Recognised:
    """Attributes:
    part: what of a checkpoint the file is; None if it is none.
    words: what it is, for a message, e.g. "an HTML page".
    todo: what to do if it is no part of a checkpoint.
    """

    part: Part | None
    words: str
    todo: str = f"expected {EXPECTED}"


def recognise(paths: Sequence[Path]) -> Kind:
    """The kind of checkpoint that the files are together; Darknet's two may come in either order.

    Raises:
        CheckpointNotFound: a file is not there.
        CheckpointRefused: a file is something else, is ours already, or the files do not go together.
    """
    found = [look(path) for path in paths]
    for path, what in zip(paths, found, strict=True):
        if what.part is None:
            raise CheckpointRefused(f"{path}: it is {what.words}; {what.todo}")
    parts = [what.part for what in found]
    match sorted(str(part) for part in parts):
        case ["cfg", "weights"]:
            return "darknet"
        case ["torch zip"] | ["torch pickle"] | ["safetensors"]:
            return "torch"
        case ["onnx"]:
            return "onnx"
        case ["cfg"]:
            raise CheckpointRefused(f"{paths[0]}: it is {PARTS['cfg']} without numbers; name its .weights after it")
        case ["weights"]:
            raise CheckpointRefused(f"{paths[0]}: it is {PARTS['weights']} without a network; name its .cfg before it")
    told = ", ".join(f"{path} is {PARTS[str(part)]}" for path, part in zip(paths, parts, strict=True))
    raise CheckpointRefused(f"{told or 'no file'}: that is no one checkpoint; expected {EXPECTED}")


def cfg_and_weights(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The two files of a Darknet checkpoint, network first. Raises what `recognise` does; another kind is refused."""
    if (kind := recognise(paths)) != "darknet":
        raise CheckpointRefused(f"{paths[0]}: it is {kind}; expected a Darknet .cfg with its .weights")
    first, second = paths
    return (first, second) if look(first).part == "cfg" else (second, first)


def look(path: Path) -> Recognised:
    """What one file is.

    Raises:
        CheckpointNotFound: there is none.
        CheckpointRefused: it is no plain file, is empty, or cannot be read.
    """
    if path.is_dir():
        raise CheckpointRefused(f"{path}: it is a folder; name the checkpoint inside: {EXPECTED}")
    if not path.exists():
        raise CheckpointNotFound(f"{path}: there is no such file; expected {EXPECTED}")
    if not path.is_file():
        raise CheckpointRefused(f"{path}: it is a device or pipe; expected a file: {EXPECTED}")
    size = path.stat().st_size
    if not size:
        raise CheckpointRefused(f"{path}: it is empty; download or copy it again")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise CheckpointRefused(
            f"{path}: it cannot be read ({error.strerror}); look at its owner and rights"
        ) from error
    if not head.strip(b"\0"):
        return Recognised(None, "nothing but zeros at its beginning", "its download never ended: get it again")
    return _by_magic(path, head) or _by_text(head, size) or _by_numbers(path, head, size)


def _by_magic(path: Path, head: bytes) -> Recognised | None:
    if head.startswith(OLD_TORCH):
        return Recognised("torch pickle", PARTS["torch pickle"])
    if head.startswith(b"PK\x03\x04"):
        return _zip(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return Recognised(
            None, "a pickled Python object that torch.save did not write", f"save the state dict: {RESAVE}"
        )
    for offset, magic, words, todo in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Recognised(None, words, todo)
    return None


def _zip(path: Path) -> Recognised:
    """A zip archive by the names in its directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return Recognised(
            None, "a zip archive without its end, as a PyTorch checkpoint cut short", "get or copy it again"
        )
    inner = {name.partition("/")[2] for name in names}  # torch.save puts all into one folder
    if "constants.pkl" in inner:
        return Recognised(None, "a TorchScript program", f"save its state dict: {RESAVE}")
    if "data.pkl" in inner:
        return Recognised("torch zip", PARTS["torch zip"])
    if "model.weights.h5" in names:
        return Recognised(None, "a Keras model", "export the model to ONNX and name that")
    if names and all(name.endswith(".npy") for name in names):
        return Recognised(None, "a NumPy archive (.npz)", RESAVE)
    return Recognised(None, "a zip archive", ARCHIVE)


def _by_text(head: bytes, size: int) -> Recognised | None:
    """What is written in letters: Darknet's .cfg, and much that is none."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and 1 < length < size:
        return Recognised("safetensors", PARTS["safetensors"])
    try:
        # the last character may be cut in two
        text = head.decode("utf-8-sig", errors="strict" if size <= HEAD else "ignore").lower()
    except UnicodeDecodeError:
        return None
    if re.search(r"[\x00-\x08\x0e-\x1f]", text):
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] not in "#;"]
    first = lines[0] if lines else ""
    if first in ("[net]", "[network]"):
        return Recognised("cfg", PARTS["cfg"])
    again = "get the file itself: its address was wrong, or asked for a login"
    if first.startswith(("<!doctype html", "<html", "<head", "<body")):
        return Recognised(None, "an HTML page", again)
    if first.startswith("<"):
        return Recognised(None, "an OpenVINO model (.xml)" if "<net " in text else "an XML file")
    if first.startswith("{"):
        return Recognised(None, "a JSON file", again)
    if first == "7767517":
        return Recognised(None, "an ncnn network (.param)", "name the ONNX it was made from")
    if re.search(r"^\s*(layers?\s*\{|input_dim\s*:)", text, re.MULTILINE):
        return Recognised(None, "a Caffe network (.prototxt)", "export the model to ONNX and name that")
    return Recognised(None, "a text file")


def _by_numbers(path: Path, head: bytes, size: int) -> Recognised:
    """Binary files without a magic number: protobuf, and Darknet's weights."""
    onnx = read_head(path)
    if onnx is not None and onnx.cut:
        return Recognised(None, "an ONNX model cut short", "get or copy it again")
    if onnx is not None and onnx.ours:
        return Recognised(None, "a Watchline model", "it is an engine already: watchline annotate … --model FILE")
    if onnx is not None:
        return Recognised("onnx", PARTS["onnx"])
    major, minor, revision = (int.from_bytes(head[i : i + 4], "little") for i in (0, 4, 8))
    if size >= 16 and size % 4 == 0 and major < 10 and minor < 10 and revision < 100:
        return Recognised("weights", PARTS["weights"])
    return Recognised(None, "none of the files that Watchline knows")
