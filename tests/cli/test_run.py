"""`watchline run` as a user has it: a process of its own, real cameras (tests/rtsp.py), files, signals, pipes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from cli.shell import Done, watchline, within
from clips import Image, decode, write_clip, write_photo
from ledger_of import ledger_of
from models_onnx import tiny_detector
from rtsp import RtspServer, need_rtsp_server

from watchline.files import PART

SMALL = ("--size", "320x180", "--fps", "15", "--gop", "8", "--kbps", "1500")
MODEL = ("--model", "tiny.onnx", "--imgsz", "128x64")
FRAMES = 30
LINE = jsonschema.Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())
)


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    need_rtsp_server()
    with RtspServer(*SMALL) as server:
        yield server


def red_square(index: int) -> Image:
    """Grey with a red square, which the tiny detector takes for a person."""
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:32, 8 * (index % 14) : 8 * (index % 14) + 16] = (0, 0, 255)
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_clip(tmp_path / "walk.mp4", FRAMES, (128, 64), draw=red_square, audio="aac")
    write_clip(tmp_path / "other.mp4", 7, (128, 64), draw=red_square)
    write_photo(tmp_path / "photo.png")
    (tmp_path / "text.mp4").write_text("no video\n" * 20)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


class Job:
    """`watchline run WORDS` under way; a `with` block ends it, however it stands."""

    def __init__(self, folder: Path, *words: str, env: dict[str, str] | None = None) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        self.folder = folder
        self.began = time.monotonic()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "watchline", "run", *words, *MODEL],
                stdout=out,
                stderr=err,
                cwd=folder,
                env={**os.environ, **(env or {})},
            )

    def __enter__(self) -> "Job":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until(self, is_so: Callable[[], bool], limit: float = 20.0) -> None:
        end = time.monotonic() + limit
        while not is_so():
            assert self.process.poll() is None, f"it ended:\n{self.err}"
            assert time.monotonic() < end, f"waited in vain:\n{self.err}\n{self.out[-2000:]}"
            time.sleep(0.05)

    def stop(self, within: float = 15.0) -> Done:
        """Ctrl-C, once. It takes a second on a machine that has nothing else to do."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(within)
        assert "Traceback" not in self.err
        return Done(code, self.out.splitlines(), self.err.splitlines())


def events(text: str) -> list[dict]:
    """The lines, each as docs/events.schema.json wants it."""
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        LINE.validate(line)
    return lines


def frames(lines: list[dict], stream: str) -> list[dict]:
    return [line for line in lines if line.get("stream") == stream and "frame" in line]


def frames_of(out: Path) -> dict[str, int]:
    """How many frames the events of each live stream in a folder have, over all files."""
    return {stream: account.frames for stream, account in ledger_of(out.glob("*.jsonl")).items()}


def pictures(out: Path, stream: str) -> int:
    """How many frames the videos of a live stream have."""
    return sum(len(decode(path).pictures) for path in out.glob(f"{stream}-{'?' * 8}T*.mp4"))


def test_files_give_the_bytes_of_annotate(folder: Path) -> None:
    words = ["walk.mp4", "other.mp4", "photo.png", *MODEL]
    assert within(folder, "annotate", *words, "--out", "annotated").code == 0
    done = watchline("run", *words, "--out", "run", cwd=folder)
    assert done.code == 0
    names = sorted(path.name for path in (folder / "annotated").iterdir())
    assert sorted(path.name for path in (folder / "run").iterdir()) == names
    assert {"walk.mp4", "walk.jsonl", "other.jsonl", "photo.png"} <= set(names)
    for name in names:
        assert (folder / "run" / name).read_bytes() == (folder / "annotated" / name).read_bytes(), name
    assert done.out[0].startswith(f"{FRAMES + 8} frames in ")


def test_cameras_and_a_file_at_once(folder: Path, server: RtspServer) -> None:
    words = [server.url(), server.url(), "walk.mp4", "--out", "out", "--jsonl", "-", "--report", "report.json"]
    with Job(folder, *words) as job:
        names = ["127.0.0.1-live", "127.0.0.1-live-2"]
        job.until(lambda: min(job.out.count(f'"{name}", "frame"') for name in names) > 20)
        done = job.stop()
    assert done.code == 0
    lines = events(job.out)
    assert [line["frame"] for line in frames(lines, "walk")] == list(range(FRAMES))
    out = folder / "out"
    (folder / "all.jsonl").write_text(job.out)
    together, apart = ledger_of([folder / "all.jsonl"]), ledger_of(out.glob("*.jsonl"))
    assert together == apart
    report = json.loads((folder / "report.json").read_text())
    for name in names:
        account = report["streams"][name]
        assert account["balances"]
        assert (account["annotated"], account["decoded"]) == (apart[name].frames, apart[name].decoded)
        assert apart[name].states == ["connecting", "live", "ended"]
        mine = frames(lines, name)
        assert all(line["epoch"] == 0 and 0 <= line["latency_ms"] < 500 for line in mine)
        times = [datetime.fromisoformat(line["time"]).timestamp() for line in mine]
        assert times == sorted(times)
        assert abs(times[-1] - time.time()) < 60
    assert pictures(out, names[1]) == apart[names[1]].frames
    assert len(decode(out / "walk.mp4").pictures) == FRAMES
    assert not list(out.glob(f"*{PART}"))
    assert f"{names[0]}: live" in job.err
    assert "stopping: the files are finished; Ctrl-C again leaves at once" in done.err


def test_the_first_frame_comes_soon(folder: Path, server: RtspServer) -> None:
    with Job(folder, server.url(), "--jsonl", "-") as job:
        job.until(lambda: '"frame"' in job.out)
        assert time.monotonic() - job.began < 15  # 1.5 on a machine that has nothing else to do: bench/latency.py
        assert job.stop().code == 0
    assert not (folder / "annotated").exists()


def test_a_config(folder: Path, server: RtspServer) -> None:
    (folder / "watchline.toml").write_text(
        f"out = 'out'\n[streams.gate]\nsource = '{server.url()}'\n"
        "[streams.yard]\nsource = 'walk.mp4'\nrealtime = true\n"
    )
    with Job(folder, "watchline.toml", "--no-video") as job:
        job.until(lambda: "yard: ended" in job.err and "gate: live" in job.err)
        assert job.stop().code == 0
    yard = ledger_of((folder / "out").glob("*.jsonl"))["yard"]
    assert yard.frames + sum(yard.dropped.values()) == FRAMES  # a slow machine drops some
    assert sorted({path.name.rpartition("-")[0] for path in (folder / "out").iterdir()}) == ["gate", "yard"]


def test_a_file_that_was_cut_is_told_by_the_exit_code(folder: Path, server: RtspServer) -> None:
    write_clip(folder / "long.mp4", 500, (128, 64), draw=red_square)
    with Job(folder, server.url(), "long.mp4", "--realtime", "--out", "out") as job:
        job.until(lambda: "long: live" in job.err and "127.0.0.1-live: live" in job.err)
        time.sleep(1)
        assert job.stop().code == 130
    for stream, count in frames_of(folder / "out").items():
        assert count == pictures(folder / "out", stream) > 0


def test_sigterm_counts_as_ctrl_c(folder: Path, server: RtspServer) -> None:
    with Job(folder, server.url(), "--jsonl", "events.jsonl") as job:
        job.until(lambda: (folder / "events.jsonl").exists() and '"frame"' in (folder / "events.jsonl").read_text())
        job.process.terminate()
        assert job.process.wait(3) == 0
    assert ledger_of([folder / "events.jsonl"])["127.0.0.1-live"].states[-1] == "ended"


def test_a_kill_leaves_what_plays_and_the_next_run_finishes_it(folder: Path, server: RtspServer) -> None:
    words = [server.url(), "--out", "out"]
    with Job(folder, *words) as job:
        job.until(lambda: any(path.read_text().count('"frame"') > 45 for path in folder.glob("out/*.jsonl.part")))
        job.process.kill()
    [part] = folder.glob(f"out/*.mp4{PART}")
    assert len(decode(part).pictures) >= 15  # of 45: the last second is not written yet
    with Job(folder, *words) as job:
        job.until(lambda: "is finished now" in job.err)
        assert job.stop().code == 0
    assert not part.exists()
    assert len(decode(part.with_name(part.name.removesuffix(PART))).pictures) >= 15


def test_split_outputs_lose_no_frame(folder: Path, server: RtspServer) -> None:
    """While pictures change their size as well."""
    with Job(folder, server.url("/resize"), "--out", "out", "--split", "2s", "--report", "report.json") as job:
        job.until(lambda: len(list(folder.glob("out/*.jsonl"))) > 4)
        assert job.stop().code == 0
    [account] = json.loads((folder / "report.json").read_text())["streams"].values()
    [told] = ledger_of(folder.glob("out/*.jsonl")).values()
    assert account["balances"]
    assert account["annotated"] == told.frames == pictures(folder / "out", "127.0.0.1-resize")
    assert account["decoded"] == told.decoded


def test_a_file_at_its_own_speed_for_ever(folder: Path) -> None:
    with Job(folder, "other.mp4", "--realtime", "--loop", "--jsonl", "-") as job:
        job.until(lambda: job.out.count('"frame"') > 25)
        job.stop()
    lines = events(job.out)
    mine = frames(lines, "other")
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in mine]
    assert (times[-1] - times[0]) == pytest.approx((mine[-1]["frame"] - mine[0]["frame"]) / 25, abs=0.2)
    (folder / "all.jsonl").write_text(job.out)
    assert ledger_of([folder / "all.jsonl"])["other"].states == ["connecting", "live", "ended"]


def test_a_file_at_its_own_speed_ends(folder: Path) -> None:
    done = watchline("run", "walk.mp4", "--realtime", "--no-video", "--out", "out", *MODEL, cwd=folder)
    assert done.code == 0
    account = ledger_of(folder.glob("out/*.jsonl"))["walk"]
    assert (account.decoded, account.states) == (FRAMES, ["connecting", "live", "ended"])


def test_a_camera_has_settings_of_its_own(folder: Path) -> None:
    (folder / "watchline.toml").write_text(
        "[detector]\nconf = 0.5\n[streams.yard]\nsource = 'walk.mp4'\n[streams.gate]\nsource = 'walk.mp4'\n"
        "[streams.gate.detector]\nconf = 1.0\nevery = 2\n"
        "[streams.road]\nsource = 'walk.mp4'\n[streams.road.detector]\nclasses = ['car']\n"
    )
    done = within(folder, "run", "watchline.toml", "--no-video", "--out", "out", "--jsonl", "all.jsonl", *MODEL)
    assert done.code == 0
    for stream, config, looks, people in (
        ("yard", {"conf": 0.5, "iou": 0.45, "classes": [], "every": 1}, range(FRAMES), True),
        ("gate", {"conf": 1.0, "iou": 0.45, "classes": [], "every": 2}, range(0, FRAMES, 2), False),
        ("road", {"conf": 0.5, "iou": 0.45, "classes": ["car"], "every": 1}, range(FRAMES), False),
    ):
        [header, *lines, footer] = events((folder / "out" / f"{stream}.jsonl").read_text())
        assert header["header"]["config"] == config
        assert [line["frame"] for line in lines] == list(looks)
        assert all(any(found["label"] == "person" for found in line["detections"]) == people for line in lines)
        assert footer["footer"] == {"stream": stream, "whole": True, "frames": FRAMES, "dropped": {}}
        for line in (header, footer):
            assert json.dumps(line) in (folder / "all.jsonl").read_text()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "what? name cameras or files"),
        (["gone.mp4"], 1, "watchline: failed: gone.mp4: there is no such file or folder; check the spelling"),
        (["rtsp://"], 1, "address has no host"),
        (["rtsp://host:port/x"], 1, "rtsp://"),
        (["ftp://host/x"], 1, "ftp:// addresses cannot be read: expected one of rtsp, rtsps, http, https"),
        (["walk.mp4", "--loop"], 2, "--loop needs --realtime"),
        (["photo.png", "--realtime"], 1, "photos have no speed"),
        (["walk.mp4", "--place", "nonsense"], 2, "--place nonsense: expected STAGE=WHERE, e.g. detector=process"),
        (["walk.mp4", "--place", "detector=nowhere"], 2, "place 'nowhere': expected thread, process or tcp://"),
        (["walk.mp4", "--split", "soon"], 2, "--split"),
        (["walk.mp4", "--latency-budget", "-1"], 2, "--latency-budget"),
        (["walk.mp4", "--out", "x.mp4"], 2, "--out x.mp4: expected a folder"),
        (["walk.mp4", "a.toml"], 2, "a.toml is a config and holds the sources"),
        (["gone.toml"], 2, "gone.toml: there is no such file"),
        (["a.toml", "--name", "a=walk.mp4"], 2, "a.toml is a config and holds the sources"),
        (["--name", "walk.mp4"], 2, "--name walk.mp4: expected NAME=SOURCE, a name without slashes, of 200 bytes"),
        (["--name", "a/b=walk.mp4"], 2, "--name a/b=walk.mp4: expected NAME=SOURCE, a name without slashes"),
        (["--name", "a\\b=walk.mp4"], 2, "--name a\\b=walk.mp4: expected NAME=SOURCE, a name without slashes"),
        (["--name", f"{'a' * 201}=walk.mp4"], 2, "a=walk.mp4: expected NAME=SOURCE, a name without slashes"),
        (["--name", "a=walk.mp4", "--name", "a=other.mp4"], 2, "--name a=… is there twice"),
        (["--name", "a=gone.mp4"], 1, "gone.mp4: there is no such file or folder"),
        (["walk.mp4", "--jsonl", "walk.mp4"], 2, "walk.mp4 is an input: the output would destroy it"),
        (["walk.mp4", "--realtime", "--jsonl", "walk.mp4"], 2, "walk.mp4 is an input: the output would destroy it"),
        (
            ["walk.mp4", "--jsonl", "no/such/folder/x.jsonl", "--no-video", "--realtime", "--transport", "smoke"],
            2,
            "smoke",
        ),
    ],
)
def test_wrong_words_are_told_in_one_line(folder: Path, words: list[str], code: int, says: str) -> None:
    before = (folder / "walk.mp4").read_bytes()
    done = within(folder, "run", *words, *MODEL)
    assert (folder / "walk.mp4").read_bytes() == before
    assert done.code == code
    assert says in done.err[-1]
    assert sum(line.startswith("watchline") for line in done.err) == 1
    assert not (folder / "annotated").exists()


def test_streams_have_the_names_that_they_are_given(folder: Path) -> None:
    words = ["other.mp4", "--name", "yard=other.mp4", "--name", "gate=walk.mp4"]
    for command in ("annotate", "run"):
        assert within(folder, command, *words, "--no-video", "--out", command, *MODEL).code == 0
        assert sorted(path.stem for path in (folder / command).iterdir()) == ["gate", "other", "yard"]
        [header, *lines] = events((folder / command / "gate.jsonl").read_text())
        assert (header["header"]["source"], header["header"]["stream"]) == ("walk.mp4", "gate")
        assert len(frames(lines, "gate")) == FRAMES


def test_a_camera_with_a_name_shows_no_password(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"rtsp://me:swordfish@127.0.0.1:{silent.getsockname()[1]}/live"
        with Job(folder, "--name", f"gate={url}", "--no-video", "--out", "out") as job, silent.accept()[0]:
            job.until(lambda: "gate: connecting" in job.err)
            assert "swordfish" not in Path(f"/proc/{job.process.pid}/cmdline").read_text()
            done = job.stop()
    written = "".join(path.read_text() for path in (folder / "out").iterdir())
    assert [path.name.split("-")[0] for path in (folder / "out").iterdir()] == ["gate"]
    assert "swordfish" not in "\n".join([*done.out, *done.err, written])


def test_a_good_stream_goes_on_beside_a_bad_word(folder: Path) -> None:
    done = within(folder, "run", "gone.mp4", "text.mp4", "walk.mp4", "--no-video", "--out", "out", *MODEL)
    assert done.code == 1
    assert [line.split(":")[2].strip() for line in done.err if line.startswith("watchline: failed: ")] == [
        "gone.mp4",
        "text.mp4",
    ]
    assert (folder / "out" / "walk.jsonl").read_bytes().count(b"\n") == 1 + FRAMES + 1


def test_a_reader_that_has_enough_ends_it_quietly(folder: Path) -> None:
    command = f"{sys.executable} -m watchline run walk.mp4 --realtime --loop --jsonl - {' '.join(MODEL)} | head -3"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=folder, timeout=30)
    assert len(events(done.stdout)) == 3
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_camera_that_never_answers(folder: Path) -> None:
    """It is told, and holds up neither the file beside it nor the end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        with Job(folder, url, "walk.mp4", "--no-video", "--out", "out") as job:
            job.until(lambda: "127.0.0.1-live: retrying" in job.err and "walk: ended" in job.err)
            done = job.stop()
    assert done.code == 0
    shown = [line for line in done.err if line.startswith("127.0.0.1-live: ")]
    assert shown[0].startswith("127.0.0.1-live: connecting")
    assert "did not answer within 4 s" in next(line for line in shown if "retrying" in line)
    assert shown[-1].startswith("127.0.0.1-live: ended")
    assert (folder / "out" / "walk.jsonl").read_bytes().count(b"\n") == 1 + FRAMES + 1


def test_ctrl_c_while_it_connects(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        with Job(folder, url, "--no-video", "--out", "out") as job, silent.accept()[0]:
            job.until(lambda: "127.0.0.1-live: connecting" in job.err)
            assert job.stop().code == 0
    assert ledger_of(folder.glob("out/*.jsonl"))["127.0.0.1-live"].states == ["connecting", "ended"]
