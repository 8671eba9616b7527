"""The motion stage: which frames are worth a look, who keeps to it, and that tracks rest while nothing moves."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip
from models_onnx import save, tiny_detector, tiny_segmenter
from placing import somewhere

from watchline import Annotate, Detector, Files, FileSource, Job, Motion, Tracker
from watchline.errors import SettingsError
from watchline.ops.detections import Detections
from watchline.ops.tracks import MEMORY
from watchline.pipeline.errors import StageError
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.motion import MOTION, Movement
from watchline.pipeline.message import Item
from watchline.pipeline.stages.stage import checked
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About

RATE, SIZE = 10, (320, 180)
ABOUT = About("yard", *SIZE, Fraction(1, RATE))


def item(index, left=None, stream="yard", **fields):
    """A frame in which a white thing of 30 x 40 stands somewhere, or nothing does."""
    pixels = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    if left is not None:
        pixels[60:100, left : left + 30] = 255
    return Item(Frame(stream, index, index, Fraction(1, RATE), ArrayPicture(pixels), 0.0, **fields))


def looks(settings, items):
    """The frames that are worth a look, and the number of each."""
    with settings.open() as work:
        work.begin("yard", ABOUT, None)
        after = checked(settings, items, work(items))
    movements = {one.frame.index: one.result(MOTION) for one in after}
    return {index: one.number for index, one in movements.items() if one.number is not None}


def test_a_still_camera_is_looked_at_every_few_seconds():
    found = looks(Motion(interval=3, hold=0.5), [item(n) for n in range(100)])
    assert list(found) == [*range(6), 35, 65, 95], "the first picture is new; then every three seconds"
    assert [found[index] for index in (0, 5, 35, 65)] == [0, 5, 0, 0]


def test_while_something_moves_and_a_little_longer_every_frame_is():
    walk = [item(n, None if n < 20 else min(10 * (n - 20), 100)) for n in range(100)]
    found = looks(Motion(interval="1m", hold="500ms"), walk)
    assert set(range(20, 31)) < set(found), "it walks until frame 30"
    assert found[20] == 0
    assert found[25] == 5
    assert max(found) < 90, "who stands becomes background"


def test_an_interval_shorter_than_a_frame_looks_at_all():
    assert len(looks(Motion(interval="1ms"), [item(n) for n in range(30)])) == 30


@pytest.mark.parametrize("mask", [[[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]], [[[0, 0], [160, 0], [160, 180], [0, 180]]]])
def test_trees_are_left_out(mask):
    sway = [item(n, 20 + 30 * (n % 2)) for n in range(40)]
    assert max(looks(Motion(interval=60, hold=0.01, mask=mask), sway)) == 0
    other = [item(n, 200 + 30 * (n % 2)) for n in range(40)]
    assert len(looks(Motion(interval=60, hold=0.01, mask=mask), other)) > 35


def test_each_stream_and_epoch_begins_anew():
    with Motion(streams={"gate": {"interval": 0.01}}, hold=0.01).open() as work:
        work.begin("yard", ABOUT, 0)
        seen = work([item(n, stream=stream) for n in range(3) for stream in ("yard", "gate")])
        assert [one.result(MOTION).number for one in seen] == [0, 0, None, 1, None, 2]
        work.end("yard")
        work.begin("yard", ABOUT, 1)
        assert work([item(3)])[0].result(MOTION).number == 0


def test_photos_stay_as_they_are():
    photo = item(0, file="a.jpg")
    with Motion().open() as work:
        assert work([photo]) == [photo]


def test_pictures_of_another_size_begin_anew():
    small = ArrayPicture(np.zeros((90, 160, 3), np.uint8))
    frames = [item(n) for n in range(20)]
    frames[10:] = [replace(one, frame=replace(one.frame, picture=small)) for one in frames[10:]]
    assert list(looks(Motion(interval=60, hold=0.01), frames)) == [0, 10]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"interval": 0}, "interval"),
        ({"threshold": 0}, "threshold"),
        ({"area": 2}, "area"),
        ({"mask": [[[0, 0], [1, 1]]]}, "mask"),
        ({"mask": [[[0, 0], [0.5, 0], [90, 90]]]}, "mask has 0.5 and 90: expected pixels, or shares"),
        ({"masks": []}, "did you mean 'mask'"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, says):
    with pytest.raises(SettingsError, match=says):
        Motion(**wrong)


def test_a_mask_outside_of_the_picture_is_refused_at_the_beginning():
    with (
        Motion(mask=[[[0, 0], [500, 0], [500, 90]]]).open() as work,
        pytest.raises(StageError, match=r"mask has \[500, 0\], outside of the picture of 320 x 180"),
    ):
        work.begin("yard", ABOUT, None)


def test_a_movement_that_cannot_be_is_refused():
    """Another process may send one."""
    for wrong in (-1, 0.5, "1"):
        with pytest.raises(ValueError, match="movement: "):
            Movement(wrong)
    assert [MOTION.unpacked(*MOTION.packed(Movement(number))).number for number in (None, 7)] == [None, 7]


@pytest.mark.parametrize("make", ["detector", "segmenter"])
def test_who_runs_a_model_keeps_to_it(tmp_path, make):
    from watchline import Segmenter

    model, kind = (tiny_detector(), Detector) if make == "detector" else (tiny_segmenter(), Segmenter)
    stage = kind(model=str(save(model, tmp_path)), every=2)
    numbers = [None, None, 0, 1, 2, None, 0]
    items = [item(n).with_result(MOTION, Movement(number)) for n, number in enumerate(numbers)]
    with stage.open() as work:
        after = work(items)
    assert [len(one.results) > 1 for one in after] == [number is not None and number % 2 == 0 for number in numbers]


def seen(index, *lefts, moved=0):
    boxes = np.array([(left, 60, left + 30, 100) for left in lefts], np.float32).reshape(-1, 4)
    found = Detections(boxes, np.full(len(boxes), 0.9), np.zeros(len(boxes), np.int64), ("car",))
    return item(index).with_result(MOTION, Movement(moved)).with_result(DETECTIONS, found)


def still(index):
    return item(index).with_result(MOTION, Movement(None))


def test_a_parked_car_stays_where_it_is_and_is_not_lost():
    """It drives in until frame 19; then nothing moves for longer than a track is kept, and nobody looks."""
    rest = round(3 * MEMORY * RATE)
    walk = [seen(n, 20 + 6 * n, moved=n) for n in range(20)]
    with Tracker().open() as work:
        work.begin("yard", ABOUT, None)
        work(walk)
        after = work([still(20 + n) for n in range(rest)])
        boxes = [one.detections.xyxy.tolist() for one in after]
        assert boxes == [walk[-1].detections.xyxy.tolist()] * rest
        assert all(one.detections.predicted.all() for one in after)
        [again] = work([seen(20 + rest, 20 + 6 * 19)])
        assert (again.detections.tracker_id.tolist(), again.events) == ([1], ())


def test_who_is_hidden_waits_while_nothing_moves():
    with Tracker().open() as work:
        work.begin("yard", ABOUT, None)
        work([seen(n, 100) for n in range(5)])
        work([seen(5, moved=5)])
        work([still(6 + n) for n in range(100)])
        [again] = work([seen(106, 100)])
    assert again.detections.tracker_id.tolist() == [1]


def test_a_file_has_the_same_looks_twice(tmp_path):
    clip = write_clip(tmp_path / "street.mp4", 30, (128, 72), rate=RATE)
    stages = [Motion(interval=1, hold=0.2), Detector(model=str(save(tiny_detector(), tmp_path)), workers=2)]
    lines = []
    for name in ("a", "b"):
        work = Annotate(Job([FileSource(clip)], stages, [Files(tmp_path / name, None)]))
        list(work.run())
        assert [outcome.error for outcome in work.outcomes] == [None]
        lines.append((tmp_path / name / "street.jsonl").read_bytes())
    assert lines[0] == lines[1]
    header = json.loads(lines[0].splitlines()[0])["header"]
    assert header["stages"]["motion"] == {"interval": 1, "hold": 0.2, "threshold": 12, "area": 0.0005, "mask": []}


@pytest.mark.parametrize("place", ["process", "tcp"])
def test_it_runs_elsewhere_too(place):
    with somewhere(place, Motion(hold=0.01, interval=60)) as stage, stage.open() as work:
        work.begin("yard", ABOUT, None)
        after = [one for n in range(4) for one in work([item(n)])]
        assert [one.result(MOTION).number for one in after] == [0, None, None, None]
