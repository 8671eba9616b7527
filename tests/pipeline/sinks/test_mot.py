"""Tracks in MOT Challenge's format: what `bench track` and TrackEval read again."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cli.shell import within
from clips import write_clip
from models_onnx import save, tiny_detector

from watchline import DETECTIONS, About, ArrayPicture, Begin, Detections, Frame, Item, Mot, Opening
from watchline.streams.errors import SinkError

OPENING = Opening("gate", False, {"source": "gate.mp4"})
ABOUT = About("gate", 64, 48, Fraction(1, 10))


def item(index, *rows):
    """Rows of (track, left)."""
    boxes = np.array([(left, 5, left + 10, 25.5) for _, left in rows], np.float32).reshape(-1, 4)
    numbers = np.array([number for number, _ in rows], np.int64)
    found = Detections(boxes, np.full(len(rows), 0.75), np.zeros(len(rows), np.int64), ("person",), numbers)
    pixels = ArrayPicture(np.zeros((48, 64, 3), np.uint8))
    return Item(Frame("gate", index, index, Fraction(1, 10), pixels)).with_result(DETECTIONS, found)


def written(folder, *messages):
    with Mot(folder).open(OPENING) as writer:
        for message in messages:
            writer.take(message, [])
    assert writer.paths == [folder / "gate.txt"]
    return (folder / "gate.txt").read_text().splitlines()


def test_a_row_for_each_box_with_a_number(tmp_path):
    bare = Item(item(2).frame)
    rows = written(tmp_path / "new", Begin("gate", ABOUT), item(0, (1, 2), (-1, 30)), item(1), bare, item(3, (1, 4)))
    assert rows == ["1,1,2.00,5.00,10.00,20.50,0.7500,-1,-1,-1", "4,1,4.00,5.00,10.00,20.50,0.7500,-1,-1,-1"]


def test_numbers_of_a_new_connection_are_others(tmp_path):
    rows = written(tmp_path, Begin("gate", ABOUT, 0), item(0, (1, 2), (2, 9)), Begin("gate", ABOUT, 1), item(1, (1, 2)))
    assert [row.split(",")[1] for row in rows] == ["1", "2", "3"]


def test_what_is_there_is_not_replaced_unless_it_is_said(tmp_path):
    (tmp_path / "gate.txt").write_text("precious")
    with pytest.raises(SinkError, match="is there already"), Mot(tmp_path).open(OPENING):
        pass
    with Mot(tmp_path, overwrite=True).open(OPENING):
        assert (tmp_path / "gate.txt").read_text() == "precious", "until the new one is complete"
    assert (tmp_path / "gate.txt").read_text() == ""


def test_an_input_is_never_written(tmp_path):
    (tmp_path / "gate.txt").write_text("precious")
    opening = Opening("gate", False, {}, inputs=(tmp_path / "gate.txt",))
    with pytest.raises(SinkError, match="is an input"), Mot(tmp_path, overwrite=True).open(opening):
        pass


def test_a_config_names_it(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", 12, (128, 72), rate=10)
    save(tiny_detector(), tmp_path)
    (tmp_path / "watchline.toml").write_text(
        '[tracker]\nsure = 0.3\nstart = 0.3\n[sinks.mot]\nfolder = "tracks"\n[detector]\nmodel = "tiny.onnx"\n'
    )
    done = within(tmp_path, "annotate", "walk.mp4", "--config", "watchline.toml", "--no-video", "--out", "out")
    assert done.code == 0, done
    rows = np.loadtxt(tmp_path / "tracks" / "walk.txt", delimiter=",", ndmin=2)
    assert rows.shape[1] == 10
    assert rows[:, 0].min() >= 1
    assert rows[:, 1].min() >= 1
