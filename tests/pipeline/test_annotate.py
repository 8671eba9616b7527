"""The batch job from Python; what a user of the command line sees is in tests/cli."""

import json
from contextlib import contextmanager

import numpy as np
import onnx
import pytest
from clips import decode, write_clip, write_photo
from models_onnx import tiny_detector
from pipelines import Step

from watchline import Annotate, Annotator, Detector, Files, Job, Stage, find_sources
from watchline.settings import settings


@pytest.fixture
def detector(tmp_path):
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return Detector(model=str(tmp_path / "tiny.onnx"), imgsz=(64, 48))


def job(detector, out, *words, stages=()):
    return Annotate(Job(find_sources(words).sources, [detector, *stages, Annotator()], [Files(out)]))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_same_input_gives_the_same_bytes_however_many_workers(detector, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frames=40)
    written = []
    for n, workers in enumerate((1, 3, 3)):
        settings = {**{f: getattr(detector, f) for f in ("model", "imgsz")}, "workers": workers}
        list(job(Detector(**settings), tmp_path / str(n), clip).run())
        written.append([(tmp_path / str(n) / name).read_bytes() for name in ("a.jsonl", "a.mp4")])
    assert written[0] == written[1] == written[2]


def test_the_header_says_how_the_events_were_made_and_nothing_of_this_machine(detector, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frames=2)
    list(job(detector, tmp_path / "out", clip).run())
    header = lines(tmp_path / "out" / "a.jsonl")[0]["header"]
    assert header["source"] == "a.mp4"
    assert header["model"]["name"] == "tiny"
    assert header["model"]["size"] == [64, 48]
    assert header["config"] == {"conf": 0.25, "iou": 0.45, "classes": [], "every": 1}
    assert str(tmp_path) not in json.dumps(header)


def test_albums_with_the_same_names_do_not_overwrite_one_another(detector, tmp_path):
    for place, value in (("a", 50), ("b", 200)):
        (tmp_path / place).mkdir()
        write_photo(tmp_path / place / "IMG_1.png", np.full((48, 64, 3), value, np.uint8))
    list(job(detector, tmp_path / "out", tmp_path / "a", tmp_path / "b").run())
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == ["a/IMG_1.png", "a/a.jsonl", "b/IMG_1.png", "b/b.jsonl"]


def test_between_looks_the_video_is_whole_and_the_events_are_those_of_the_looks(detector, tmp_path):
    clip = write_clip(tmp_path / "a.mp4", frames=10)
    sparse = Detector(model=detector.model, imgsz=(64, 48), every=4)
    list(job(sparse, tmp_path / "out", clip).run())
    assert [line["frame"] for line in lines(tmp_path / "out" / "a.jsonl")[1:-1]] == [0, 4, 8]
    assert len(decode(tmp_path / "out" / "a.mp4").pictures) == 10


def test_a_stop_finishes_what_was_begun_and_begins_nothing_more(detector, tmp_path):
    clips = [write_clip(tmp_path / f"{n}.mp4", frames=200) for n in "ab"]
    work = job(detector, tmp_path / "out", *clips)
    for progress in work.run():
        if progress.frames >= 5:
            work.stop()
    a, b = work.outcomes
    assert (a.interrupted, a.error, b.interrupted, b.outputs) == (True, None, True, ())
    assert 5 <= a.frames < 200
    assert len(decode(tmp_path / "out" / "a.mp4").pictures) == a.frames == len(lines(tmp_path / "out" / "a.jsonl")) - 2
    footer = lines(tmp_path / "out" / "a.jsonl")[-1]["footer"]
    assert footer == {"stream": "a", "whole": False, "frames": a.frames, "dropped": {}}


def test_leaving_the_job_finishes_its_files(detector, tmp_path):
    work = job(detector, tmp_path / "out", write_clip(tmp_path / "a.mp4", frames=200)).run()
    for progress in work:
        if progress.frames >= 20:
            break
    work.close()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.jsonl", "a.mp4"]
    frames = len(decode(tmp_path / "out" / "a.mp4").pictures)
    assert 20 <= frames < 200
    assert frames == len(lines(tmp_path / "out" / "a.jsonl")) - 2


def test_an_own_stage_that_gives_nothing_back_fails_its_stream_and_is_named(detector, tmp_path):
    @settings
    class Silent(Stage):
        name = "silent"

        @contextmanager
        def open(self):
            yield lambda items: None

    work = job(detector, tmp_path / "out", write_clip(tmp_path / "a.mp4", frames=5), stages=[Silent()])
    list(work.run())
    [outcome] = work.outcomes
    assert outcome.error == ("the silent failed on frame 0: the stage gave None for 1 items: expected a list of items")


def test_an_own_stage_sees_what_the_detector_found(detector, tmp_path):
    seen = []
    stage = Step("mine", lambda item: seen.append(item.detections) or item)
    list(job(detector, tmp_path / "out", write_clip(tmp_path / "a.mp4", frames=3), stages=[stage]).run())
    assert len(seen) == 3
    assert all(found is not None for found in seen)
