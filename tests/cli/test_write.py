"""`watchline write` as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.shell import within
from language_nets import saved

from watchline.engines.language import LanguageModel
from watchline.ops.sampling import draw

SEED = ("--seed", "ROMEO:")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved(tmp_path / "net.onnx")
    return tmp_path


def text(done) -> str:
    assert done.code == 0, done.err
    return "\n".join(done.out)


def test_it_goes_on_with_a_text_as_a_loop_would(folder):
    written = "ROMEO:"
    with LanguageModel(folder / "net.onnx") as model:
        random = np.random.default_rng(3)
        for _ in range(20):
            state = model.begin()
            for number in model.numbers(written):  # anew for each character
                scores, state = model.step(number, state)
            written += model.about.characters[draw(scores, 0.5, random)]
    words = ("--length", 20, "--temperature", 0.5, "--random-seed", 3)
    assert text(within(folder, "write", "net.onnx", *SEED, *words)) == written.rstrip("\n")


def test_chance_is_another_one_each_time_unless_it_is_named(folder):
    words = ("write", "net.onnx", *SEED, "--length", 60, "--temperature", 1)
    assert text(within(folder, *words)) != text(within(folder, *words))
    named = (*words, "--random-seed", 0)
    assert text(within(folder, *named)) == text(within(folder, *named))


def test_without_a_seed_a_line_begins(folder):
    done = within(folder, "write", "net.onnx", "--length", 30, "--random-seed", 1)
    again = within(folder, "write", "net.onnx", "--seed", "\n", "--length", 30, "--random-seed", 1)
    assert text(again) == "\n" + text(done)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("net.onnx", "--seed", "Zoë"), "net does not know 'Z', 'o', 'ë'; expected a text of '\\n :EMORabr'"),
        (("net.onnx", "--temperature", "-1"), "--temperature: '-1': expected a number of at least 0, e.g. 0.8"),
        (("net.onnx", "--temperature", "nan"), "--temperature: 'nan': expected a number of at least 0, e.g. 0.8"),
        (("net.onnx", "--length", "0"), "--length: '0': expected a whole number of at least 1"),
        (("nte",), "no model 'nte': expected a file, or one of the shipped: "),
    ],
)
def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(folder, words, says):
    done = within(folder, "write", *words)
    assert (done.code, done.out) == (2, [])
    assert says in done.err[-1]


def test_it_writes_as_it_goes(folder):
    command = [sys.executable, "-m", "watchline", "write", str(folder / "net.onnx"), "--length", "100000000"]
    with subprocess.Popen([*command, "--seed", "ROMEO:"], stdout=subprocess.PIPE) as process:
        assert process.stdout.read(40).startswith(b"ROMEO:")  # and it is far from its end
        assert process.poll() is None
        process.kill()


def test_it_needs_no_torch(folder):
    code = (
        "import sys; from watchline.cli import main; main(['write', 'net.onnx', '--length', '5']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=folder, stdout=subprocess.DEVNULL).returncode == 0


def test_from_a_text_to_a_model_that_writes(tmp_path):
    (tmp_path / "text.txt").write_text("ROMEO: a bar\n" * 60, encoding="utf-8")
    words = ("--data", "text.txt", "--out", "run", "--steps", 17, "--batch", 4, "--threads", 1)
    done = within(tmp_path, "train", "rnn", *words)
    assert done.code == 0, done.err
    assert done.out[0] == "10 different characters; 702 to learn from, the last 78 to measure"
    assert done.out[-1] == "next: watchline write run/model.onnx"
    stages = [json.loads(line) for line in (tmp_path / "run" / "stages.jsonl").read_text().splitlines()]
    assert [stage["step"] for stage in stages] == [16, 17]
    assert f"step 17: {stages[1]['bits']:.3f} bits per character on the last tenth" in done.out
    written = text(within(tmp_path, "write", "run/model.onnx", "--seed", "ROMEO:", "--length", 8))
    assert written.startswith("ROMEO:")


def test_a_tagger_finds_capitals_and_writes_nothing(tmp_path):
    (tmp_path / "text.txt").write_text("ROMEO: a bar\n" * 60, encoding="utf-8")
    words = ("--data", "text.txt", "--out", "run", "--steps", 60, "--batch", 4, "--threads", 1)
    done = within(tmp_path, "train", "bidirectional-rnn", *words)
    assert done.code == 0, done.err
    assert done.out[-1].startswith("run/checkpoint.pt: done, 60 steps; of the capitals in the last tenth it finds ")
    assert within(tmp_path, "write", "run/checkpoint.pt").code == 2


@pytest.mark.parametrize(
    ("model", "content", "says"),
    [
        ("lstm", b"ROMEO", "it has 5 characters, of which 4 are to learn from; expected 2080 at least"),
        ("lstm", b"\xff\xfe", "text.txt: it is no UTF-8 (invalid start byte); expected a plain text"),
        ("bidirectional-rnn", b"", "it has 0 characters"),
    ],
)
def test_a_text_that_cannot_be_learnt_is_refused(tmp_path, model, content, says):
    (tmp_path / "text.txt").write_bytes(content)
    done = within(tmp_path, "train", model, "--data", "text.txt", "--out", "run")
    assert done.code == 2
    assert says in done.err[-1]
