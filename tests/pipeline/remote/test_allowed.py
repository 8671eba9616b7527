"""Which files a client of a stage may name."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import Field

from watchline.engines import zoo
from watchline.engines.errors import ModelNotFound
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.allowed import Allowed
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.registry import settings_of
from watchline.pipeline.stages.stage import Stage
from watchline.settings import settings


@dataclass
class Layer:
    file: Path
    strength: int = 1


@settings
class Filed(Stage):
    name = "filed"
    per_stream = ("mask",)

    needed: Path
    mask: Path = Path("/etc/hostname")
    others: tuple[Path, ...] = ()
    title: str = ""
    weights: Path | None = Field(default=None)
    masks: dict[str, Path] = Field(default_factory=lambda: {"all": Path("/etc/hostname")})
    titles: dict[Path, str] = Field(default_factory=dict)
    layer: Layer | None = None
    layers: tuple[Layer, ...] = ()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A file that is allowed, a folder with one in it, and a file that is not allowed."""
    monkeypatch.chdir(tmp_path)
    for name in ("one.onnx", "models/two.onnx", "models/deep/three.onnx", "secret.onnx"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    return Allowed.of(("one.onnx",), (Path("models"),)), tmp_path


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("one.onnx", "one.onnx"),
        ("./one.onnx", "one.onnx"),
        ("{}/one.onnx", "one.onnx"),
        ("two.onnx", "models/two.onnx"),
        ("deep/three.onnx", "models/deep/three.onnx"),
        ("models/two.onnx", "models/two.onnx"),
        ("{}/models/deep/../two.onnx", "models/two.onnx"),
    ],
)
def test_what_is_allowed_is_found_by_its_path_and_by_its_name(here, asked, path):
    allowed, folder = here
    said = settings_of(Detector(model=asked.format(folder), conf=0.4))
    assert allowed.granted(Detector, said) == said | {"model": str(folder / path)}


@pytest.mark.parametrize("name", zoo.names())
def test_what_ships_is_allowed(name):
    said = settings_of(Detector(model=name))
    assert Allowed().granted(Detector, said) == said


@pytest.mark.parametrize(
    "asked",
    [
        "secret.onnx",
        "nothing.onnx",
        "models/../secret.onnx",
        "../secret.onnx",
        "models",
        "models/nothing.onnx",
        "/etc/passwd",
        "/etc/nothing",
        "",
        ".",
        "a\0b",
        "x" * 5000,
        "\udcff.onnx",
    ],
)
def test_everything_else_is_refused_in_the_same_words_whether_or_not_it_is_there(here, asked):
    with pytest.raises(ConfigError) as caught:
        here[0].granted(Detector, {"model": asked})
    assert (
        str(caught.value).replace(repr(asked), "…").startswith("model … is not offered here: expected one that ships")
    )


@pytest.mark.parametrize(
    "asked",
    [
        {"mask": "/etc/passwd"},
        {"needed": "/etc/passwd"},
        {"others": ["/etc/hostname", "/etc/passwd"]},
        {"weights": "/etc/passwd"},
        {"streams": {"gate": {"mask": "/etc/passwd"}}},
        {"masks": {"gate": "/etc/passwd"}},
        {"titles": {"/etc/passwd": "a"}},
        {"layer": {"file": "/etc/passwd"}},
        {"layers": [{"file": "/etc/passwd"}]},
    ],
)
def test_settings_that_are_paths_are_files_too(here, asked):
    with pytest.raises(ConfigError, match=r"'/etc/.*' is not offered here"):
        here[0].granted(Filed, asked)
    free = settings_of(Filed(needed=here[1] / "one.onnx", title="/etc/passwd"))
    assert here[0].granted(Filed, free) == free
    two = str(here[1] / "models/two.onnx")
    tables = {"others": ["two.onnx"], "masks": {"gate": "two.onnx"}, "layer": {"file": "two.onnx", "strength": 2}}
    assert here[0].granted(Filed, free | tables) == free | {
        "others": [two],
        "masks": {"gate": two},
        "layer": {"file": two, "strength": 2},
    }


@pytest.mark.parametrize("odd", [{"model": 5}, {"model": None}, {"model": {"a": 1}}, {"streams": 3}, {"nosuch": "x"}])
def test_what_is_no_name_is_left_to_the_settings_own_check(odd):
    assert Allowed().granted(Detector, odd) == odd


def test_what_the_owner_allows_has_to_be_there(tmp_path):
    with pytest.raises(ModelNotFound, match=re.escape("no model 'nosuch'")):
        Allowed.of(("nosuch",), ())
    with pytest.raises(ConfigError, match=r"no folder .*expected one with the models"):
        Allowed.of((), (tmp_path / "none",))
