"""A slower model is found; figures of something else are refused, in a line."""

import json
from pathlib import Path
from typing import Any

import pytest

from watchline.measure.errors import ComparisonRefused
from watchline.measure.speed.baseline import check, read, slower, unlike


def figures(**fps: float) -> dict[str, Any]:
    rows = [
        {
            "model": name,
            "file": f"{name}.onnx",
            "workers": 2,
            "runtime": "r",
            "width": 64,
            "height": 64,
            "batch": 1,
            "fps": rate,
        }
        for name, rate in fps.items()
    ]
    return {"source": "clip.mp4", "streams": 1, "rate": None, "models": rows}


def test_what_is_slower_than_the_margin_is_named() -> None:
    lines, wrong = slower(figures(a=91, b=89, new=1), figures(a=100, b=100, gone=5), margin=0.1)
    assert lines == ["a: 91.0 FPS, 0.91 of the baseline's 100.0", "b: 89.0 FPS, 0.89 of the baseline's 100.0"]
    assert wrong == lines[1:]


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (figures(a=1) | {"source": "other.mp4"}, "source is 'clip.mp4', was 'other.mp4'"),
        (figures(a=1) | {"rate": 5}, "rate is None, was 5"),
        (figures(b=1), "the baseline has b.onnx: expected one of a.onnx; make it anew"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_it_is_measured(before: dict[str, Any], says: str) -> None:
    with pytest.raises(ComparisonRefused, match=says):
        check({"source": "clip.mp4", "streams": 1, "rate": None}, ["a.onnx"], before)


@pytest.mark.parametrize("column", ["file", "runtime", "width", "batch"])
def test_a_model_that_ran_otherwise_is_another(column: str) -> None:
    before = figures(a=1)
    before["models"][0][column] = "other"
    with pytest.raises(ComparisonRefused, match=r"the baseline has a at .*: expected one of a at 64x64 by r"):
        slower(figures(a=1), before, 0.1)


def test_another_machine_and_other_numbers_of_engines_are_said() -> None:
    now, before = figures(a=1) | {"cpu": "new", "cores": 2}, figures(a=1, gone=1) | {"cpu": "old", "cores": 2}
    assert unlike(now, now) == []
    before["models"][0]["workers"] = 4
    assert unlike(now, before) == [
        "unlike the baseline: cpu is 'new', was 'old'",
        "unlike the baseline: workers of a is 2, was 4",
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"models": []}', b'{"models": [{}]}', b'{"models": [{"fps": 0}]}', b"[" * 99_999, b"\xff"],
)
def test_a_file_that_has_no_figures_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(ComparisonRefused, match=r"b\.json: .*expected a file that `watchline bench fps --json FILE`"):
        read(tmp_path / "b.json")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(figures(a=2.5)))
    assert read(tmp_path / "b.json") == figures(a=2.5)
    with pytest.raises(ComparisonRefused, match="cannot be read"):
        read(tmp_path / "none.json")
