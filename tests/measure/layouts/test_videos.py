"""MOT Challenge's layout and CDnet's: frames of a video or of photos, with the boxes of each."""

import cv2
import numpy as np
import pytest
from clips import write_clip

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.known import open_data

ROWS = "1,1,10,20,30,40,1,-1,-1,-1\n3,1,0,0,5,6,0,-1,-1,-1\n3,2,1.5,2,3,4,1,-1,-1,-1\n"


@pytest.fixture
def sequence(tmp_path):
    """A video of four frames, whose grey is their number; frames 1 and 3 have objects."""
    write_clip(tmp_path / "video.mp4", 4, (128, 64), draw=lambda n: np.full((64, 128, 3), 40 * n, np.uint8))
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "gt.txt").write_text(ROWS)
    return tmp_path


def test_each_frame_of_a_video_has_its_rows(sequence):
    data = open_data(sequence)
    assert (data.layout, data.split, data.rule, data.count) == ("MOT", "all", "voc2010", 4)
    frames = list(data.read())
    assert [frame.name for frame in frames] == ["0", "1", "2", "3"]
    assert [frame.boxes.tolist() for frame in frames] == [[[10, 20, 40, 60]], [], [[0, 0, 5, 6], [1.5, 2, 4.5, 6]], []]
    assert frames[2].difficult.tolist() == [True, False]
    assert frames[2].names == ("person", "person")
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 1, 2, 3]
    assert [frame.name for frame in open_data(sequence, every=2).read()] == ["0", "2"]


def test_frames_may_be_photos(sequence):
    (sequence / "img1").mkdir()
    for number in range(1, 4):
        cv2.imwrite(str(sequence / "img1" / f"{number:06d}.jpg"), np.zeros((64, 128, 3), np.uint8))
    frames = list(open_data(sequence).read())
    assert [(frame.name, len(frame.boxes)) for frame in frames] == [("000001", 1), ("000002", 0), ("000003", 2)]


def test_of_mot16_pedestrians_count(sequence):
    (sequence / "gt" / "gt.txt").write_text("1,1,0,0,9,9,1,1,0.5\n1,2,0,0,9,9,1,8,0.5\n")
    assert next(open_data(sequence).read()).difficult.tolist() == [False, True]


@pytest.mark.parametrize("rows", ["1,2,3", "a,b,c,d,e,f,g", "1,1,0,0,-5,6,1,0,0,0", "1,1,0,0,inf,6,1,0,0,0"])
def test_rows_that_cannot_be_are_refused(sequence, rows):
    (sequence / "gt" / "gt.txt").write_text(rows)
    with pytest.raises(DataRefused, match=r"gt.txt: .*frame,id,left,top,w,h,counts"):
        open_data(sequence)


def test_without_frames_there_is_nothing_to_measure(sequence):
    (sequence / "video.mp4").unlink()
    with pytest.raises(DataNotFound, match="has no videos and no folder img1"):
        open_data(sequence)


@pytest.fixture
def road(tmp_path):
    """Three frames: in the second, two cars, a speck, a shadow; the first is before the period."""
    for part in ("input", "groundtruth"):
        (tmp_path / part).mkdir()
    for number in range(1, 4):
        plane = np.zeros((60, 80), np.uint8)
        if number == 2:
            plane[10:20, 10:25], plane[40:55, 50:60], plane[0:2, 0:2], plane[30:45, 0:20] = 255, 255, 255, 50
            plane[20, 25] = 255  # touches a corner: one object
        cv2.imwrite(str(tmp_path / "groundtruth" / f"gt{number:06d}.png"), plane)
        cv2.imwrite(str(tmp_path / "input" / f"in{number:06d}.jpg"), np.zeros((60, 80, 3), np.uint8))
    (tmp_path / "temporalROI.txt").write_text("2 3")
    return tmp_path


def test_what_moves_together_is_an_object(road):
    data = open_data(road)
    assert (data.layout, data.count) == ("CDnet", 2)
    full, empty = data.read()
    assert (full.name, empty.name) == ("in000002", "in000003")
    assert sorted(full.boxes.tolist()) == [[10, 10, 26, 21], [50, 40, 60, 55]]
    assert full.names == ("moving", "moving")
    assert sorted(full.areas.tolist()) == sorted(full.masks().area.tolist()) == [150, 151]
    assert len(empty.boxes) == 0
    (road / "temporalROI.txt").unlink()
    assert open_data(road).count == 3


def test_a_broken_sequence_is_refused(road):
    (road / "temporalROI.txt").write_text("from 2 to 3")
    with pytest.raises(DataRefused, match="expected the first and the last frame"):
        open_data(road)
    with (road / "temporalROI.txt").open("r+b") as file:
        file.truncate(1 << 33)  # a hole
    with pytest.raises(DataRefused, match="more than 16 MiB"):
        open_data(road)
    (road / "temporalROI.txt").write_text("2 3")
    cv2.imwrite(str(road / "groundtruth" / "gt000002.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(DataRefused, match=r"gt000002.png: 9 x 9 pixels; expected the size of in000002"):
        list(open_data(road).read())
    (road / "input" / "in000003.jpg").unlink()
    with pytest.raises(DataNotFound, match=r"gt000003.png has no frame"):
        open_data(road)


@pytest.mark.shared
def test_the_boxes_of_highway_are_those_that_were_derived_before(shared):
    rows = np.loadtxt(shared / "cdnet2014" / "highway" / "boxes_from_masks.txt", delimiter=",")
    rows = rows[np.isin(rows[:, 0], range(470, 1701, 100))]
    expected = [(number, x, y, x + w, y + h) for number, x, y, w, h in rows.tolist()]
    frames = open_data(shared / "cdnet2014" / "highway", every=100).read()
    assert sorted((int(f.name[2:]), *box) for f in frames for box in f.boxes.tolist()) == sorted(expected)
