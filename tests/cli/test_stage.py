import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cli.shell import within
from pipelines import numbered
from zmtp_peer import PING, Peer

from watchline.engines import zoo
from watchline.pipeline.remote.placed import place_of, placed
from watchline.pipeline.stages.annotator import Annotator


@contextmanager
def stage(*words):
    """`watchline stage WORDS` in a process of its own, and the line that it begins with."""
    command = [sys.executable, "-m", "watchline", "stage", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_serves_and_ends_cleanly(number):
    with stage("annotator", "--listen", "tcp://127.0.0.1:0") as (process, line):
        assert re.fullmatch(r"annotator: listening on tcp://127\.0\.0\.1:\d+", line)
        with placed(Annotator(), place_of(line.split()[-1])).open() as there, Annotator().open() as here:
            assert (there(numbered(1))[0].drawn == here(numbered(1))[0].drawn).all()
            os.kill(process.pid, number)  # in the middle of a pipeline's work
            out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "")


def test_only_hubs_whose_key_it_knows_may_come(tmp_path):
    for name in ("gpu", "hub", "other"):
        assert within(tmp_path, "keys", name).code == 0
    keys = ("--key", tmp_path / "gpu.key", "--allow", f"{tmp_path / 'hub.pub'},{tmp_path / 'other.pub'}")
    with stage("annotator", "--listen", "tcp://127.0.0.1:0", *keys) as (_, line):
        for name in ("hub", "other"):
            place = place_of(line.split()[-1], tmp_path / f"{name}.key", tmp_path / "gpu.pub")
            with placed(Annotator(), place).open() as process:
                assert len(process(numbered(1))) == 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["detector"], "required: --listen"),
        (["detektor", "--listen", "tcp://127.0.0.1:0"], "unknown stage 'detektor': did you mean 'detector'?"),
        (["detector", "--listen", "tcp://127.0.0.1"], "expected tcp://HOST:PORT"),
        (["detector", "--listen", "tcp://*:0"], "give it --key and --allow (`watchline keys` makes the keys)"),
        (["detector", "--listen", "tcp://*:0", "--key", "a.key"], "--key and --allow go together"),
        (["detector", "--listen", "tcp://*:0", "--key", "a.key", "--allow", "b.pub"], "a.key: the key cannot be read"),
        (["annotator", "--listen", "tcp://127.0.0.1:0", "--threads", "2"], "annotator: unknown setting 'threads'"),
        (["detector", "--listen", "tcp://127.0.0.1:0", "--workers", "0"], "a whole number from 1 to 64"),
        (["detector", "--listen", "tcp://127.0.0.1:0", "--threads", "65"], "a whole number from 1 to 64"),
        (["detector", "--listen", "tcp://127.0.0.1:0", "--model", "nosuch"], "no model 'nosuch': expected a file"),
        (["detector", "--listen", "tcp://127.0.0.1:0", "--models", "nosuch"], "no folder 'nosuch'"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(tmp_path, words, why):
    done = within(tmp_path, "stage", *words)
    assert done.code == 2
    assert why in done.err[-1]
    assert done.out == []


def test_a_hub_that_asks_for_what_is_not_there_is_told_and_the_stage_goes_on(tmp_path):
    from watchline.pipeline.errors import StageError
    from watchline.pipeline.stages.detector import Detector

    mine = tmp_path / "mine.onnx"
    shutil.copy(zoo.find("yolov2-slim"), mine)
    with stage("detector", "--listen", "tcp://127.0.0.1:0", "--workers", "1", "--model", mine) as (_, line):
        place = place_of(line.split()[-1])
        with (
            pytest.raises(StageError, match="refused: model '/etc/passwd' is not offered here"),
            placed(Detector(model="/etc/passwd"), place).open(),
        ):
            pass
        for model in ("mine.onnx", zoo.DEFAULT):
            with placed(Detector(model=model, workers=3), place).open() as process:
                assert process(numbered(1))[0].detections is not None
                assert process.about["model"]["size"]


SLOW = b'{"kind":"work","schema":3,"id":1,"items":[],"where":{"slot":0,"spans":[%s]}}' % b",".join([b"[0,1]"] * 150_000)


def test_a_flood_ends_neither_the_stage_nor_its_answers():
    """A peer that sends faster than the stage reads, heartbeats among it, and is gone: libzmq must not abort."""
    with stage("annotator", "--listen", "tcp://127.0.0.1:0") as (process, line):
        address = line.split()[-1]
        with Peer(address) as slow:
            slow.send(*[SLOW] * 5)
            for few in range(62, 68):
                with Peer(address) as peer, suppress(OSError):
                    peer.send(*[b"x"] * few)
                    for _ in range(80):
                        peer.send(PING, command=True)
                        peer.send(b"x")
        with placed(Annotator(), place_of(address)).open() as there:
            assert len(there(numbered(1))) == 1
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, "Assertion failed" in err) == (0, False)


def test_sigterm_ends_a_flooded_stage():
    with stage("annotator", "--listen", "tcp://127.0.0.1:0") as (process, line), Peer(line.split()[-1]) as peer:
        flood = threading.Thread(target=lambda: [peer.send(SLOW) for _ in range(60)])
        flood.start()
        time.sleep(0.2)  # in the middle of it
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        peer.socket.close()
        flood.join()
    assert process.returncode == 0


def test_memory_that_is_none_is_refused(tmp_path):
    done = within(tmp_path, "stage", "annotator", "--listen", f"ipc://{tmp_path}/x", "--ring", "0")
    assert done.code == 2
    assert "not shared memory of a client" in done.err[-1]
    assert not Path(tmp_path, "x").exists()
