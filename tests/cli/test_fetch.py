"""`watchline fetch`: what it lists, where files go, what a script gets on stdout, and how it is stopped."""

import hashlib
import os
import shlex
import signal
import subprocess
import sys

import pytest
from cli.shell import watchline, within
from file_server import BODY, serve, wait_for

from watchline.export.weights import catalogue
from watchline.export.weights.catalogue import CATALOGUE, Entry, File


@pytest.fixture
def web():
    with serve() as server:
        yield server


def entry(web, *paths):
    """An entry of one file a path, named after it."""
    digest = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    files = tuple(File(f"{path[1:]}.weights", (web.url(path),), digest, len(BODY)) for path in paths)
    return Entry(files, "a network", "MIT", "watchline export {files} -o net.onnx")


@pytest.fixture
def offered(monkeypatch, web):
    """Adds names to the catalogue, each with files from these paths of the server."""

    def offer(**names):
        for name, paths in names.items():
            monkeypatch.setitem(catalogue.CATALOGUE, name, entry(web, *paths))

    return offer


def test_without_a_name_it_lists_what_there_is():
    done = watchline("fetch")
    assert (done.code, done.err) == (0, [])
    assert [line.split()[0] for line in done.out[1:]] == list(CATALOGUE)
    (row,) = [line for line in done.out if line.startswith("yolov2 ")]
    assert "203.9 MB" in row
    assert "YOLOv2, Darknet-19, COCO (public domain, as Darknet itself)" in row


def test_a_name_gives_paths_on_stdout_and_the_next_command_on_stderr(offered, tmp_path):
    offered(pair=["/good", "/no-length"])
    folder = tmp_path / "my weights"
    done = within(tmp_path, "fetch", "pair", "--to", folder)
    paths = [f"{folder / 'good.weights'}", f"{folder / 'no-length.weights'}"]
    assert (done.code, done.out) == (0, paths)
    assert done.err[0] == "a network: MIT"
    assert done.err[-1] == f"next: watchline export {shlex.join(paths)} -o net.onnx"
    assert all((folder / path).read_bytes() == BODY for path in paths)


def test_several_names_each_once(offered, tmp_path, web):
    offered(one=["/good"], two=["/redirect"])
    done = within(tmp_path, "fetch", "--to", tmp_path, "one", "two", "one")
    assert done.out == [f"{tmp_path / 'good.weights'}", f"{tmp_path / 'redirect.weights'}"]
    assert web.times("/good") == 2, "once by itself, once as what the other leads to"


@pytest.mark.parametrize(
    ("variables", "where"),
    [
        ({"WATCHLINE_CACHE": "cache"}, "cache/checkpoints"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/watchline/checkpoints"),
        ({"HOME": "home"}, "home/.cache/watchline/checkpoints"),
    ],
)
def test_without_a_folder_it_goes_to_the_cache(offered, tmp_path, monkeypatch, variables, where):
    offered(net=["/good"])
    for name in ("WATCHLINE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    done = within(tmp_path, "fetch", "net")
    assert (done.code, done.out) == (0, [str(tmp_path / where / "good.weights")])


def test_one_failure_does_not_cost_the_others(offered, tmp_path):
    offered(gone=["/404"], there=["/good"])
    done = within(tmp_path, "fetch", "gone", "there", "--to", tmp_path)
    assert done.code == 1
    assert done.out == [f"{tmp_path / 'good.weights'}"]
    (line,) = [line for line in done.err if "failed" in line]
    assert line.startswith("watchline: failed: 404.weights: not downloaded: http://127.0.0.1:")
    assert line.endswith("/404 has no such file (HTTP 404)")


def test_an_unknown_name_is_wrong_usage(tmp_path):
    done = within(tmp_path, "fetch", "yolov2-tyni")
    assert done.code == 2
    assert done.err[-1].endswith("unknown name 'yolov2-tyni': did you mean 'yolov2-tiny'?")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_what_came_and_the_next_run_goes_on(web, tmp_path):
    code = (  # a shell that starts tests in the background has Ctrl-C ignored
        "import signal, sys\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from watchline.export.weights.catalogue import CATALOGUE, Entry, File\n"
        "from watchline.cli import main\n"
        f"CATALOGUE['net'] = {entry(web, '/freezes-once')!r}\nsys.exit(main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "fetch", "net", "--to", str(tmp_path)]
    part = tmp_path / "freezes-once.weights.part"
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    wait_for(lambda: part.exists() and part.stat().st_size > 50_000)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert (run.returncode, out) == (130, "")
    assert "Traceback" not in err
    kept = part.stat().st_size
    done = subprocess.run(words, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'freezes-once.weights'}\n")
    assert (tmp_path / "freezes-once.weights").read_bytes() == BODY
    assert web.asked[-1].sent == len(BODY) - kept
