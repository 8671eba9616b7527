"""The type stubs of NVIDIA's packages against the packages themselves: what is installed of them, without a GPU.

A stub that says more or something else than the bindings would let the type checker pass a call that fails on a GPU.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nvidia_builder import installed

STUBS = Path(__file__).parents[2] / "stubs"
BUILDING = {
    "Builder",
    "IBuilderConfig",
    "INetworkDefinition",
    "ITensor",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
}
PARTIAL = {"tensorrt_lean": BUILDING}  # it runs plans only
DUMP = """
import importlib, json, os, sys
sys.path.append(os.environ.get("WATCHLINE_NVIDIA", ""))
module = importlib.import_module(sys.argv[1])
def text(member):
    member = getattr(member, "fget", member)
    return getattr(member, "__doc__", None) or ""
def members(scope):
    return {name: text(getattr(scope, name)) for name in dir(scope)}
classes = {name: members(value) for name, value in vars(module).items() if isinstance(value, type)}
print(json.dumps({"": members(module)} | classes))
"""

Bindings = dict[str, dict[str, str]]


def there(package: str) -> pytest.MarkDecorator:
    missing = not installed(package.partition(".")[0]) or (package.startswith("cuda") and not bindings_of_cuda())
    return pytest.mark.skipif(missing, reason=f"{package} is not installed, nor in the folder WATCHLINE_NVIDIA")


def bindings_of_cuda() -> bool:
    folders = [*sys.path, os.environ.get("WATCHLINE_NVIDIA", "")]
    return any(Path(folder, "cuda", "bindings").is_dir() for folder in folders)


def dump(package: str) -> Bindings:
    """What the package has: the text of each member by class and name, those of the module under ""."""
    done = subprocess.run([sys.executable, "-c", DUMP, package], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: Bindings = json.loads(done.stdout)
    return found


def declared(stub: Path) -> dict[str, list[ast.stmt]]:
    """The statements of each class of a stub, those of the module under ""."""
    body = ast.parse(stub.read_text()).body
    return {"": [s for s in body if not isinstance(s, ast.ClassDef)]} | {
        s.name: s.body for s in body if isinstance(s, ast.ClassDef)
    }


def signatures(text: str, name: str) -> list[tuple[list[str], str]]:
    """The arguments and the result of each overload, as pybind11 and Cython write them into the documentation."""
    found = []
    for arguments, result in re.findall(rf"{name}\(((?:[^()]|\([^()]*\))*)\)(?: -> (.*))?", text):
        names = [part.partition(":")[0].split()[-1] for part in re.sub(r"=[^,]*", "", arguments).split(",") if part]
        found.append(([n for n in names if n not in ("self", "*args", "**kwargs")], last_word(result)))
    return found


def last_word(text: str) -> str:
    """list[tensorrt.Dims] -> Dims; nvonnxparser::IParserError, which leaks from C++, -> ParserError."""
    return (re.findall(r"\w+", text) or [""])[-1].removeprefix("I")


def differences(stub: dict[str, list[ast.stmt]], bindings: Bindings, missing: set[str]) -> list[str]:
    wrong = []
    for owner, body in stub.items():
        if owner not in bindings:
            wrong += [owner] if owner not in missing else []
            continue
        for statement in body:
            match statement:
                case ast.FunctionDef(name=name) if not (name.startswith("__") and name != "__init__"):
                    wrong += differs(statement, owner, bindings[owner])
                case ast.AnnAssign(target=ast.Name(id=name)) | ast.ClassDef(name=name):
                    wrong += [f"{owner}.{name}"] if name not in bindings[owner] else []
    return wrong


def differs(function: ast.FunctionDef, owner: str, members: dict[str, str]) -> list[str]:
    name = function.name
    where = f"{owner}.{name}"
    if name not in members:
        return [f"{where} is not there"]
    if any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list):
        return []
    arguments = [a.arg for a in function.args.args if a.arg != "self"]
    known = signatures(members[name], name)
    if not known:  # written in Python, which says nothing of its signature in its documentation
        return []
    result = ast.unparse(function.returns or ast.Constant(None)).removesuffix(" | None")
    for theirs, their_result in known:
        if theirs[: len(arguments)] == arguments and ("tuple" in result or their_result == last_word(result)):
            return []
    return [f"{where}({', '.join(arguments)}) -> {result}: expected one of {known}"]


@pytest.mark.parametrize(
    "package",
    [pytest.param(name, marks=there(name)) for name in ("tensorrt", "tensorrt_lean", "tensorrt_rtx")],
)
def test_tensorrt_is_as_its_stub_says(package: str) -> None:
    assert differences(declared(STUBS / "tensorrt" / "__init__.pyi"), dump(package), PARTIAL.get(package, set())) == []


@there("cuda.bindings")
def test_cuda_is_as_its_stub_says() -> None:
    assert (
        differences(declared(STUBS / "cuda" / "bindings" / "runtime.pyi"), dump("cuda.bindings.runtime"), set()) == []
    )


def test_a_stub_that_is_wrong_is_seen() -> None:
    stub = {
        s.name: s.body
        for s in ast.parse(
            "class Context:\n"
            "    def run(self, stream: int) -> bool: ...\n"
            "    def stop(self, handle: int) -> bool: ...\n"
            "    def name(self) -> int: ...\n"
            "    def gone(self) -> None: ...\n"
            "    flag: int\n"
        ).body
        if isinstance(s, ast.ClassDef)
    }
    bindings = {
        "Context": {
            "run": "run(self: trt.Context, stream: typing.SupportsInt = <X: 0>, more: int = 1) -> bool",
            "stop": "stop(self: trt.Context, stream: int) -> bool",
            "name": "name(self: trt.Context) -> str",
        }
    }
    assert [text.partition("(")[0].split()[0] for text in differences(stub, bindings, set())] == [
        "Context.stop",
        "Context.name",
        "Context.gone",
        "Context.flag",
    ]
