"""The figures of the tracker on videos in MOT Challenge's layout, with given boxes and with a detector's."""

import models_onnx
import numpy as np
import pytest
from mot_video import FRAMES, INFO, rows, write_boxes, write_video

from watchline.measure.errors import DataNotFound, DataRefused
from watchline.measure.layouts.mot import open_tracks, sequences_in
from watchline.measure.tracks import boxes_by, boxes_in, measure_tracks
from watchline.ops.detections import Detections
from watchline.pipeline.stages.detector import Detector


def test_true_boxes_give_true_tracks(tmp_path):
    """But for one frame of who comes later: nobody has a number when he is seen for the first time."""
    sequence = open_tracks(write_video(tmp_path / "street", video=False))
    assert (sequence.name, sequence.rate, sequence.size, len(sequence.truth)) == ("street", 10, (320, 120), FRAMES)
    measured = measure_tracks(sequence, boxes_in(write_boxes(tmp_path / "b.npy"), FRAMES))
    scores = measured.scores
    assert (scores.misses, scores.false, scores.switches, scores.ids, scores.objects) == (1, 0, 0, 3, 3)
    assert scores.mota == pytest.approx(1 - 1 / len(rows()))
    told = measured.as_dict()
    assert (told["data"], told["frames"], told["idf1"]) == ("street", FRAMES, scores.idf1)
    assert 0 < told["milliseconds"] < 1000


def test_between_looks_the_tracks_go_on(tmp_path):
    """Boxes of the frames between are not used: they may be none."""
    sequence = open_tracks(write_video(tmp_path / "street", video=False))
    found = boxes_in(write_boxes(tmp_path / "b.npy"), FRAMES)
    looked = [one if index % 3 == 0 else Detections.none(("person",)) for index, one in enumerate(found)]
    measured = [measure_tracks(sequence, boxes, 3).scores for boxes in (found, looked)]
    assert measured[0] == measured[1]
    assert (measured[0].switches, measured[0].ids, measured[0].objects) == (0, 3, 3)
    assert measured[0].idf1 > 0.9


def test_of_mot15_all_people_count_and_of_mot16_those_who_do(tmp_path):
    folder = write_video(tmp_path / "street", video=False)
    np.savetxt(folder / "gt" / "gt.txt", rows(counts=0), delimiter=",", fmt="%g")
    assert len(open_tracks(folder).truth[0].ids) == 2
    (folder / "gt" / "gt.txt").write_text("1,1,0,0,9,9,1,1,0.5\n1,2,0,0,9,9,1,8,0.5\n1,3,0,0,9,9,0,1,0.5\n")
    assert open_tracks(folder).truth[0].ids.tolist() == [1]


def test_a_folder_of_videos_has_them_all(tmp_path):
    folders = [write_video(tmp_path / name, video=False) for name in ("b", "a")]
    assert sequences_in(tmp_path) == folders[::-1]
    assert sequences_in(folders[0]) == folders[:1]
    with pytest.raises(DataNotFound, match="expected a folder in the layout MOT"):
        sequences_in(tmp_path / "a" / "gt")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "section"),
        ("[Sequence]\nframeRate=7\n", "imwidth"),
        (INFO.replace("=10", "=fast"), "fast"),
        (INFO.replace("=10", "=0"), "they are"),
        (INFO.replace(f"={FRAMES}", "=1e30"), "they are"),
    ],
)
def test_a_seqinfo_that_cannot_be_is_refused(tmp_path, text, says):
    folder = write_video(tmp_path / "street", video=False)
    (folder / "seqinfo.ini").write_text(text)
    with pytest.raises(DataRefused, match=rf"seqinfo.ini: .*{says}.*expected frameRate, imWidth, imHeight, seqLength"):
        open_tracks(folder)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        (np.zeros((3, 6)), r"of shape \(3, 6\)"),
        (np.full((3, 7), np.nan), "cannot be"),
        (np.full((3, 7), 2.0), "cannot be"),
        (np.array([["a"] * 7]), "convert"),
    ],
)
def test_boxes_that_cannot_be_are_refused(tmp_path, boxes, says):
    np.save(tmp_path / "b.npy", boxes)
    with pytest.raises(DataRefused, match=rf"b.npy: .*{says}.*; expected \(N, 7\)"):
        boxes_in(tmp_path / "b.npy", 3)


def test_a_file_without_boxes_is_refused(tmp_path):
    with pytest.raises(DataNotFound, match="there is no such file"):
        boxes_in(tmp_path / "b.npy", 3)
    (tmp_path / "b.npy").write_bytes(b"no array")
    with pytest.raises(DataRefused, match=r"expected \(N, 7\)"):
        boxes_in(tmp_path / "b.npy", 3)


def test_another_number_of_frames_is_refused(tmp_path):
    sequence = open_tracks(write_video(tmp_path / "street", video=False))
    with pytest.raises(DataRefused, match="street has 2 frames: expected 20"):
        measure_tracks(sequence, [Detections.none(("person",))] * 2)


def test_a_detector_s_people_are_tracked(tmp_path):
    folder = write_video(tmp_path / "street")
    models_onnx.save(models_onnx.tiny_detector(("person", "car")), tmp_path)
    detector = Detector(model=str(tmp_path / "tiny.onnx"), workers=1, threads=1)
    progress = []
    found = list(boxes_by(detector, folder, lambda *counts: progress.append(counts)))
    assert progress[-1] == (FRAMES, FRAMES)
    assert {name for one in found for name in one.names.tolist()} == {"person"}
    assert measure_tracks(open_tracks(folder), found).frames == FRAMES
    models_onnx.save(models_onnx.tiny_detector(("car", "bus")), tmp_path)
    with pytest.raises(DataRefused, match="no label 'person'"):
        list(boxes_by(detector, folder))


# Best figures of other trackers with these boxes, each of another one: IDF1, MOTA, HOTA, switches, ids
OTHERS = {"PETS09-S2L1": (0.719, 0.831, 0.544, 30, 23), "TUD-Stadtmitte": (0.823, 0.771, 0.594, 7, 13)}


@pytest.mark.shared
@pytest.mark.parametrize("name", OTHERS)
def test_no_other_tracker_keeps_people_apart_better(shared, name):
    """Of `trackers` 2.6.1: SORT, ByteTrack, OC-SORT, BoT-SORT and C-BIoU, with their defaults."""
    sequence = open_tracks(shared / "mot15" / name)
    found = boxes_in(shared / "mot15" / "boxes_yolox_nano" / f"{name}.npy", len(sequence.truth))
    scores = measure_tracks(sequence, found).scores
    idf1, mota, hota, switches, ids = OTHERS[name]
    assert scores.idf1 >= idf1
    assert scores.mota >= mota
    assert scores.hota >= hota
    assert (scores.switches <= switches, scores.ids <= ids) == (True, True)


@pytest.mark.shared
@pytest.mark.parametrize("name", OTHERS)
def test_people_who_are_nearly_always_seen_keep_their_identity(shared, name):
    """5 % missed, 2 pixels of jitter, 0.1 false boxes a frame. Without 5 % of the boxes, IDF1 is 0.974 at most."""
    sequence = open_tracks(shared / "mot15" / name)
    values = [measure_tracks(sequence, nearly(sequence, seed)).scores.idf1 for seed in range(3)]
    assert sum(values) / len(values) >= 0.97


def nearly(sequence, seed):
    """The true boxes as a detector would see them."""
    rng = np.random.default_rng(seed)
    for frame in sequence.truth:
        seen = frame.boxes[rng.random(len(frame.boxes)) >= 0.05]
        many = rng.poisson(0.1)
        corner = rng.uniform(0, np.array(sequence.size) - 100, (many, 2))
        false = np.concatenate([corner, corner + rng.uniform(40, 100, (many, 2))], axis=1)
        boxes = np.concatenate([seen + rng.normal(0, 2, seen.shape), false]).astype(np.float32)
        yield Detections(boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes), np.int64), ("person",))
