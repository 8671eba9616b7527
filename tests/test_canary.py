"""A password is told to the camera and to nobody else: a canary in many addresses, searched in all that a run lets out.

Searched for are the letters that stay as they are however the password is encoded, and what HTTP's and RTSP's basic
login make of it.
"""

import base64
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import onnx
import pytest
from models_onnx import tiny_detector
from rtsp import RtspServer, need_rtsp_server

from watchline.pipeline.message import State
from watchline.pipeline.runner import Runner
from watchline.pipeline.streams import Stream, typed
from watchline.streams.errors import StreamError
from watchline.streams.live.network import NetworkSource

BIRD = "CaNaRyBiRd"
PASSWORD = f"{BIRD}@7:x%y!#é"
ENCODED = quote(PASSWORD, safe="")
IN_BASE64 = [  # three ways, by where it stands; letters that its neighbours have a share in left out
    base64.b64encode(b"\0" * before + BIRD.encode()).decode()[-(-8 * before // 6) : 8 * (before + len(BIRD)) // 6]
    for before in range(3)
]
TRACES = re.compile(f"(?i:{BIRD})|{'|'.join(IN_BASE64)}")
SMALL = ("--size", "160x96", "--fps", "10", "--gop", "5", "--kbps", "500")


class Guarded(http.server.BaseHTTPRequestHandler):
    """Lets nobody in, or knows nothing."""

    def do_GET(self) -> None:
        self.send_error(401 if self.path.startswith("/401") else 404)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@dataclass(frozen=True)
class Place:
    """Cameras of every kind. `words`: an address each, by a name for it; `frozen` is to be frozen when it is live."""

    words: dict[str, str]
    frozen: RtspServer


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    need_rtsp_server()
    with ExitStack() as opened:
        basic = opened.enter_context(RtspServer(*SMALL, "--auth", "basic", login=f"gate:{PASSWORD}"))
        digest = opened.enter_context(RtspServer(*SMALL, "--auth", "digest", login=f"gate:{PASSWORD}"))
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
        web.daemon_threads = True
        serving = threading.Thread(target=web.serve_forever)
        serving.start()
        opened.callback(serving.join)
        opened.callback(web.server_close)
        opened.callback(web.shutdown)
        login, encoded = f"gate:{PASSWORD}", f"gate:{ENCODED}"
        at, page = f"127.0.0.1:{basic.port}", f"127.0.0.1:{web.server_port}"
        words = {
            "good": f"rtsp://{encoded}@{at}/live",
            "good-as-typed": f"rtsp://{login}@{at}/live?key={BIRD}",
            "digest": f"rtsp://{login}@127.0.0.1:{digest.port}/live",
            "wrong": f"rtsp://{encoded}-wrong@{at}/live",
            "nobody": f"rtsp://{BIRD}@{at}/live",
            "path": f"rtsp://{login}@{at}/nope?token={BIRD}",
            "in-path": f"rtsp://{at}/user=gate&password={BIRD}&channel=1",
            "refused": f"rtsp://{login}@127.0.0.1:9/live",
            "no-host": f"rtsp://{encoded}@no-such-host.invalid/live",
            "no-video": f"rtsp://{login}@{at}/strange",
            "http-401": f"http://{login}@{page}/401?key={BIRD}",
            "http-404": f"http://{encoded}@{page}/404",
            "http-refused": f"http://{login}@127.0.0.1:9/x.m3u8",
            "http-no-answer": f"http://{login}@{at}/live",
            "https": f"https://{login}@{page}/401",
            "rtsps": f"rtsps://{login}@{page}/live",
        }
        yield Place(words, digest)


def is_silent(where: str, text: str | bytes) -> None:
    text = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
    found = TRACES.search(text)
    assert found is None, f"in {where}: …{text[max(0, found.start() - 300) : found.end() + 100]}…"


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        mine = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return []
    return [pid, *(each for child in mine for each in family(child))]


def titles(pid: int) -> str:
    """What any user of the machine sees of a process."""
    names = [*Path(f"/proc/{pid}").glob("cmdline"), *Path(f"/proc/{pid}/task").glob("*/comm")]
    texts = []
    for name in names:
        with suppress(OSError):  # it has just ended
            texts.append(name.read_bytes().decode(errors="replace"))
    return "\n".join(texts)


def watch(folder: Path, words: list[str], place: Place, env: dict[str, str]) -> None:
    """Runs until every camera has come to something, one of them frozen on the way; searches everything."""
    onnx.save(tiny_detector(), folder / "tiny.onnx")
    (folder / "log").mkdir()
    command = [sys.executable, "-m", "watchline", "run", *words, "-v", "--model", "tiny.onnx", "--imgsz", "128x64"]
    command += ["--out", "out", "--jsonl", "-", "--report", "log/report.json", "--place", "detector=process"]
    out, err = folder / "log" / "stdout", folder / "log" / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=stderr, env={**os.environ, **env})
    try:
        until = time.monotonic() + 30
        seen: set[int] = set()
        while out.read_text().count('"retrying"') < len(place.words) - 3 or out.read_text().count('"frame"') < 30:
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < until, err.read_text()
            time.sleep(0.1)
            if err.stat().st_size:  # it has begun
                seen |= set(family(process.pid))
                for pid in family(process.pid):
                    is_silent(f"the title of process {pid}", titles(pid))
        assert len(seen) > 1, "the detector has a process of its own"
        place.frozen.freeze()
        time.sleep(5)
    finally:
        place.frozen.thaw()
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        finally:
            process.kill()
    assert process.returncode == 0
    for path in [path for part in ("log", "out") for path in (folder / part).rglob("*")]:
        is_silent("a file's name", str(path.relative_to(folder)))
        is_silent(path.name, path.read_bytes())
    said = err.read_text()
    assert "refused user name or password (401)" in said
    assert "nothing listens" in said
    assert "Traceback" not in said


def test_addresses_on_the_command_line(place: Place, tmp_path: Path) -> None:
    watch(tmp_path, list(place.words.values()), place, {})


@pytest.mark.parametrize("by_name", [False, True], ids=["as it is", "from the environment"])
def test_addresses_in_a_config(place: Place, tmp_path: Path, by_name: bool) -> None:
    words = {name: word.replace(PASSWORD, "${SECRET}") if by_name else word for name, word in place.words.items()}
    tables = [f"[streams.{name}]\nsource = '{word}'\n" for name, word in words.items()]
    (tmp_path / "watchline.toml").write_text("".join(tables))
    watch(tmp_path, ["watchline.toml"], place, {"SECRET": PASSWORD})


def everything_of(error: BaseException) -> Iterator[str]:
    """All that an error shows, and all errors behind it, those too that a traceback leaves out."""
    yield from (str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", "")))
    yield from (repr(value) for value in vars(error).values())
    yield "".join(traceback.format_exception(error))
    for behind in (error.__cause__, error.__context__):
        if behind is not None:
            yield from everything_of(behind)


def test_errors_and_what_is_behind_them(place: Place) -> None:
    failed = 0
    for name, word in place.words.items():
        source = NetworkSource(word, open_timeout=1.0, read_timeout=1.0)
        for text in (repr(source), str(source), source.name, source.stream):
            is_silent(name, text)
        try:
            with source.open() as reader:
                is_silent(name, repr(reader.about))
        except StreamError as error:
            failed += 1
            for text in everything_of(error):
                is_silent(name, text)
    assert failed >= len(place.words) - 4


def test_addresses_that_are_none() -> None:
    for word in (f"rtsp://gate:{BIRD}@host:port/x", f"ftp://gate:{BIRD}@host/x", f"rtsp://gate:{BIRD}/a@b@c:d/x"):
        for problem in typed([word], {}, {}).problems:
            is_silent(word, problem)
        with pytest.raises(ValueError, match="transport") as told:
            Stream(source=word, transport="smoke")
        is_silent(word, repr(Stream(source=word)))
        for text in everything_of(told.value):
            is_silent(word, text)


def test_messages(place: Place) -> None:
    """What the API gives to whoever watches."""
    sources = typed([place.words[name] for name in ("refused", "wrong", "path", "in-path", "http-401")], {}, {}).sources
    runner = Runner([])
    retrying: set[str] = set()
    for message in runner.run(sources):
        is_silent(message.stream, repr(message))
        if isinstance(message, State) and message.state == "retrying":
            retrying.add(message.stream)
            if len(retrying) == len(sources):
                runner.stop()
    assert len(retrying) == len(sources)
