"""Flags and config are one: what one may say the other may too, and what cannot be obeyed is said in a line."""

import argparse
import ast
import json
import logging
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import onnx
import option_list
import pytest
from cli.shell import within
from clips import write_clip, write_photo
from ledger_of import ledger_of
from models_onnx import tiny_captioner, tiny_detector, tiny_segmenter

from watchline.cli import annotate, run
from watchline.cli.options import OPTIONS
from watchline.cli.settings import with_models
from watchline.engines import runtimes
from watchline.pipeline.config import load
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.duration import seconds, text_of
from watchline.pipeline.settings.tables import Flag
from watchline.pipeline.streams import Stream, find_source

FRAMES = 7
BASE = 'out = "out"\n[detector]\nmodel = "tiny.onnx"\nworkers = 1\nimgsz = [128, 64]\n'
YARD = '[streams.yard]\nsource = "walk.mp4"\n'


@pytest.fixture
def folder(tmp_path):
    def red_square(index):
        image = np.full((64, 128, 3), 90, np.uint8)
        image[16:32, 8 * index : 8 * index + 16] = (0, 0, 255)
        return image

    write_clip(tmp_path / "walk.mp4", FRAMES, (128, 64), draw=red_square)
    write_photo(tmp_path / "photo.png")
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def config(folder, text, above=""):
    (folder / "watchline.toml").write_text(above + BASE + text)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_annotate_obeys_the_places_of_a_config(folder, caplog):
    config(folder, YARD)
    assert within(folder, "annotate", "--config", "watchline.toml").code == 0
    config(folder, YARD + '[place]\ndetector = "process"\nannotator = "process"\n')
    with caplog.at_level(logging.DEBUG, "watchline"):
        done = within(folder, "annotate", "--config", "watchline.toml", "--out", "placed")
    assert done.code == 0, done.err
    opened = re.findall(r"the (\w+) process \(pid \d+\) is open", caplog.text)
    assert sorted(opened) == ["annotator", "detector"]
    assert files(folder / "placed") == files(folder / "out")


def test_annotate_says_that_a_place_cannot_be_had(folder):
    config(folder, YARD + '[place]\ndetector = "tcp://gpu:5555"\n')
    done = within(folder, "annotate", "--config", "watchline.toml")
    assert done.code == 2
    assert done.err == [
        "watchline: place 'tcp://gpu:5555' is another host: expected a key (ours, secret) and a peer (its public key), "
        "so that nobody between can see or change anything; `watchline keys` makes them"
    ]


WHY = "files are written whole, and no frame is dropped; `watchline run` obeys it for cameras"


@pytest.mark.parametrize(
    ("above", "names"),
    [
        ('split = "10m"\n', "split"),
        ("latency_budget = 300\n", "latency_budget"),
        ('split = "10m"\nlatency_budget = "300ms"\n', "split and latency_budget"),
        ("", None),
    ],
)
def test_annotate_says_what_of_a_config_files_cannot_obey(folder, above, names):
    config(folder, YARD, above)
    done = within(folder, "annotate", "--config", "watchline.toml")
    assert done.code == 0
    said = [line for line in done.err if line.startswith("watchline: ")]
    assert said == ([f"watchline: watchline.toml: {names} left out: {WHY}"] if names else [])


def test_run_plays_the_files_of_a_config_at_their_own_speed(folder):
    config(folder, YARD)
    done = within(folder, "run", "watchline.toml", "--realtime", "--no-video")
    assert done.code == 0, done.err
    told = ledger_of((folder / "out").glob("*.jsonl"))["yard"]
    assert (told.decoded, told.states) == (FRAMES, ["connecting", "live", "ended"])


@pytest.mark.parametrize(("more", "flags"), [("", ["--realtime", "--loop"]), ("realtime = true\n", ["--loop"])])
def test_run_plays_the_files_of_a_config_for_ever(folder, more, flags):
    config(folder, YARD + more)
    command = [sys.executable, "-m", "watchline", "run", "watchline.toml", "--no-video", "--jsonl", "-", *flags]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        numbers = []
        for line in process.stdout:
            numbers += [number] if (number := json.loads(line).get("frame")) is not None else []
            if len(numbers) > 2 * FRAMES:
                break
        process.kill()
    assert numbers[-1] > FRAMES


def test_loop_alone_is_refused_by_the_streams_name(folder):
    config(folder, YARD)
    done = within(folder, "run", "watchline.toml", "--loop")
    assert done.code == 2
    said = "loop needs realtime: only a file that plays at its own speed can begin anew"
    assert done.err == [f"watchline: watchline.toml: [streams.yard] {said}"]


def test_photos_of_a_config_have_no_speed(folder):
    config(folder, '[streams.yard]\nsource = "photo.png"\n')
    done = within(folder, "run", "watchline.toml", "--realtime")
    assert done.code == 1
    assert "yard: photos have no speed to be played at" in done.err[-1]


def flags(**given):
    return [Flag(f"--{name}", "streams", name, value) for name, value in given.items()]


def test_a_flag_for_all_streams_reaches_those_that_can_have_it(folder, monkeypatch):
    monkeypatch.setenv("HOST", "gate")
    config(folder, YARD + '[streams.gate]\nsource = "rtsp://${HOST}/1"\n[streams.door]\nsource = "0"\n')
    streams = load(folder / "watchline.toml", flags(realtime=True, loop=True, transport="udp", video_track=2)).streams
    assert streams["yard"] == Stream("walk.mp4", realtime=True, loop=True, transport="udp", video_track=2)
    assert find_source("yard", replace(streams["yard"], source=str(folder / "walk.mp4"))).file.track == 2
    assert streams["gate"] == Stream("rtsp://gate/1", transport="udp")
    assert streams["door"] == Stream("0", transport="udp")


def test_without_a_flag_the_config_is_obeyed(folder):
    config(folder, YARD + 'realtime = true\nloop = true\n[streams.gate]\nsource = "rtsp://a/"\ntransport = "udp"\n')
    streams = load(folder / "watchline.toml").streams
    assert (streams["yard"].realtime, streams["yard"].loop, streams["gate"].transport) == (True, True, "udp")


def test_a_wrong_flag_for_all_streams_is_named(folder):
    config(folder, YARD)
    with pytest.raises(ConfigError, match=r"^--transport smoke: must be one of tcp, udp \(default \"tcp\"\)$"):
        load(folder / "watchline.toml", flags(transport="smoke"))


@contextmanager
def rtsp_camera():
    """A camera that gets as far as being asked how it shall send. Yields its address and the requests so far."""
    asked: list[str] = []
    sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track1\r\n"

    def serve():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client, client.makefile("rwb") as stream:
                while lines := [line.decode().strip() for line in iter(stream.readline, b"\r\n") if line]:
                    asked.extend(lines)
                    number = next(line for line in lines if line.lower().startswith("cseq"))
                    body = sdp if lines[0].startswith("DESCRIBE") else ""
                    code = "461 Unsupported Transport" if lines[0].startswith("SETUP") else "200 OK"
                    head = f"RTSP/1.0 {code}\r\n{number}\r\nContent-Type: application/sdp\r\n"
                    stream.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
                    stream.flush()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/live", asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(("more", "way"), [([], "RTP/AVP/TCP"), (["--transport", "udp"], "RTP/AVP/UDP")])
def test_the_cameras_of_a_config_are_asked_for_the_transport_of_the_flag(folder, more, way):
    with rtsp_camera() as (address, asked):
        config(folder, f'[streams.gate]\nsource = "{address}"\n')
        command = [sys.executable, "-m", "watchline", "run", "watchline.toml", *more]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:
                if "retrying" in line:
                    break
            process.kill()
        [transport] = {line.split(":")[1].split(";")[0].strip() for line in asked if line.startswith("Transport")}
    assert transport == way


def parser_of(command):
    return command.add_to(argparse.ArgumentParser().add_subparsers())


def test_the_options_are_made_from_the_fields() -> None:
    file = ast.parse(option_list.FILE.read_text())
    made = ast.parse(option_list.module())
    assert ast.dump(file) == ast.dump(made), "python tests/option_list.py writes it anew"


@pytest.mark.parametrize("command", [annotate, run])
def test_every_option_is_offered_with_its_help(command):
    actions = {word: action for action in parser_of(command)._actions for word in action.option_strings}
    live = {"split", "latency-budget", "transport", "timeout", "realtime", "loop"}
    for option in OPTIONS:
        assert (f"--{option.name}" in actions) == (command is run or option.name not in live)
        if f"--{option.name}" in actions:
            assert actions[f"--{option.name}"].help == option.help


def test_the_help_says_the_unit_of_a_time_and_names_every_runtime():
    said = {option.name: option.help for option in OPTIONS}
    assert said["split"].endswith("(default: 1h)")
    assert said["latency-budget"].endswith("(default: 500ms)")
    assert all(name in said["runtime"] for name in runtimes.NAMES)


@pytest.mark.parametrize("value", [1, 59, 60, 3600, 5400, 86_400, 90_061.5, 0.25])
def test_a_time_as_it_is_told_is_the_time_as_it_is_read(value):
    assert seconds(text_of(value, 1)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--segment", "clip.mp4"], ["--segment=fcn-lite0", "clip.mp4"]),
        (["clip.mp4", "--caption"], ["clip.mp4", "--caption=show-attend-tell"]),
        (["--segment", "--caption", "a.mp4"], ["--segment=fcn-lite0", "--caption=show-attend-tell", "a.mp4"]),
        (["--segment", "mine.onnx", "a.mp4"], ["--segment", "mine.onnx", "a.mp4"]),
        (["--segment", "mine.ENGINE", "a.mp4"], ["--segment", "mine.ENGINE", "a.mp4"]),
        (["--segment", "yolov2-lite0", "a.mp4"], ["--segment", "yolov2-lite0", "a.mp4"]),
        (["--segment=mine.onnx", "a.mp4"], ["--segment=mine.onnx", "a.mp4"]),
        (["--segment", "fcn-lit", "a.mp4"], ["--segment", "fcn-lit", "a.mp4"]),  # a slip: the stage names the models
        (["--segment", "best.pt", "a.mp4"], ["--segment", "best.pt", "a.mp4"]),
        (["--segment", "rtsp://gate/1"], ["--segment=fcn-lite0", "rtsp://gate/1"]),
        (["--segment", "0"], ["--segment=fcn-lite0", "0"]),
        (["--segment", "*.mkv"], ["--segment=fcn-lite0", "*.mkv"]),
        (["--segment", "tests"], ["--segment=fcn-lite0", "tests"]),
        (["--track", "clip.mp4"], ["--track=2s", "clip.mp4"]),
        (["--track", "5s", "clip.mp4"], ["--track", "5s", "clip.mp4"]),
        (["--track", "0"], ["--track=2s", "0"]),
        (["a.mp4", "--", "--segment"], ["a.mp4", "--", "--segment"]),
        (["--model", "a.onnx"], ["--model", "a.onnx"]),
    ],
)
def test_a_stage_can_be_asked_for_without_naming_its_model(words, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    assert with_models(words) == meant


def test_stages_are_in_the_chain_by_a_flag_or_a_table(folder):
    onnx.save(tiny_segmenter(), folder / "classes.onnx")
    onnx.save(tiny_captioner(), folder / "words.onnx")
    flags = [
        Flag("--segment", "segmenter", "model", "classes.onnx"),
        Flag("--caption", "captioner", "model", "words.onnx"),
        Flag("--runtime", "detector", "runtime", "openvino"),
    ]
    names = ["detector", "segmenter", "captioner", "annotator"]
    chain = load(None, flags).stages
    assert [stage.name for stage in chain] == names
    assert [getattr(stage, "runtime", None) for stage in chain] == ["openvino"] * 3 + [None]  # no part stays behind
    config(folder, '[segmenter]\nmodel = "classes.onnx"\nruntime = "onnxruntime"\n[captioner]\ninterval = "30s"\n')
    chain = load(folder / "watchline.toml").stages
    assert [stage.name for stage in chain] == names
    assert (chain[1].runtime, chain[2].interval) == ("onnxruntime", 30)
    assert [stage.name for stage in load(None).stages] == ["detector", "annotator"]


def test_the_tracker_runs_behind_the_detector_by_a_flag_or_a_table(folder):
    config(folder, "[tracker]\nmemory = 5\n[streams.a]\nsource = 'walk.mp4'\n[streams.a.tracker]\nsure = 0.4")
    for chain in (
        load(None, [Flag("--track", "tracker", "memory", "5s")]).stages,
        load(folder / "watchline.toml").stages,
    ):
        assert [stage.name for stage in chain] == ["detector", "tracker", "annotator"]
        assert chain[1].memory == 5
    assert chain[1].of("a").sure == 0.4


def test_annotate_tracks(folder):
    done = within(folder, "annotate", "walk.mp4", "--model", "tiny.onnx", "--conf", "0.1", "--track", "--out", "out")
    assert done.code == 0, done
    header, *_ = map(json.loads, (folder / "out/walk.jsonl").read_text().splitlines())
    assert header["header"]["stages"]["tracker"] == {"memory": 2.0, "sure": 0.5, "start": 0.7}


def test_annotate_segments_and_captions(folder):
    onnx.save(tiny_segmenter(), folder / "classes.onnx")
    onnx.save(tiny_captioner(), folder / "words.onnx")
    words = ["--model", "tiny.onnx", "--segment", "classes.onnx", "--caption", "words.onnx", "--out", "out"]
    done = within(folder, "annotate", "walk.mp4", *words)
    assert done.code == 0, done
    _, *lines, _ = map(json.loads, (folder / "out/walk.jsonl").read_text().splitlines())
    frames = [line for line in lines if "event" not in line]
    assert len(frames) == FRAMES
    assert all({"detections", "class_map", "caption"} <= line.keys() for line in frames)
    assert [line["text"] for line in lines if line.get("event") == "caption"] == ["a red picture"]
