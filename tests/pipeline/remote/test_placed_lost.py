"""Stages elsewhere that die, hang, are cut off, talk nonsense: what they held is lost or done again; nothing stays."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from leftovers import everything
from mutations import mutations
from odd_stages import Clumsy, Echo
from pipelines import Numbers, numbered
from placing import PROCESS, live, pid_of, serving

from watchline.pipeline.errors import FrameLost, StageError
from watchline.pipeline.message import End, Failure, Item
from watchline.pipeline.remote import calls, connection
from watchline.pipeline.remote.channel import Listener
from watchline.pipeline.remote.keys import write_pair
from watchline.pipeline.remote.placed import Place, place_of, placed
from watchline.pipeline.remote.protocol import Done, Hello, ResultEntry, Signal, Welcome, decode, encode
from watchline.pipeline.runner import Runner


@pytest.fixture
def folder(monkeypatch):
    """The folder for temporary files, for this test alone; its name is short enough for a socket in it."""
    folder = tempfile.mkdtemp(prefix="wl-", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("TMPDIR", folder)
    yield Path(folder)
    shutil.rmtree(folder)


def test_a_process_that_dies_at_its_start_is_named(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        pytest.raises(StageError, match=r"^the echo process \(pid \d+\) ended with exit code 1$"),
        placed(Echo(), PROCESS).open(),
    ):
        pass
    monkeypatch.setattr(sys, "executable", "/nosuch/python")
    with pytest.raises(StageError, match=r"cannot be started: .*No such file"), placed(Echo(), PROCESS).open():
        pass


def test_frames_of_files_are_done_again_after_a_death(tmp_path, caplog):
    stage = placed(Clumsy(dies_at=(15,), once=tmp_path, slow=0.01), PROCESS)
    messages = list(Runner([stage]).run([Numbers("a", 20)]))
    done = [m for m in messages if isinstance(m, Item)]
    assert [m.detections.xyxy[0, 0] for m in done] == [*range(20)]
    assert isinstance(messages[-1], End)
    assert len({m.detections.labels for m in done}) == 2
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert re.fullmatch(r"the clumsy process \(pid \d+\) died of SIGKILL; starting it again in 0\.\d s", said[0]), said
    assert re.fullmatch(r"the clumsy process \(pid \d+\) is open again after \d\.\d s", said[1]), said


def test_live_frames_are_given_up_at_once_while_it_is_away():
    items = numbered(3)
    with placed(Clumsy(slow=0.3), PROCESS).open() as process:
        os.kill(pid_of(process(items)), 0)
        threading.Timer(0.1, os.kill, [pid_of(process(items)), signal.SIGKILL]).start()
        started = time.monotonic()
        with pytest.raises(FrameLost) as caught:
            process(live(items))
        assert caught.value.cause == "clumsy lost"
        assert time.monotonic() - started < 0.6
        started = time.monotonic()
        with pytest.raises(FrameLost):
            process(live(items))
        assert time.monotonic() - started < 0.3
        assert len(process(items)) == 3  # those of a file wait until it is back
        assert len(process(live(items))) == 3


def test_frames_of_which_it_dies_again_and_again_are_given_up(monkeypatch):
    monkeypatch.setattr(connection, "BACKOFF", connection.Backoff(0.05, 0.1))
    with placed(Clumsy(dies_at=(1,)), PROCESS).open() as process:
        items = numbered(3)
        with pytest.raises(StageError, match="was lost 3 times at a frame 1: they are given up"):
            process(items[1:2])
        assert len(process(items[2:])) == 1


def test_only_the_frame_to_blame_is_given_up(monkeypatch):
    monkeypatch.setattr(connection, "BACKOFF", connection.Backoff(0.05, 0.1))
    stage = placed(Clumsy(workers=2, dies_at=(1,), slow=0.1), PROCESS)
    outcomes = {}

    def work(process, item):
        try:
            outcomes[item.frame.index] = len(process([item]))
        except StageError as error:
            outcomes[item.frame.index] = str(error)

    with stage.open() as process:
        threads = [threading.Thread(target=work, args=(process, item)) for item in numbered(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (outcomes[0], outcomes[2]) == (1, 1)
    assert "was lost 3 times at a frame 1" in outcomes[1]


def test_a_process_that_hangs_is_killed_and_started_again(monkeypatch, caplog):
    monkeypatch.setattr("watchline.pipeline.remote.endpoints.Child.silence", (60.0, 1.5))
    with placed(Clumsy(), PROCESS).open() as process:
        pid = pid_of(process(numbered(1)))
        os.kill(pid, signal.SIGSTOP)
        assert pid_of(process(numbered(1))) != pid
    assert "said nothing for 2 s; starting it again" in caplog.text


@pytest.mark.parametrize("how", ["cancel", "close"])
def test_leaving_a_run_ends_all_waiting(how):
    before = everything()
    stage = placed(Clumsy(hangs_at=(0, 1), workers=2), PROCESS)
    ended = []

    def work(process, item):
        with pytest.raises(StageError, match="the run was left"):
            process([item])
        ended.append(time.monotonic())

    with stage.open() as process:
        threads = [threading.Thread(target=work, args=(process, item)) for item in numbered(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        left = time.monotonic()
        if how == "cancel":
            stage.cancel()
            stage.cancel()
            for thread in threads:
                thread.join(1)
            with pytest.raises(StageError, match="the run was left"):
                process(numbered(3)[2:])
    for thread in threads:
        thread.join()
    assert max(ended) - left < 1
    assert everything() == before


def test_a_stopped_run_does_not_wait_for_a_host_that_is_away():
    """Frames of files wait for it as long as it takes, but not against Ctrl-C."""
    with serving(Clumsy()) as place:
        runner = Runner([placed(Clumsy(), place)])
        messages = runner.run([Numbers("a", 100_000)])
        for message in messages:
            if isinstance(message, Item) and message.frame.index == 3:
                break
    time.sleep(0.2)  # nobody listens any more
    threading.Timer(0.5, runner.stop).start()
    started = time.monotonic()
    rest = list(messages)
    assert time.monotonic() - started < 3
    assert "was away when the run was stopped" in next(m.why for m in rest if isinstance(m, Failure))
    account = runner.ledger.accounts()["a"]
    assert account.balances
    assert account.in_flight == 0


def test_a_request_that_never_ends_loses_the_stage(monkeypatch, caplog):
    """It answers pings, but the one who works is stuck."""
    monkeypatch.setattr(calls, "LONGEST_CALL", 0.5)
    stage = placed(Clumsy(hangs_at=(1,)), PROCESS)
    with stage.open() as process, pytest.raises(FrameLost):
        process(live(numbered(3)[1:2]))
    assert "has been at one request" in caplog.text


def test_leaving_does_not_wait_for_a_stage_that_is_still_opening():
    with serving(Echo()) as place:
        busy = placed(Echo(), place)
        stage = placed(Echo(), Place("tcp", "tcp://127.0.0.1:9"))
        threading.Timer(0.3, stage.cancel).start()
        started = time.monotonic()
        with busy.open(), pytest.raises(StageError, match="the run was left"), stage.open():
            pass
        assert time.monotonic() - started < 2


def test_nothing_is_left_after_deaths_and_runs(tmp_path, folder):
    before = everything()
    for turn in range(2):
        stage = placed(Clumsy(workers=2, dies_at=(turn,), once=tmp_path), PROCESS)
        assert len([m for m in Runner([stage]).run([Numbers("a", 5)]) if isinstance(m, Item)]) == 5
    assert everything() == before
    assert not [*Path("/dev/shm").glob("*watchline*")]
    assert not [*folder.iterdir()]


def test_a_child_does_not_outlive_a_client_that_is_killed(folder):
    code = """
import sys, time
from odd_stages import Clumsy
from pipelines import numbered
from watchline.pipeline.remote.placed import place_of, placed
with placed(Clumsy(hangs_at=(1,)), place_of("process")).open() as process:
    print(process(numbered(1))[0].detections.labels[0], flush=True)
    process(numbered(2)[1:])
"""
    client = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with client:
        child = int(client.stdout.readline())
        os.kill(child, signal.SIGINT)  # Ctrl-C is the client's affair
        time.sleep(0.2)
        os.kill(child, 0)
        assert not [*folder.iterdir()]  # no other process can connect to it, and nothing would be left
        client.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "zombie" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < deadline, "the child goes on without its client"
        time.sleep(0.05)


def test_nobody_there_is_said_after_a_while(monkeypatch):
    monkeypatch.setattr("watchline.pipeline.remote.endpoints.Host.silence", (0.5, 0.5))
    with (
        pytest.raises(StageError, match=r"^echo at tcp://127.0.0.1:9 does not answer: is it started there\?$"),
        placed(Echo(), Place("tcp", "tcp://127.0.0.1:9")).open(),
    ):
        pass


def test_a_wrong_key_is_said_in_a_few_seconds(tmp_path):
    write_pair(tmp_path / "laptop"), write_pair(tmp_path / "gpu"), write_pair(tmp_path / "other")
    from watchline.pipeline.remote.keys import read_keys

    def place(key, peer, address):
        return place_of(address, tmp_path / f"{key}.key", tmp_path / f"{peer}.pub")

    keys = read_keys(tmp_path / "gpu.key", [tmp_path / "laptop.pub"])
    with serving(Echo(), keys=keys) as at:
        with placed(Echo(), place("laptop", "gpu", at.address)).open() as process:
            assert len(process(numbered(2))) == 2
        for key, peer, why in (
            ("other", "gpu", "does not know our key"),
            ("laptop", "other", "check that the peer key"),
            (None, None, "if it has keys, give our key"),
        ):
            started = time.monotonic()
            wrong = place(key, peer, at.address) if key else at
            with pytest.raises(StageError, match=why), placed(Echo(), wrong).open():
                pass
            assert time.monotonic() - started < 4


def test_a_host_that_was_restarted_is_used_again(caplog):
    stage = Clumsy()
    with serving(stage) as place:
        port = place.address
        context = placed(stage, place).open()
        process = context.__enter__()
        assert len(process(numbered(2))) == 2
    with pytest.raises(FrameLost):
        while True:  # until the silence is noticed
            process(live(numbered(1)))
    with serving(stage, port):
        assert len(process(numbered(2))) == 2
    context.__exit__(None, None, None)
    assert "broke off the connection; connecting again in" in caplog.text
    assert "is open again after" in caplog.text


def test_a_hello_that_is_lost_is_said_again():
    port = Listener()
    heard = []

    def serve():
        while Signal("bye") not in heard:
            for arrival in port.receive(0.02)[0]:
                heard.append(decode(arrival.header))
                known = sum(isinstance(message, Hello) for message in heard) == 2
                port.send(encode(Welcome(1, {}) if known else Signal("unknown")), peer=arrival.peer)

    address = port.listen("tcp://127.0.0.1:0")
    thread = threading.Thread(target=serve)
    thread.start()
    with placed(Echo(), Place("tcp", address)).open():
        pass
    thread.join()
    port.close()
    assert [type(message) for message in heard[:2]] == [Hello, Hello]


def test_ten_thousand_mutated_answers_harm_no_client(caplog):
    """A stage that sends noise, and the right answers among it."""
    port = Listener()
    address = port.listen("tcp://127.0.0.1:0")
    items = numbered(2)
    real = [[encode(Welcome(1, {}))], [encode(Signal("pong"))], [encode(Done(10**6, (ResultEntry(),)))]]
    stop = threading.Event()

    def send(header, parts, peer):
        while not port.send(header, [np.frombuffer(part, np.uint8) for part in parts], peer):
            time.sleep(0.001)  # the queue is full

    def serve():
        noise = mutations(real, 10_000, seed=8)
        while not stop.is_set():
            for arrival in port.receive(0.02)[0]:
                message = decode(arrival.header)
                match message:
                    case Hello():
                        port.know(arrival.descriptor)  # else it is cut off after some seconds
                        port.send(encode(Welcome(1, {})), peer=arrival.peer)
                    case Signal("ping"):
                        port.send(encode(Signal("pong")), peer=arrival.peer)
                    case Signal():
                        pass
                    case work:
                        for header, *parts in (m for m, _ in zip(noise, range(200), strict=False)):  # pings wait for it
                            send(header, parts, arrival.peer)
                        send(encode(Done(work.id, (ResultEntry(),) * len(work.items))), [], arrival.peer)

    thread = threading.Thread(target=serve)
    thread.start()
    stage = placed(Echo(), Place("tcp", address))
    try:
        with stage.open() as process:
            for _ in range(50):
                assert len(process(items)) == 2
            assert stage._connection.client.connection.malformed > 3000
    finally:
        stop.set()
        thread.join()
        port.close()
    assert len(caplog.records) < 100
