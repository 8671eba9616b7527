"""The annotator lets each kind of result draw itself, on a copy, and says which frame it is."""

import pickle
import time
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from clips import write_clip

from watchline.errors import SettingsError
from watchline.ops.detections import Detections
from watchline.ops.draw import draw
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.kind import Kind
from watchline.pipeline.message import Item
from watchline.pipeline.stages.annotator import Annotator, describe
from watchline.streams.file import FileSource
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.source import About

LABELS = ("person", "bicycle", "car")
ABOUT = About("bikes.mp4", 640, 272, Fraction(1, 25))


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    pixels.flags.writeable = False
    return pixels


def found(*rows) -> Detections:
    """Rows of (x1, y1, x2, y2, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(int), LABELS)


def item(pixels, detections=None, index=17, pts=17, stream="bikes", **fields) -> Item:
    bare = Item(Frame(stream, index, pts, Fraction(1, 25), ArrayPicture(pixels), 0.0, **fields))
    return bare if detections is None else bare.with_result(DETECTIONS, detections)


ONE = found((30, 60, 200, 250, 0.91, 0))
INFO = ("bikes", "frame 17", "00:00.680")


@pytest.mark.parametrize(
    ("index", "pts", "parts"),
    [
        (17, 17, ("bikes", "frame 17", "00:00.680", "2 detections")),
        (0, 0, ("bikes", "frame 0", "00:00.000", "2 detections")),
        (5, -1, ("bikes", "frame 5", "-00:00.040", "2 detections")),
        (90000, 90000, ("bikes", "frame 90000", "60:00.000", "2 detections")),  # hours are minutes
        (9, 151, ("bikes", "frame 9", "00:06.040", "2 detections")),
    ],
)
def test_the_info_line(index, pts, parts):
    two = found((0, 0, 1, 1, 0.9, 0), (0, 0, 1, 1, 0.9, 0))
    assert describe(item(noise(8, 8), two, index, pts)) == parts


def test_the_info_line_of_photos_long_names_and_frames_nobody_looked_at():
    assert describe(item(noise(8, 8), ONE, file="bus.jpg")) == ("bus.jpg", "1 detection")
    assert describe(item(noise(8, 8))) == INFO
    assert describe(item(noise(8, 8), Detections.none(LABELS)))[-1] == "0 detections"
    [name, _] = describe(item(noise(8, 8), ONE, file="x" * 33))
    assert name == "x" * 29 + "..."


def test_the_stage_sets_drawn_and_leaves_the_frame_alone():
    pixels = noise(640, 272)
    before = pixels.copy()
    with Annotator().open() as work:
        done = work([item(pixels, ONE), item(noise(7, 9999), ONE, stream="tall")])
    np.testing.assert_array_equal(done[0].drawn, draw(pixels, ONE, info=(*INFO, "1 detection")))
    np.testing.assert_array_equal(done[0].frame.image, before)
    assert done[1].drawn.shape == (9999, 7, 3)
    assert done[0].detections is ONE


def test_settings_switch_parts_off():
    pixels = noise(640, 272)
    with Annotator(line_width=5, labels=False, info=False).open() as work:
        [done] = work([item(pixels, ONE)])
    np.testing.assert_array_equal(done.drawn, draw(pixels, ONE, line_width=5, labels=False))


def test_the_frames_of_a_camera_have_the_time_of_day(monkeypatch):
    monkeypatch.setenv("TZ", "UTC-02:00")  # east of Greenwich
    time.tzset()
    try:
        assert describe(item(noise(8, 8), epoch=0, time=1_800_000_000.9)) == (
            "bikes",
            "frame 17",
            "2027-01-15 10:00:00",
        )
    finally:
        monkeypatch.undo()
        time.tzset()


def test_colours_and_size_of_text_may_be_ones_own():
    pixels = noise(640, 272)
    with Annotator(colours=("person=#0a0b0c",), text_size=30, info=False).open() as work:
        [done] = work([item(pixels, ONE)])
    assert tuple(done.drawn[-1 - 22, 30]) == (0x0C, 0x0B, 0x0A)
    taller = [(pixels != work_done).any(axis=(1, 2)) for work_done in (done.drawn, draw(pixels, ONE))]
    assert np.flatnonzero(taller[0])[0] < np.flatnonzero(taller[1])[0] - 15
    with Annotator(colours=("#0a0b0c",), info=False).open() as work:
        [done] = work([item(pixels, ONE)])
    np.testing.assert_array_equal(done.drawn, draw(pixels, ONE, colours=(0x0C, 0x0B, 0x0A)))
    for wrong in (["person"], ["person=red"], ["#ffffff", "car=#000000"], ["#fff"]):
        with pytest.raises(SettingsError, match="is not a colour: expected CLASS=#rrggbb"):
            Annotator(colours=wrong)


def test_a_stream_may_be_drawn_otherwise():
    pixels = noise(640, 272)
    with Annotator(info=False, streams={"gate": {"labels": False}}).open() as work:
        gate, bikes = work([item(pixels, ONE, stream="gate"), item(pixels, ONE)])
    np.testing.assert_array_equal(gate.drawn, draw(pixels, ONE, labels=False))
    np.testing.assert_array_equal(bikes.drawn, draw(pixels, ONE))


@pytest.mark.parametrize("detections", [None, Detections.none(LABELS)])
def test_a_frame_with_nothing_to_draw_is_as_it_was(detections):
    pixels = noise(64, 48)
    with Annotator(info=False).open() as work:
        [done] = work([item(pixels, detections)])
    np.testing.assert_array_equal(done.drawn, pixels)


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("codec", "pix_fmt"), [("libx264", "yuv420p"), ("rawvideo", "bgr24")])
def test_what_is_drawn_is_not_in_the_frame(tmp_path, codec, pix_fmt, kept):
    """A sink or a stage behind the annotator would see boxes in the picture; so would the decoder's next frame."""
    source = FileSource(write_clip(tmp_path / "a.nut", 3, (320, 180), codec=codec, pix_fmt=pix_fmt))
    with source.open() as reader:
        before = [frame.image.copy() for frame in reader]
    with source.open() as reader, Annotator().open() as work:
        for frame, plain in zip(reader, before, strict=True):
            if kept:
                assert (frame.image == plain).all()
            [done] = work([Item(frame)])
            assert (done.drawn != plain).any()
            np.testing.assert_array_equal(frame.image, plain)


def test_what_was_found_last_stays_until_it_is_looked_for_again_and_no_longer_than_the_stream():
    pixels = noise(640, 272)
    plain, boxed = draw(pixels, Detections.none(LABELS)), draw(pixels, ONE)
    with Annotator(info=False).open() as work:
        work.begin("bikes", ABOUT, None)
        drawn = [work([item(pixels, detections)])[0].drawn for detections in (None, ONE, None, found(), None)]
        for got, expected in zip(drawn, (plain, boxed, boxed, plain, plain), strict=True):
            np.testing.assert_array_equal(got, expected)
        work([item(pixels, ONE)])
        assert work.end("bikes") == ()
        work.begin("bikes", ABOUT, None)
        np.testing.assert_array_equal(work([item(pixels)])[0].drawn, plain)


def test_a_kind_of_ones_own_draws_itself_and_says_a_word():
    @dataclass(frozen=True)
    class Mark:
        at: tuple[int, int]

    mark = Kind(
        "mark",
        Mark,
        draw=lambda canvas, m: canvas.box((*m.at, m.at[0] + 9, m.at[1] + 9), "m"),
        summary=lambda m: "marked",
    )
    pixels = noise(320, 180)
    given = item(pixels, ONE).with_result(mark, Mark((100, 100)))
    assert describe(given) == (*INFO, "1 detection", "marked")
    with Annotator(info=False, labels=False).open() as work:
        [done] = work([given])
    only = draw(pixels, ONE, labels=False)
    changed = np.argwhere((done.drawn != only).any(axis=2))
    assert changed.min(axis=0).tolist() == [100, 100]
    assert changed.max(axis=0).tolist() == [108, 108]


def test_the_settings_are_checked_and_travel():
    stage = Annotator(line_width=4, workers=3)
    assert pickle.loads(pickle.dumps(stage)) == stage
    assert (stage.name, stage.workers) == ("annotator", 3)
    with pytest.raises(SettingsError, match="greater than or equal to 1"):
        Annotator(line_width=0)
