"""The whole chain: decoder, detector, segmenter, captioner, annotator. It gives the same wherever its stages run, and
goes on where one of them is killed.
"""

import os
import signal
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from clips import decode, write_clip
from models_onnx import tiny_captioner, tiny_detector, tiny_masker
from placing import Patient, somewhere

from watchline import (
    Annotate,
    Annotator,
    Captioner,
    Detector,
    Files,
    FileSource,
    Item,
    Job,
    Runner,
    Segmenter,
)
from watchline.pipeline.remote.placed import place_of, placed

SIZE = (128, 64)
RESULTS = {"detections", "instances", "caption", "drawn"}


@pytest.fixture
def chain(tmp_path):
    """Stages with tiny real models."""
    for name, model in (("boxes", tiny_detector()), ("masks", tiny_masker()), ("words", tiny_captioner())):
        onnx.save(model, tmp_path / f"{name}.onnx")
    return [
        Detector(model=str(tmp_path / "boxes.onnx"), imgsz=SIZE, workers=2),
        Segmenter(model=str(tmp_path / "masks.onnx"), imgsz=SIZE, workers=2),
        Captioner(model=str(tmp_path / "words.onnx"), interval=0.2),
        Annotator(workers=1),
    ]


def red_square(index):
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:32, 6 * index : 6 * index + 16] = (0, 0, 255)
    image[40:60, 20:90] = (200 * (index > 8), 40, 40)
    return image


def test_it_gives_the_same_as_threads_as_processes_and_by_tcp(tmp_path, chain):
    clip = write_clip(tmp_path / "walk.mp4", 16, SIZE, draw=red_square)
    given = {}
    for kind in ("thread", "process", "tcp"):
        out = tmp_path / kind
        with ExitStack() as stack:
            stages = [
                stack.enter_context(somewhere(kind, stage, chain[:n], [tmp_path])) for n, stage in enumerate(chain)
            ]
            work = Annotate(Job([FileSource(clip)], stages, [Files(out)]))
            list(work.run())
        assert [outcome.error for outcome in work.outcomes] == [None]
        pictures = [picture.tobytes() for picture in decode(out / "walk.mp4").pictures]
        given[kind] = (out / "walk.jsonl").read_bytes(), pictures
    assert given["process"] == given["tcp"] == given["thread"]
    events, pictures = given["thread"]
    assert len(pictures) == 16
    assert events.count(b'"instances"') == events.count(b'"caption": {') == 16
    assert events.count(b'"event": "caption"') == 2


def children():
    """Our child processes, by what they are called."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):
            for child in (task / "children").read_text().split():
                with suppress(FileNotFoundError):
                    found[Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()] = int(
                        child
                    )
    return found


def test_a_camera_goes_on_when_any_stage_is_killed(chain):
    """A new epoch begins where the stage that died knew something of the stream."""
    stages = [placed(stage, place_of("process"), chain[:n]) for n, stage in enumerate(chain)]
    runner = Runner(stages, latency_budget=30)
    source = Patient("gate", [[1, 0.02] * 3000] * 6, is_open=lambda: len(runner.about) == len(stages))
    until = threading.Timer(60, runner.stop)
    until.start()
    victims = [stage.name for stage in chain]
    whole = 0  # frames with all results since the last death
    for message in runner.run([source]):
        if not isinstance(message, Item):
            continue
        whole += {kind.key for kind in message.results} >= RESULTS
        if whole >= 3 and victims:
            name = victims.pop(0)
            [pid] = [pid for title, pid in children().items() if name in title]
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
            whole = 0
        elif whole >= 20:
            runner.stop()
    until.cancel()
    assert victims == []
    assert whole >= 20
    assert all(account.balances and account.in_flight == 0 for account in runner.ledger.accounts().values())
