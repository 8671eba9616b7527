"""A stage in one file outside of the package (outside/crowds.py) has all that ours have; no line of ours knows it."""

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from cli.shell import Done, watchline, within
from clips import Image, decode, write_clip
from models_onnx import tiny_detector

CROWDS = Path(__file__).parents[2] / "outside" / "crowds.py"
USE = '[stages.crowds]\nuse = "crowds:Crowds"\n'
MODEL = ("--model", "tiny.onnx", "--imgsz", "64")
PEOPLE = (0, 1, 2, 2, 1, 0, 0, 2)  # in each frame of walk.mp4
ZONE = np.s_[49:63, 2:62]  # where the stage draws
BETWEEN = np.s_[34:46, 40:]  # where nobody does


def people(index: int) -> Image:
    """Grey with red squares, which the tiny detector takes for people."""
    image = np.full((64, 64, 3), 90, np.uint8)
    for n in range(PEOPLE[index % len(PEOPLE)]):
        image[24:32, 8 + 32 * n : 16 + 32 * n] = (0, 0, 255)
    return image


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips, a model, and the stage."""
    write_clip(tmp_path / "walk.mp4", len(PEOPLE), (64, 64), draw=people, options={"crf": "4"}, pix_fmt="yuv444p")
    write_clip(tmp_path / "late.mp4", 5, (64, 64), draw=lambda n: people(n + 5), options={"crf": "4"})
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    shutil.copy(CROWDS, tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for module in ("crowds", "broken"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def done(folder: Path, command: str, *words: str) -> Done:
    done = within(folder, command, *words, *MODEL)
    assert done.code == 0, done.err
    return done


def test_its_results_and_events_are_written_as_its_schema_says(folder: Path) -> None:
    (folder / "watchline.toml").write_text(USE + "most = 2\n")
    done(folder, "annotate", "walk.mp4", "--config", "watchline.toml", "--out", "out")
    [header, *lines, _] = lines_of(folder / "out" / "walk.jsonl")
    assert header["header"]["stages"] == {"crowds": {"counts": "people", "most": 2}}
    assert header["header"]["model"]["name"] == "tiny"
    frames = [line for line in lines if "event" not in line]
    assert [len(line["detections"]) for line in frames] == list(PEOPLE)
    assert [line["crowd"]["people"] for line in frames] == list(PEOPLE)
    assert [line["crowd"]["since"] for line in frames] == [None, None, 2, 2, None, None, None, 7]
    assert [line["crowd"]["where"] for line in frames][:3] == ["nowhere", "left", "left"]
    mine = {"schema": 1, "stream": "walk"}
    assert [line for line in lines if "event" in line] == [
        mine | {"event": "crowd_began", "frame": 2, "pts": 0.08, "people": 2},
        mine | {"event": "crowd_began", "frame": 7, "pts": 0.28, "people": 2},
        mine | {"event": "crowds_over", "frames": 3},
    ]
    assert [lines.index(line) for line in lines if "event" in line] == [3, 9, 10]  # behind the frame, and at the end
    schema = json.loads("\n".join(within(folder, "schema", "--config", "watchline.toml").out))
    for line in (header, *lines):
        jsonschema.validate(line, schema)
    wrong = frames[0] | {"crowd": {"people": "many", "where": "left", "since": None}}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


@pytest.mark.parametrize("command", ["annotate", "run"])
def test_it_is_drawn(folder: Path, command: str) -> None:
    (folder / "watchline.toml").write_text("[annotator]\ninfo = false\n")
    words = ["walk.mp4", "--config", "watchline.toml", "--out"]
    done(folder, command, *words, "without")
    done(folder, command, *words, "with", "--stage", "crowds:Crowds")
    for before, after in zip(*(decode(folder / out / "walk.mp4").pictures for out in ("without", "with")), strict=True):
        changed = np.abs(before.astype(int) - after)
        assert (changed[ZONE].max(axis=2) > 60).mean() > 0.1
        assert changed[BETWEEN].max() < 20


def test_a_run_in_a_process_of_its_own_writes_what_annotate_does(folder: Path) -> None:
    """Of two files at once: it knows them apart."""
    done(folder, "annotate", "walk.mp4", "late.mp4", "--stage", "crowds:Crowds", "--out", "one")
    words = ["walk.mp4", "late.mp4", "--stage", "crowds:Crowds", "--out", "two", "--report", "report.json"]
    assert watchline("run", *words, *MODEL, cwd=folder).code == 0
    for name in ("walk.jsonl", "walk.mp4", "late.jsonl", "late.mp4"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes(), name
    late = [line["crowd"]["since"] for line in lines_of(folder / "two" / "late.jsonl")[1:] if "crowd" in line]
    assert late == [None, None, 2, None, 4]
    rows = {row["name"]: row["frames"] for row in json.loads((folder / "report.json").read_text())["stages"]}
    assert rows == {"decoder": 13, "detector": 13, "crowds": 13, "annotator": 13, "encoder": 13}


def test_in_a_process_of_its_own_it_gives_the_same(folder: Path) -> None:
    (folder / "watchline.toml").write_text(USE + "most = 2\n")
    words = ["walk.mp4", "late.mp4", "--config", "watchline.toml"]
    done(folder, "annotate", *words, "--out", "here")
    done(folder, "annotate", *words, "--out", "there", "--place", "crowds=process")
    done(folder, "run", *words, "--out", "all", "--place", "crowds=process", "--place", "annotator=process")
    for name in ("walk.jsonl", "walk.mp4", "late.jsonl", "late.mp4"):
        assert (folder / "here" / name).read_bytes() == (folder / "there" / name).read_bytes(), name
        assert (folder / "here" / name).read_bytes() == (folder / "all" / name).read_bytes(), name


def test_a_stream_has_settings_of_its_own(folder: Path) -> None:
    (folder / "watchline.toml").write_text(
        f"{USE}[streams.gate]\nsource = 'walk.mp4'\n[streams.gate.crowds]\nmost = 2\n"
        "[streams.yard]\nsource = 'walk.mp4'\n"
    )
    done(folder, "run", "watchline.toml", "--no-video", "--out", "out")
    for stream, most, began in (("gate", 2, [2, 7]), ("yard", 1, [1, 7])):
        [header, *lines, _] = lines_of(folder / "out" / f"{stream}.jsonl")
        assert header["header"]["stages"]["crowds"]["most"] == most
        assert [line["frame"] for line in lines if line.get("event") == "crowd_began"] == began


def test_the_report_names_it_where_it_is_slow(folder: Path) -> None:
    (folder / "watchline.toml").write_text(USE + "slow = 0.05\n")
    words = ["walk.mp4", "--config", "watchline.toml", "--no-video", "--out", "out"]
    out = done(folder, "annotate", *words, "--report", "report.json").out
    assert [line.split()[2] for line in out if line.startswith(("detector ", "crowds ", "writer "))] == ["8", "8", "8"]
    [verdict] = [line for line in out if line.startswith("The crowds limits: it worked ")]
    assert verdict.endswith("% of the time; a larger `most` would help.")
    assert json.loads((folder / "report.json").read_text())["verdict"] == verdict


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("[stages.crowds]\nuse = 'crowd:Crowds'", "use = \"crowd:Crowds\": no stage 'crowd:Crowds' (No module named"),
        ("[stages.crowds]\nuse = 'crowds:Crowd'", "'crowds:Crowd' is not a stage: expected a class below"),
        ("[stages.crowds]\nuse = 'crowds:None'", "no stage 'crowds:None' (module 'crowds' has no attribute 'None')"),
        ("[stages.crowds]\nuse = 'crowds'", "no stage 'crowds' ("),
        ("[stages.crowds]\nuse = 'broken:Crowds'", "no stage 'broken:Crowds' (name 'nosuch' is not defined)"),
        ("[stages.crowds]\nuse = 3", '[stages.crowds] use is missing: expected "module:Class", one of your own'),
        ("[stages.crowds]\nmost = 3", '[stages.crowds] use is missing: expected "module:Class", one of your own'),
        ("[stages.people]\nuse = 'crowds:Crowds'", "[stages.people] is 'crowds': expected [stages.crowds]"),
        (USE + "most = 0", "[stages.crowds] most = 0: must be at least 1 (default 1)"),
        (USE + "mots = 2", "[stages.crowds]: unknown key 'mots': did you mean 'most'?"),
        (
            USE + "[streams.gate]\nsource = 'walk.mp4'\n[streams.gate.crowds]\nslow = 2",
            "[streams.gate.crowds]: unknown key 'slow': expected one of most",
        ),
        (
            USE + "[streams.gate]\nsource = 'walk.mp4'\n[streams.gate.crowd]\nmost = 2",
            "[streams.gate]: unknown key 'crowd': did you mean 'crowds'?",
        ),
        (USE + "[place]\ncrowd = 'process'", "[place]: unknown key 'crowd': did you mean 'crowds'?"),
        (USE + "[place]\ncrowds = 'elsewhere'", "place 'elsewhere': expected thread, process or tcp://HOST:PORT"),
    ],
)
def test_mistakes_in_a_config_are_named(folder: Path, config: str, says: str) -> None:
    (folder / "watchline.toml").write_text(config)
    (folder / "broken.py").write_text("nosuch\n")
    for words in (["check", "watchline.toml"], ["annotate", "walk.mp4", "--config", "watchline.toml", *MODEL]):
        done = within(folder, *words)
        assert done.code == 2
        assert len(done.err) == 1
        assert says in done.err[0]
        assert "watchline.toml: [" in done.err[0] or "elsewhere" in says
    assert not (folder / "annotated").exists()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("crowds:Crowd", "--stage crowds:Crowd: 'crowds:Crowd' is not a stage"),
        ("nosuch:Crowds", "--stage nosuch:Crowds: no stage 'nosuch:Crowds' (No module named 'nosuch')"),
        ("other:Nameless", "--stage other:Nameless: 'other:Nameless' has no name"),
        ("other:Crowds", "--stage other:Crowds: there is a stage 'detector' already: name yours otherwise"),
    ],
)
@pytest.mark.parametrize("command", ["annotate", "run"])
def test_mistakes_on_the_command_line_are_named(folder: Path, command: str, word: str, says: str) -> None:
    (folder / "other.py").write_text(
        "from watchline import Stage\nfrom watchline.settings import settings\n"
        "@settings\nclass Nameless(Stage):\n    pass\n"
        "@settings\nclass Crowds(Stage):\n    name = 'detector'\n"
    )
    done = within(folder, command, "walk.mp4", "--stage", word, *MODEL)
    assert done.code == 2
    assert len(done.err) == 1
    assert says in done.err[0]
