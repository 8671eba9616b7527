"""`watchline check`: every mistake of a config, on stderr, or that there is none."""

from pathlib import Path

import onnx
import pytest
from cli.shell import within
from clips import write_clip
from models_onnx import tiny_detector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a clip and a model."""
    write_clip(tmp_path / "gate.mp4", frames=2)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def check(folder: Path, text: str):
    (folder / "watchline.toml").write_text(text)
    return within(folder, "check", "watchline.toml")


GOOD = "[streams.gate]\nsource = 'gate.mp4'\n[detector]\nmodel = 'tiny.onnx'\n"


def test_a_good_config_is_fine(folder: Path) -> None:
    done = check(folder, GOOD)
    assert (done.code, done.err) == (0, [])
    assert done.out == ["watchline.toml: fine: 1 stream, model tiny.onnx, outputs where --out says, or in annotated"]


def test_three_mistakes_are_all_named(folder: Path) -> None:
    done = check(folder, GOOD + "conf = 7\nevry = 2\n[vidoe]\n")
    assert (done.code, done.out) == (2, [])
    assert sorted(done.err) == [
        "watchline.toml: [detector] conf = 7: must be at most 1 (default 0.25)",
        "watchline.toml: [detector]: unknown key 'evry': did you mean 'every'?",
        "watchline.toml: unknown table or setting 'vidoe': did you mean 'video'?",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD + "classes = ['persn']", "[detector] unknown class 'persn': did you mean 'person'?"),
        (GOOD + "imgsz = 65", "[detector] "),
        (GOOD.replace("tiny", "huge"), "[detector] no model 'huge.onnx'"),
        (GOOD.replace("gate.mp4", "gone.mp4"), "[streams.gate] gone.mp4"),
    ],
)
def test_what_is_right_by_itself_must_also_be_there(folder: Path, text: str, says: str) -> None:
    done = check(folder, text)
    assert done.code == 2
    assert len(done.err) == 1
    assert done.err[0].startswith(f"watchline.toml: {says}")


def test_a_missing_source_does_not_tell_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    done = check(folder, GOOD.replace("gate.mp4", "${SECRET}.mp4"))
    assert done.code == 2
    assert "hunter2" not in "".join(done.err)
    assert "${SECRET}.mp4" in done.err[0]


def test_what_is_fine_does_not_tell_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    done = check(folder, "out = '${SECRET}'\n" + GOOD)
    assert done.code == 0
    assert "outputs in ${SECRET}" in done.out[0]
    assert "hunter2" not in done.out[0]
