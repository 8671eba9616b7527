"""An annotated video plays in a browser: headless Chromium loads it, decodes it, moves on through it, and shows its
subtitles. A benchmark's report fits the width of a phone.
"""

import json
import os
import queue
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from labelled_street import BOX, STREET, contender, data, picture

from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.mistakes import mistakes_of
from watchline.measure.report import parts
from watchline.measure.report.page import page
from watchline.pipeline.drawing.page import page as zones_page
from watchline.streams.file import FileSource
from watchline.streams.write.mp4 import Mp4Sink

ROOT = Path(__file__).parents[1]
PAGE = """<!doctype html>
<video id="video" src="bikes.mp4" muted autoplay playsinline><track src="bikes.vtt" default></video>
<script>
  const video = document.getElementById("video");
  const report = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });
  const [track, shown] = [video.textTracks[0], []];
  const told = (cues) =>
    Array.from(cues ?? [], (cue) => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent]);
  track.oncuechange = () => shown.push(...told(track.activeCues));
  video.onerror = () => report({ error: video.error.message });
  video.ontimeupdate = () => {
    if (video.currentTime < 1) return;
    video.ontimeupdate = null;
    const frames = video.getVideoPlaybackQuality().totalVideoFrames;
    const all = told(track.cues);
    report({ width: video.videoWidth, height: video.videoHeight, seconds: video.duration, frames, all, shown });
  };
  setTimeout(() => report({ error: `stalled at ${video.currentTime} s, ready state ${video.readyState}` }), 45000);
</script>
"""

PHONE = """<!doctype html>
<iframe width="390" height="800" src="report.html"></iframe>
<script>
  const report = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });
  document.querySelector("iframe").onload = async (event) => {
    const page = event.target.contentDocument;
    const pictures = [...page.images];
    pictures.forEach((picture) => (picture.loading = "eager"));
    await Promise.all(pictures.map((picture) => picture.decode()));
    report({
      width: page.documentElement.scrollWidth,
      pictures: pictures.map((picture) => picture.naturalWidth),
      curves: [...page.querySelectorAll("svg .line")].map((line) => line.getTotalLength()),
      size: getComputedStyle(page.body).fontSize,
    });
  };
  setTimeout(() => report({ error: "the report was not loaded" }), 45000);
</script>
"""

ZONES = """<!doctype html>
<iframe width="900" height="900" src="zones.html"></iframe>
<script>
  const report = (what) => fetch("/report", { method: "POST", body: JSON.stringify(what) });
  document.querySelector("iframe").onload = (event) => {
    const { contentDocument: page, contentWindow: view } = event.target;
    const svg = page.querySelector("svg");
    const send = (target, kind, x, y) => {
      const box = svg.getBoundingClientRect();
      const [clientX, clientY] = [box.left + x * box.width, box.top + y * box.height];
      target.dispatchEvent(new view.PointerEvent(kind, { clientX, clientY, bubbles: true, pointerId: 1 }));
    };
    const press = (id) => page.getElementById(id).click();
    view.onunhandledrejection = view.onerror = (error) => report({ error: String(error.reason ?? error) });
    press("zone");
    [[0.1, 0.2], [0.6, 0.2], [0.6, 0.9], [0.6, 0.9]].forEach(([x, y]) => send(svg, "click", x, y));
    send(svg, "dblclick", 0.6, 0.9);
    page.getElementById("name").value = "porch";
    page.getElementById("name").dispatchEvent(new view.Event("input"));
    send(page.querySelectorAll("circle")[0], "pointerdown", 0.1, 0.2);
    send(svg, "pointermove", 0.25, 0.3);
    send(svg, "pointerup", 0.25, 0.3);
    press("line");
    send(svg, "click", 0, 0.5);
    send(svg, "click", 1, 0.5);
    press("line");
    send(svg, "click", 0.5, 0.5);
    press("save");
  };
  setTimeout(() => report({ error: "nothing was saved" }), 45000);
</script>
"""


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and hands what the page reports to the test."""

    def __init__(self, *args: Any, reports: "queue.Queue[dict[str, Any]]", **options: Any) -> None:
        self.reports = reports
        super().__init__(*args, **options)

    def do_POST(self) -> None:
        self.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not news."""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found:
        return found
    reason = "no Chromium: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def serving(folder: Path, reports: "queue.Queue[dict[str, Any]]") -> Iterator[str]:
    """The folder on the loopback interface; gives its address."""
    handler = partial(Handler, directory=str(folder), reports=reports)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def browsing(chromium: str, address: str, profile: Path) -> Iterator[None]:
    """A browser of its own, with an empty profile, on the page."""
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"]
    command += [*quiet, "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}"]
    with (profile.parent / "chromium.log").open("w") as log:
        process = subprocess.Popen([*command, address], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def play(chromium: str, folder: Path, scratch: Path, page: str = PAGE) -> dict[str, Any]:
    """Open the page and wait for what it says of the file in the folder, at most two minutes."""
    (folder / "index.html").write_text(page)
    reports: queue.Queue[dict[str, Any]] = queue.Queue()
    with serving(folder, reports) as address, browsing(chromium, address, scratch / "profile"):
        try:
            return reports.get(timeout=120)
        except queue.Empty:
            return {"error": "the page was silent", "log": (scratch / "chromium.log").read_text()[-2000:]}


@pytest.mark.timeout(300)  # it annotates ten seconds of video first, perhaps on a busy machine
def test_an_annotated_video_plays(chromium: str, bikes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "watchline", "annotate", str(bikes), "--out", str(out), "--every", "5"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = play(chromium, out, tmp_path)
    assert "error" not in seen, seen
    assert (seen["width"], seen["height"]) == (640, 272)
    assert seen["seconds"] == pytest.approx(10.0, abs=0.1)
    assert seen["frames"] >= 10
    assert seen["all"] == []


def test_a_report_of_a_benchmark_fits_a_phone(chromium: str, tmp_path: Path) -> None:
    """Its curves and pictures are seen under its own policy, which forbids all that is not in the file."""
    classes = tuple(f"a class of a long name {n}" for n in range(9))
    seen_by = contender(("person", "car", *classes), {"a": [(BOX, "person", 0.9)]}, name="a_model_of_a_long_name.onnx")
    pictures = [*STREET, picture("c", *[(BOX, name) for name in classes])]
    result = benchmark(data(*pictures), [seen_by, seen_by], Counting("coco", samples=20))
    out = tmp_path / "out"
    out.mkdir()
    mistakes = [mistakes_of(result, outcome) for outcome in result.outcomes]
    parts.write(out / "report.html", page(result, mistakes, ["what ran " * 9]))
    seen = play(chromium, out, tmp_path, PHONE)
    assert "error" not in seen, seen
    assert seen["width"] <= 390
    assert seen["size"] == "15px"
    assert len(seen["pictures"]) == 6
    assert all(width == 560 for width in seen["pictures"])
    assert max(seen["curves"]) > 100


def test_zones_are_drawn_moved_named_and_saved(chromium: str, tmp_path: Path) -> None:
    """What was begun and not finished is not saved; what was there before stays."""
    out = tmp_path / "out"
    out.mkdir()
    there = {"kind": "lines", "name": "<sill>", "was": "<sill>", "points": [[0.1, 0.1], [0.9, 0.1]]}
    (out / "zones.html").write_text(zones_page("door", np.full((180, 320, 3), 90, np.uint8), [there]))
    saved = play(chromium, out, tmp_path, ZONES)
    assert isinstance(saved, list), saved
    corners = [[0.25, 0.3], [0.6, 0.2], [0.6, 0.9]], [[0, 0.5], [1, 0.5]]
    assert saved[0] == there
    assert [(one["kind"], one["name"], one["was"]) for one in saved[1:]] == [
        ("zones", "porch", None),
        ("lines", "line-1", None),
    ]
    for one, points in zip(saved[1:], corners, strict=True):
        assert np.array(one["points"]) == pytest.approx(np.array(points), abs=0.004), "clicks are in whole pixels"


def test_its_subtitles_are_shown(chromium: str, bikes: Path, tmp_path: Path) -> None:
    """Chromium's own parser reads them, with all that HTML would make of them."""
    told = [(0.0, "a street"), (0.8, "a <b>man</b> & a dog --> a boy in a blue shirt on a ladder"), (2.0, "&lt; é")]
    out = tmp_path / "out"
    sink = Mp4Sink(preset="ultrafast")
    with FileSource(bikes).open() as reader, sink.open(out / "bikes.mp4", reader.about, subtitles=True) as mp4:
        for frame in islice(reader, 75):
            text = next(text for begin, text in reversed(told) if begin <= frame.seconds)
            mp4.write(frame.image, frame.pts, frame.time_base, text)
    seen = play(chromium, out, tmp_path)
    assert "error" not in seen, seen
    begins = [begin for begin, _ in told]
    assert [cue[:2] for cue in seen["all"]] == [list(pair) for pair in zip(begins, [*begins[1:], 3.0], strict=True)]
    assert [" ".join(text.split()) for *_, text in seen["all"]] == [text for _, text in told]
    assert seen["shown"]
    assert all(cue in seen["all"] for cue in seen["shown"])


def test_a_broken_video_is_seen_as_broken(chromium: str, tmp_path: Path) -> None:
    """The test above can fail: what is no video does not play."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "bikes.mp4").write_bytes(b"no video" * 1000)
    assert "error" in play(chromium, out, tmp_path)


def test_the_lecture_s_page_shows_each_system_on_a_phone(chromium: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, ROOT / "examples" / "lecture.py", ROOT / "docs" / "bikes.jpg", out / "report.html"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = play(chromium, out, tmp_path, PHONE)
    assert "error" not in seen, seen
    assert seen["width"] <= 390
    assert len(seen["pictures"]) == 8
    assert min(seen["pictures"]) >= 600
