"""`watchline label`: what it says, and what it refuses."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import onnx
import pytest
import voc_set
from cli.shell import within
from clips import write_photo
from models_onnx import tiny_detector


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", voc_set.picture([("car", number, 4)]))
    return tmp_path


def test_it_labels_and_says_what_to_do_next(folder: Path) -> None:
    done = within(folder, "label", "photos", "--model", "tiny.onnx", "--classes", "car,person")
    assert (done.code, done.err) == (0, [])
    assert done.out[0] == "3 photos, 1 detector, 2 classes"
    assert done.out[1].startswith("labelled: 3 photos; ")
    assert done.out[2] == "next: watchline train yolov2 --data labelled/data.yaml --out run"
    lines = (folder / "labelled" / "labels" / "1.txt").read_text().splitlines()
    assert lines
    assert all(line.startswith("0 ") for line in lines)
    again = within(folder, "label", "photos", "--model", "tiny.onnx", "--classes", "car,person")
    assert again.out[1] == "labelled: 3 photos, 3 were labelled before; 0 boxes in labels, 0 to check in unsure"


@pytest.mark.parametrize("words", [("--classes", "person,car"), ("--model", "other.onnx")])
def test_labels_of_other_classes_are_not_mixed_with_those_that_are_there(folder: Path, words: tuple[str, ...]) -> None:
    onnx.save(tiny_detector(labels=("bus", "car", "person")), folder / "other.onnx")
    assert within(folder, "label", "photos", "--model", "tiny.onnx", "--classes", "car,person").code == 0
    before = {file: file.read_bytes() for file in (folder / "labelled").rglob("*.*")}
    done = within(folder, "label", "photos", *(("--model", "tiny.onnx") if "--model" not in words else ()), *words)
    assert (done.code, done.out) == (2, [])
    assert len(done.err) == 1
    assert done.err[0].startswith("watchline: labelled/data.yaml: it has the classes car, person, not ")
    assert done.err[0].endswith("; name those in --classes, or name another --out")
    assert {file: file.read_bytes() for file in (folder / "labelled").rglob("*.*")} == before


def test_a_folder_that_cannot_be_made_is_refused_before_a_model_is_opened(
    public: Path, as_nobody: Callable[[], AbstractContextManager[None]]
) -> None:
    write_photo(public / "photos" / "a.png", voc_set.picture([]))
    (public / "photos").chmod(0o755)
    for out in ("out", "new/out", "photos"):
        with as_nobody():
            done = within(public, "label", "photos", "--out", out, "--model", "none.onnx")
        assert done.code == 2
        assert done.err[-1].endswith(
            f"--out {out}: nothing can be written there (Permission denied); name another folder"
        )
    assert not (public / "new").exists()


def test_a_photo_that_is_none_is_named_at_the_end(folder: Path) -> None:
    (folder / "photos" / "x.jpg").write_bytes(b"")
    done = within(folder, "label", "photos", "--model", "tiny.onnx")
    assert done.code == 1
    assert done.err == ["watchline: failed: photos/x.jpg is empty (0 bytes): expected a picture; copy it again"]
    assert done.out[1].startswith("labelled: 3 photos; ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere",), "nowhere: there is no such folder; name another"),
        ((".", "--out", "tiny.onnx"), "--out tiny.onnx: it is not a folder; name another"),
        (("photos", "--out", "tiny.onnx/x/y"), "--out tiny.onnx/x/y: nothing can be written there (Not a directory)"),
        (("photos", "--sure", "0.2", "--unsure", "0.3"), "--unsure 0.3 is above --sure 0.2: expected at most that"),
        (("photos", "--model", "none.onnx"), "no model 'none.onnx': expected a file, or one of the shipped"),
        (
            ("photos", "--model", "fcn-lite0"),
            "watchline: fcn-lite0: its task is segment: expected a detector, whose task is detect; name another, e.g. "
            "yolov2-lite0",
        ),
        (("photos", "--model", "tiny.onnx", "--classes", "cra"), "unknown class 'cra': did you mean 'car'?"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = within(folder, "label", *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (folder / "labelled").exists()
