"""Cameras that speak HTTP: a stream of JPEGs, and HLS, from a real server that may freeze, refuse and lie."""

import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, pairwise

import cv2
import pytest
from clips import write_clip
from live_page import marked
from marks import read_mark

from watchline.streams.errors import (
    SourceDenied,
    SourceLost,
    SourceNotFound,
    SourceTimeout,
    SourceUnsupported,
    StreamError,
)
from watchline.streams.live.network import NetworkSource
from watchline.streams.source import LIVE_TIME_BASE, Missed

SEGMENT = 1.0  # seconds
FPS = 20


HLS = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n"
END = "#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n"
LIES = {  # each makes some player read the local file
    "/file.m3u8": HLS + END.replace("{0}", "file://{0}"),
    "/path.m3u8": HLS + END,
    "/map.m3u8": HLS + '#EXT-X-MAP:URI="file://{0}"\n' + END.replace("{0}", "segment0.ts"),
    "/key.m3u8": HLS + '#EXT-X-KEY:METHOD=AES-128,URI="file://{0}"\n' + END.replace("{0}", "segment0.ts"),
    "/crypto.m3u8": HLS + END.replace("{0}", "crypto+file://{0}"),
    "/subfile.m3u8": HLS + END.replace("{0}", "subfile,,start,0,end,0,,:{0}"),
    "/master.m3u8": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile://{0}\n",
    "/concat.txt": "ffconcat version 1.0\nfile 'file:{0}'\n",
    "/concat-path.txt": "ffconcat version 1.0\nfile '{0}'\n",
}


class Handler(BaseHTTPRequestHandler):
    """Serves by path; `self.server` has `segments` (bytes of MPEG-TS) and `began`."""

    def do_GET(self):
        path = self.path.partition("?")[0]
        with suppress(OSError):
            if path.startswith("/mjpeg"):
                self.mjpeg(freeze_after={"/mjpeg-freezes": 10}.get(path), damage_every={"/mjpeg-damaged": 5}.get(path))
            elif path == "/live.m3u8":
                self.playlist()
            elif path.startswith("/segment"):
                self.give(self.server.segments[int(path[8:-3])], "video/mp2t")
            elif path in LIES:
                self.give(LIES[path].format(self.server.local).encode(), "application/vnd.apple.mpegurl")
            elif path == "/page":
                self.give(b"<html><body>Welcome to your camera</body></html>", "text/html")
            elif path == "/silent":
                self.server.over.wait(20)
            else:
                self.send_error({"/401": 401, "/403": 403, "/503": 503}.get(path, 404))

    def give(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def mjpeg(self, freeze_after, damage_every):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        started = time.monotonic()
        for number in count():
            if number == freeze_after:
                self.server.over.wait(20)
            image = cv2.imencode(".jpg", marked(number))[1].tobytes()
            if damage_every and number % damage_every == damage_every - 1:
                image = image[: len(image) // 2]
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
            self.wfile.write(head.encode() + image + b"\r\n")
            if self.server.over.wait(max(0, started + (number + 1) / FPS - time.monotonic())):
                return

    def playlist(self):
        """The last three segments, as of now; the stream began five segments before the server did."""
        newest = int((time.monotonic() - self.server.began) / SEGMENT) + 5
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{newest - 2}"]
        for number in range(newest - 2, newest + 1):
            lines += [f"#EXTINF:{SEGMENT:.3f},", f"segment{number}.ts"]
        self.give("\n".join([*lines, ""]).encode(), "application/vnd.apple.mpegurl")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.over = threading.Event()
    frames = int(SEGMENT * FPS)
    write_clip(
        folder / "live.m3u8", 20 * frames, (320, 180), rate=FPS, draw=marked, format="hls",
        options={"bf": "0", "g": str(frames)}, container={"hls_time": f"{SEGMENT}", "hls_list_size": "0"},
    )  # fmt: skip
    server.segments = [(folder / f"live{number}.ts").read_bytes() for number in range(20)]
    server.local = folder / "live0.ts"
    server.began = time.monotonic()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


def address(web, path):
    return f"http://gate:canary@127.0.0.1:{web.server_port}{path}"


def watch(source, count, work=lambda number: None):
    frames, counters, times, missed = [], [], [], []
    with source.open() as reader:
        for got in reader:
            if isinstance(got, Missed):
                missed.append(got)
                continue
            times.append(time.monotonic())
            frames.append(got)
            mark = read_mark(got.picture.bgr())
            counters.append(mark and mark.counter)
            work(len(frames))
            if len(frames) == count:
                break
    return frames, counters, times, missed, reader.about


def test_a_stream_of_jpegs_has_the_times_of_arrival(web):
    frames, counters, times, missed, about = watch(NetworkSource(address(web, "/mjpeg?x=canary"), "gate"), 20)
    assert missed == []
    assert counters == list(range(counters[0], counters[0] + 20))
    assert {(f.stream, f.width, f.height, f.time_base) for f in frames} == {("gate", 320, 180, LIVE_TIME_BASE)}
    assert frames[0].pts == 0
    for frame, at in zip(frames[5:], times[5:], strict=True):
        assert float(frame.pts * LIVE_TIME_BASE) == pytest.approx(frame.arrival - frames[0].arrival, abs=0.01)
        assert 0 <= at - frame.arrival < 0.1
    assert times[19] - times[0] == pytest.approx(19 / FPS, abs=0.2)
    assert (about.name, about.codec) == (f"http://127.0.0.1:{web.server_port}/mjpeg", "mjpeg")
    assert about.rate is None


def test_damaged_jpegs_are_missed_alone(web):
    frames, counters, _, missed, _ = watch(NetworkSource(address(web, "/mjpeg-damaged")), 20)
    assert None not in counters
    assert not [number for number in counters if number % 5 == 4]
    assert {m.cause for m in missed} == {"damaged"}
    assert len(frames) + sum(m.frames for m in missed) == counters[-1] - counters[0] + 1


def test_pictures_larger_than_the_limit_are_not_decoded(web, monkeypatch):
    monkeypatch.setattr("watchline.streams.live.reader.MAX_PIXELS", 320 * 180 - 1)
    monkeypatch.setattr("watchline.streams.live.reader.KEY_PATIENCE", 1.0)
    with pytest.raises(SourceTimeout), NetworkSource(address(web, "/mjpeg"), read_timeout=1).open():
        pass


def test_a_slow_reader_of_jpegs_sees_what_is_new(web):
    _, counters, _, missed, _ = watch(NetworkSource(address(web, "/mjpeg")), 12, lambda number: time.sleep(0.3))
    assert {m.cause for m in missed} == {"behind"}
    assert len(counters) + sum(m.frames for m in missed) == counters[-1] - counters[0] + 1


def test_hls_is_given_at_its_own_pace(web):
    web.began = time.monotonic()  # there are segments for 15 seconds from here
    source = NetworkSource(address(web, "/live.m3u8"), open_timeout=20, read_timeout=20)
    frames, counters, times, missed, about = watch(source, 40)
    assert missed == []
    assert counters == list(range(counters[0], counters[0] + 40))
    assert times[39] - times[0] == pytest.approx(39 / FPS, abs=1.0)
    assert max(b - a for a, b in pairwise(times)) < 0.8, "a segment comes at once, its frames do not"
    assert all(b.pts - a.pts == pytest.approx(90_000 / FPS, abs=2) for a, b in pairwise(frames))
    assert about.codec == "h264"


@pytest.mark.parametrize("path", LIES)
def test_no_playlist_opens_a_local_file(web, path):
    with pytest.raises(StreamError), NetworkSource(address(web, path)).open():
        pass


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/401", SourceDenied, "refused user name or password (401); check them"),
        ("/403", SourceDenied, "refused user name or password (403); check them"),
        ("/nope", SourceNotFound, "does not have this path (404); check what follows the host"),
        ("/503", SourceLost, "refused GET: 503 Service Unavailable; "),
        ("/page", SourceUnsupported, "sends nothing that is a video"),
    ],
)
def test_what_is_wrong_is_told(web, path, error, message):
    with pytest.raises(error) as told, NetworkSource(address(web, path), "gate").open():
        pass
    assert message in str(told.value)
    assert str(told.value).startswith(f"gate: the camera at http://127.0.0.1:{web.server_port}{path} ")
    assert "canary" not in str(told.value)


def test_silence_is_not_waited_for(web):
    started = time.monotonic()
    with (
        pytest.raises(SourceTimeout, match="did not answer within 1 s"),
        NetworkSource(address(web, "/silent"), open_timeout=1).open(),
    ):
        pass
    assert time.monotonic() - started < 2
    with NetworkSource(address(web, "/mjpeg-freezes"), read_timeout=1).open() as reader:
        given = []
        with pytest.raises(SourceTimeout, match="sent nothing for 1 s"):
            for _ in reader:
                given.append(time.monotonic())
        assert 0.9 < time.monotonic() - given[-1] < 1.5
        left = time.monotonic()
    assert time.monotonic() - left < 1.5
