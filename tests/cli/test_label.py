"""`watchline label`: what it says, and what it refuses."""

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
        (("photos", "--sure", "0.2", "--unsure", "0.3"), "--unsure 0.3 is above --sure 0.2: expected at most that"),
        (("photos", "--model", "none.onnx"), "no model 'none.onnx': expected a file, or one of the shipped"),
        (("photos", "--model", "fcn-lite0"), "its task is segment: expected a detector"),
        (("photos", "--model", "tiny.onnx", "--classes", "cra"), "unknown class 'cra': did you mean 'car'?"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, words: tuple[str, ...], says: str) -> None:
    done = within(folder, "label", *words)
    assert done.code == 2
    assert says in done.err[-1]
    assert not (folder / "labelled").exists()
