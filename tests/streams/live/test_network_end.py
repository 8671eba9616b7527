"""What has an end: a playlist that says so, a file, a recorder's playback. It is shown once, at its own speed."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from clips import write_clip
from live_page import FPS, marked
from marks import read_mark
from rtsp import RtspServer, need_rtsp_server

from watchline.pipeline import camera
from watchline.pipeline.backoff import Backoff
from watchline.pipeline.message import End, Failure, Item, State
from watchline.pipeline.runner import Runner
from watchline.streams.live.network import NetworkSource

FRAMES = 2 * FPS


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder of files, and the address of its server."""
    monkeypatch.setattr(camera, "AGAIN", Backoff(first=0.02, ceiling=0.1))
    monkeypatch.setattr(camera, "LATER", Backoff(first=0.04, ceiling=0.1))
    options = {"bf": "0", "g": str(FPS // 2)}
    write_clip(
        tmp_path / "ended.m3u8", FRAMES, (320, 180), rate=FPS, draw=marked, format="hls", options=options,
        container={"hls_time": "0.5", "hls_list_size": "0"},
    )  # fmt: skip
    for name in ("file.mp4", "file.ts", "file.mkv"):
        write_clip(tmp_path / name, FRAMES, (320, 180), rate=FPS, draw=marked, options=options)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield tmp_path, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def watched(url, enough=lambda message: False):
    """All messages, until the run ends by itself, or after the message that is `enough`."""
    runner, messages = Runner([]), []
    timer = threading.Timer(20, runner.stop)
    timer.start()
    for message in runner.run([NetworkSource(url, "gate")]):
        messages.append(message)
        if enough(message):
            runner.stop()
    timer.cancel()
    return messages


@pytest.mark.parametrize("name", ["ended.m3u8", "file.mp4", "file.ts", "file.mkv"])
def test_it_is_shown_once_at_its_own_speed(web, name, caplog):
    started = time.monotonic()
    messages = watched(f"{web[1]}/{name}")
    assert time.monotonic() - started > 0.9 * FRAMES / FPS
    counters = [read_mark(m.frame.image).counter for m in messages if isinstance(m, Item)]
    assert counters == sorted(set(counters)), "nothing is shown twice"
    assert len(counters) > FRAMES / 2  # on a busy machine newer ones take the place of some
    states = [m.state for m in messages if isinstance(m, State) and m.state != "stalled"]
    assert list(dict.fromkeys(states)) == ["connecting", "live", "ended"]
    [why] = [m.why for m in messages if isinstance(m, State) and m.state == "ended"]
    assert "has an end" in why
    assert caplog.messages.count(f"gate: {why}") == 1
    assert messages[-1] == End("gate", whole=True)


def test_a_recorders_playback_is_shown_once(web):
    need_rtsp_server()
    with RtspServer("--file", str(web[0] / "file.mp4")) as server:
        messages = watched(server.url("/file"))
    counters = [read_mark(m.frame.image).counter for m in messages if isinstance(m, Item)]
    assert counters == sorted(set(counters))
    assert len(counters) > FRAMES / 2
    assert messages[-1] == End("gate", whole=True)


def test_what_was_live_is_tried_again_when_it_has_an_end_but_its_recording_is_not_shown(web):
    playlist = web[0] / "ended.m3u8"
    ended = playlist.read_text()
    playlist.write_text(ended.replace("#EXT-X-ENDLIST\n", ""))
    threading.Timer(0.5, partial(playlist.write_text, ended)).start()
    messages = watched(
        f"{web[1]}/ended.m3u8", lambda m: isinstance(m, State) and m.state == "retrying" and m.epoch == 2
    )
    counters = [read_mark(m.frame.image).counter for m in messages if isinstance(m, Item)]
    assert counters
    assert counters == sorted(set(counters))
    first, *others = [m.why for m in messages if isinstance(m, State) and m.state == "retrying"]
    assert first == "the stream ended"
    assert len(others) == 2
    assert all("has an end now" in why for why in others)


def test_a_file_that_is_cut_off_is_not_begun_again(web):
    cut = web[0] / "cut.mp4"
    write_clip(cut, FRAMES, (320, 180), rate=FPS, draw=marked, container={"movflags": "faststart"})
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    messages = watched(f"{web[1]}/cut.mp4")
    counters = [read_mark(m.frame.image).counter for m in messages if isinstance(m, Item)]
    assert 0 < len(counters) < FRAMES
    assert counters == sorted(set(counters))
    assert isinstance(messages[-1], End | Failure)
