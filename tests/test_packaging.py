"""What is shipped: the wheel holds every module, the detector and the type marker; the lists that say so agree."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
SCHEMA = "docs/events.schema.json"
TRASH = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files in the wheel, by name; built from a copy, so that an old build/ cannot help it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in SETUPTOOLS["package-dir"].values():
        shutil.copytree(ROOT / folder, source / folder, ignore=TRASH, symlinks=True)
    (source / "docs").mkdir()
    shutil.copy(ROOT / SCHEMA, source / SCHEMA)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [file] = out.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def shipped() -> set[str]:
    """What stands in the tree and belongs into the wheel, by its name there."""
    names = set()
    for package, folder in SETUPTOOLS["package-dir"].items():
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in {".py", ".onnx", ".md", ".json"} or file.name == "py.typed":
                names.add(f"{package.replace('.', '/')}/{file.relative_to(ROOT / folder).as_posix()}")
    return names


def test_the_wheel_holds_what_the_tree_holds(wheel: dict[str, bytes]) -> None:
    assert {name for name in wheel if ".dist-info/" not in name} == shipped()


def test_the_wheel_is_typed_and_licensed(wheel: dict[str, bytes]) -> None:
    assert "watchline/py.typed" in wheel
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel)


def test_the_wheel_carries_the_detector(wheel: dict[str, bytes]) -> None:
    assert any(name.startswith("watchline/zoo/") and name.endswith(".onnx") for name in wheel)


def test_the_wheel_carries_the_schema_of_the_events(wheel: dict[str, bytes]) -> None:
    assert wheel["watchline/events.schema.json"] == (ROOT / SCHEMA).read_bytes()


def test_shipped_models_are_small() -> None:
    sizes = {p.name: p.stat().st_size for p in (ROOT / "watchline/zoo").glob("*.onnx")}
    assert sizes
    assert max(sizes.values()) <= 15e6
    assert sizes["yolov2-lite0.onnx"] <= 8 * 2**20  # the default


def test_every_folder_of_modules_is_a_package() -> None:
    """`setuptools` is told each package by name; a new folder must be added to that list."""
    names = {
        ".".join([package, *file.parent.relative_to(ROOT / folder).parts])
        for package, folder in SETUPTOOLS["package-dir"].items()
        for file in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(names) == sorted(SETUPTOOLS["packages"])


def test_the_makefile_knows_the_same_folders() -> None:
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("FOLDERS := ")]
    assert {"watchline", *line.split()[2:]} == set(SETUPTOOLS["package-dir"].values())


LOOK_AROUND = """
import importlib.metadata, importlib.util, json, os, sys
root, modules, installed = json.loads(sys.argv[1])
if not installed:
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)
    importlib.metadata.version = version
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in repr(finder)]
    sys.path.insert(0, root)
found = {name: os.path.realpath(importlib.util.find_spec(name).origin) for name in modules}
import watchline.cli, watchline.measure.accuracy, watchline.pipeline.remote.server, watchline.pipeline.watch
loaded = [os.path.realpath(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", "")]
print(json.dumps([found, [path for path in loaded if path in found.values()], watchline.__version__]))
"""


@pytest.mark.parametrize("installed", [False, True])
def test_every_module_is_found_once(installed: bool) -> None:
    """In a plain checkout by the links in watchline/, and where it is installed to be edited."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__") for name in shipped() if name.endswith(".py")}
    words = json.dumps([str(ROOT), sorted(modules), installed])
    done = subprocess.run([sys.executable, "-c", LOOK_AROUND, words], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    found, loaded, version = json.loads(done.stdout)
    folders = {f"{package}.": folder for package, folder in SETUPTOOLS["package-dir"].items() if "." in package}
    for name, path in found.items():
        home = next((folder for package, folder in folders.items() if f"{name}.".startswith(package)), "watchline")
        assert Path(path).is_relative_to(ROOT / home), name
    assert len(set(found.values())) == len(found)
    assert sorted(set(loaded)) == sorted(loaded), "one file was loaded under two names"
    assert len(loaded) > 50
    assert version == PROJECT["project"]["version"]


def test_the_checkout_has_a_link_for_each_folder() -> None:
    links = {link.name: link.readlink().as_posix() for link in (ROOT / "watchline").iterdir() if link.is_symlink()}
    folders = {folder: f"../{folder}" for folder in SETUPTOOLS["package-dir"].values() if folder != "watchline"}
    assert links == folders | {"events.schema.json": f"../{SCHEMA}"}


def test_tools_walk_each_folder_once() -> None:
    ruff = Path(sys.executable).parent / "ruff"
    done = subprocess.run([ruff, "check", "--show-files", "."], capture_output=True, text=True, cwd=ROOT)
    files = [Path(line) for line in done.stdout.splitlines()]
    assert ROOT / "pipeline/runner.py" in files
    assert [file for file in files if file != file.resolve()] == []


def test_an_unpacked_archive_makes_the_links_that_it_cannot_hold(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "watchline").mkdir()
    (tmp_path / "engines").mkdir()
    subprocess.run(["make", "-s", "watchline/engines"], check=True, cwd=tmp_path)
    assert (tmp_path / "watchline/engines").readlink() == Path("../engines")
    subprocess.run(["make", "-s", "watchline/engines"], check=True, cwd=tmp_path)
    assert list((tmp_path / "engines").iterdir()) == []


def test_the_container_is_built_from_the_same_folders() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    kept = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert kept == {*SETUPTOOLS["package-dir"].values(), "pyproject.toml", "README.md", "LICENSE", SCHEMA}


def test_the_dockerfile_passes_its_linter() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint has no binary for this machine")
    done = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_dependency_is_explained() -> None:
    """docs/dependencies.md has a row for each requirement, with the bound that pyproject.toml has."""
    text = (ROOT / "docs/dependencies.md").read_text()
    optional = PROJECT["project"]["optional-dependencies"].values()
    wanted = {r.split(";")[0].strip() for group in (PROJECT["project"]["dependencies"], *optional) for r in group}
    missing = [r for r in sorted(wanted) if not r.startswith("watchline") and f"| `{r}` |" not in text]
    assert missing == []
