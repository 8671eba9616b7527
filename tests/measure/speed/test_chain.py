"""The chain and its parts, measured on a real clip with a real engine."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip
from models_onnx import save, tiny_detector

from watchline.measure.errors import DataRefused, MeasureError, NoFrames
from watchline.measure.speed.cameras import cameras
from watchline.measure.speed.chain import Chain, Workload, chain
from watchline.measure.speed.clip import MADE, made
from watchline.measure.speed.engine import bare_engine
from watchline.measure.speed.figures import Speed
from watchline.measure.speed.parts import Part, parts
from watchline.measure.speed.plot import plot
from watchline.measure.speed.source import Repeated
from watchline.pipeline.message import Item
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Process, Stage
from watchline.settings import settings
from watchline.streams.file import FileSource
from watchline.streams.write.mp4 import Mp4Sink

FRAMES = 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "walk.mp4", FRAMES, (128, 64))


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return Detector(model=str(save(tiny_detector(), tmp_path)), workers=1)


def test_every_part_is_measured(clip: Path, detector: Detector, tmp_path: Path) -> None:
    found = parts(clip, [detector, Annotator()], tmp_path, Mp4Sink())
    assert list(found) == ["decode", "resize", "engine", "nms", "draw", "link", "encode"]
    assert all(0 < part.cpu < 1000 and 0 < part.wall[0] <= part.wall[1] <= part.wall[2] for part in found.values())
    assert list(parts(clip, [detector], tmp_path, None)) == ["decode", "resize", "engine", "nms", "link"]


def test_a_batch_is_divided_among_its_frames(clip: Path, detector: Detector, tmp_path: Path) -> None:
    many = Detector(model=detector.model, workers=1, batch=5)
    assert list(parts(clip, [many], tmp_path, None)) == ["decode", "resize", "engine", "nms", "link"]


def test_a_clip_of_a_few_frames_is_refused(detector: Detector, tmp_path: Path) -> None:
    short = write_clip(tmp_path / "short.mp4", 9, (128, 64))
    with pytest.raises(DataRefused, match=r"short\.mp4: 9 frames are too few .*: expected 10 at least"):
        parts(short, [detector], tmp_path, None)


def test_a_closed_loop_loses_nothing(clip: Path, detector: Detector, tmp_path: Path) -> None:
    ran = chain(Workload(clip, [detector, Annotator()], tmp_path / "out", Mp4Sink(), streams=2, seconds=0.2, most=8))
    assert ran.dropped == {}
    assert ran.fps == pytest.approx(ran.offered) != 0
    assert ran.cpu_ms > 0
    assert 0 < ran.busy
    assert len(ran.windows) >= 3
    assert ran.age_ms[0] <= ran.age_ms[1] <= ran.age_ms[2]


def test_an_open_loop_has_the_rate_that_was_asked_for(clip: Path, detector: Detector, tmp_path: Path) -> None:
    ran = chain(Workload(clip, [detector], tmp_path / "out", None, streams=6, rate=10, seconds=1, most=3.5))
    assert 0 < ran.offered < 200  # fewer on a busy machine, or, after a pause, more; without the rate hundreds


def test_what_is_too_slow_for_a_window_has_a_figure(clip: Path, detector: Detector, tmp_path: Path) -> None:
    ran = chain(Workload(clip, [detector], tmp_path / "out", None, rate=5, seconds=60, most=2))
    assert len(ran.windows) == 1
    assert 0 < ran.fps < 25
    assert not ran.is_settled


def test_more_files_than_are_read_at_once_are_refused(clip: Path, detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="5 streams in a closed loop: files are read 4 at once"):
        chain(Workload(clip, [detector], tmp_path, None, streams=5))


def test_what_fails_says_why(detector: Detector, tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="there is no such file"):
        chain(Workload(tmp_path / "none.mp4", [detector], tmp_path / "out", None, seconds=0.1, most=1))


@settings
class Trouble(Stage):
    """Takes its time to open, or loses every frame."""

    name = "trouble"

    seconds: float = 0.0
    fails: bool = False

    @contextmanager
    def open(self) -> Iterator[Process]:
        time.sleep(self.seconds)
        yield self._work

    def _work(self, items: Sequence[Item]) -> list[Item]:
        if self.fails:
            raise RuntimeError("no")
        return list(items)


def test_the_time_begins_when_the_models_are_loaded(clip: Path, detector: Detector, tmp_path: Path) -> None:
    ran = chain(Workload(clip, [detector, Trouble(seconds=1.5)], tmp_path / "out", None, seconds=0.1, most=1))
    assert ran.fps > 0


def test_a_chain_that_writes_nothing_says_so(clip: Path, detector: Detector, tmp_path: Path) -> None:
    stages, out = [detector, Trouble(fails=True)], tmp_path / "out"
    with pytest.raises(NoFrames, match=r"walk\.mp4: no frame was written within 0\.5 s; allow more with --most"):
        chain(Workload(clip, stages, out, None, rate=20, most=0.5))
    most, trials = cameras(Workload(clip, stages, out, None, budget=0.5, seconds=0.1, most=0.5), rate=20, limit=4)
    assert most == 0
    assert [(one.streams, one.ran, one.why_not) for one in trials] == [
        (1, None, "hardly a frame was written within 0.5 s")
    ]


def test_a_bare_engine_has_a_speed(detector: Detector) -> None:
    assert bare_engine(Detector(model=detector.model, workers=2), seconds=0.1) > 10


@pytest.mark.parametrize("rate", [None, 200.0])
def test_a_clip_is_played_again_and_again(clip: Path, rate: float | None) -> None:
    source = Repeated(clip, "s", rate)
    assert source.live is bool(rate)
    with source.open() as reader:
        began, frames = time.monotonic(), []
        for frame in reader:
            frames.append(frame)
            if len(frames) == 3 * FRAMES:
                break
        took = time.monotonic() - began
    assert [frame.index for frame in frames] == list(range(3 * FRAMES))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    assert all((frame.time is None) is (rate is None) for frame in frames)
    np.testing.assert_array_equal(frames[0].image, frames[FRAMES].image)
    if rate:
        assert took >= (3 * FRAMES - 1) / rate
        assert frames[-1].seconds == pytest.approx((3 * FRAMES - 1) / rate, abs=0.001)


def test_the_clip_that_is_made_plays(tmp_path: Path) -> None:
    with FileSource(made(tmp_path / "pattern.mp4")).open() as reader:
        assert (reader.about.width, reader.about.height, sum(1 for _ in reader)) == (1280, 720, MADE.frames)


def speed_of(gpu: bool = False, **cpu: float) -> Speed:
    ran = Chain(40, (40, 40, 40), True, (30, 60, 90), {}, 40, 50, 0.9, "")
    measured = {name: Part(ms, (ms, ms, ms)) for name, ms in cpu.items()}
    return Speed("net", "net.onnx", "rt", (64, 32), 2, 1, 2, measured, 45, gpu, ran)


def test_the_ceiling_is_the_cores_by_the_parts() -> None:
    speed = speed_of(decode=8, engine=32)
    assert speed.ceiling == pytest.approx(50)
    assert speed.of_ceiling == pytest.approx(0.8)
    assert speed.limit == "engine"
    assert speed.verdict == (
        "The engine limits, with 80% of a frame's processor time. The chain reaches 0.80 of the ceiling of 50.0 FPS: "
        "its frames cost 1.25 times what their parts cost alone, and it used 90% of the cores' time."
    )


def test_on_a_gpu_the_bare_engines_are_a_ceiling_too() -> None:
    assert speed_of(gpu=True, decode=8, engine=2).ceiling == 45
    assert speed_of(gpu=True, decode=8, engine=2).limit == "engine"
    assert speed_of(gpu=True, decode=98, engine=2).limit == "decode"


def test_the_picture_has_a_bar_for_each_model() -> None:
    one, two = (plot([speed_of(decode=8, engine=32)] * count, "clip") for count in (1, 2))
    assert one.dtype == np.uint8
    assert two.shape[0] > one.shape[0]
    row = one[30 + 40 + 28 + 35]  # through the bar
    assert len(np.unique(row.reshape(-1, 3), axis=0)) >= 3  # two parts and the paper
