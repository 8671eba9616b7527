"""A stage on another host whose link is cut in the middle."""

import logging
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from cut_link import Proxy, wire
from odd_stages import Clumsy
from pipelines import Numbers, numbered

from watchline.pipeline.errors import FrameLost
from watchline.pipeline.message import End, Item
from watchline.pipeline.remote.keys import write_pair
from watchline.pipeline.remote.placed import Place, place_of, placed
from watchline.pipeline.remote.server import Server
from watchline.pipeline.runner import Runner
from watchline.pipeline.stages.detector import Detector


@pytest.fixture
def server():
    with Server("odd_stages:Clumsy", "tcp://127.0.0.1:0") as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server
        server.stop()
        thread.join()


@pytest.fixture
def proxy(server):
    with Proxy(int(server.address.rsplit(":", 1)[1])) as proxy:
        yield proxy


def outcome(process, item):
    """How a live frame fares, and how many seconds that takes."""
    started = time.monotonic()
    try:
        process([replace(item, deadline=started + 0.5)])
    except FrameLost as error:
        return error.cause, time.monotonic() - started
    return "done", time.monotonic() - started


def test_a_cut_link_costs_live_frames_but_never_time(proxy, caplog):
    [item] = numbered(1)
    with placed(Clumsy(), Place("tcp", proxy.address)).open() as process:
        assert outcome(process, item)[0] == "done"
        proxy.silent = True
        cause, seconds = outcome(process, item)  # in its hands when the link is cut: lost once the silence is noticed
        assert (cause, seconds < 5) == ("clumsy lost", True)
        times = []
        while len(times) < 20:
            cause, seconds = outcome(process, item)
            assert cause == "clumsy lost"
            times.append(seconds)
            time.sleep(0.02)
        assert max(times) < 0.5
        proxy.silent = False
        proxy.cut()  # a network that is back resets what it has forgotten
        back = time.monotonic()
        while outcome(process, item)[0] != "done":
            assert time.monotonic() - back < 5
            time.sleep(0.05)
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and "remote" in r.name]
    assert said[0].startswith(f"clumsy at {proxy.address} said nothing for 3 s; connecting again in 0.")
    assert said[-1].startswith(f"clumsy at {proxy.address} is open again after")


def test_frames_of_files_are_all_done_however_often_the_link_is_cut(proxy, caplog):
    stage = placed(Clumsy(slow=0.05), Place("tcp", proxy.address))
    cuts = [threading.Timer(seconds, proxy.cut) for seconds in (0.3, 1.5, 2.5)]
    for cut in cuts:
        cut.start()
    messages = list(Runner([stage]).run([Numbers("a", 60)]))
    for cut in cuts:
        cut.join()
    assert [m.detections.xyxy[0, 0] for m in messages if isinstance(m, Item)] == [*range(60)]
    assert isinstance(messages[-1], End)
    assert caplog.text.count("broke off the connection; connecting again in") >= 2


def test_a_stage_on_another_host_survives_a_pulled_cable(tmp_path):
    write_pair(tmp_path / "laptop"), write_pair(tmp_path / "gpu")
    with wire() as cable:
        words = ["stage", "detector", "--listen", f"tcp://{cable.there}:0", "--key", str(tmp_path / "gpu.key")]
        command = [*cable.enter, sys.executable, "-m", "watchline", *words, "--allow", str(tmp_path / "laptop.pub")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
            address = host.stdout.readline().split()[-1]
            assert address.startswith(f"tcp://{cable.there}:")
            place = place_of(address, tmp_path / "laptop.key", tmp_path / "gpu.pub")
            with placed(Detector(workers=1), place).open() as process:
                [item] = numbered(1)
                assert outcome(process, item)[0] == "done"
                cable.pull()
                assert outcome(process, item)[0] == "detector lost"
                threading.Timer(1, cable.plug).start()
                assert len(process([item])) == 1  # a file's frame waits
            host.terminate()
            assert host.wait(10) == 0
