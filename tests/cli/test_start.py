"""How the command line starts and refuses: help, version, what it loads, wrong usage."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.shell import watchline, within

import watchline as package
from watchline.cli.habits import SAME
from watchline.cli.options import OPTIONS

HEAVY = {"av", "cv2", "numpy", "onnx", "onnxruntime", "openvino", "pydantic", "torch", "tqdm", "zmq"}


@pytest.mark.parametrize(
    "words", [["--help"], ["annotate", "--help"], ["train", "--help"], ["bench", "map", "--help"], ["--version"]]
)
def test_a_word_of_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"import sys\nfrom watchline.cli import main\ntry: main({words})\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "argparse" in loaded, "the list of modules was not understood"
    assert loaded & HEAVY == set()


def test_help_names_every_command() -> None:
    done = watchline("--help")
    assert done.code == 0
    for command in ("annotate", "check", "doctor", "models", "train"):
        assert any(line.strip().startswith(command) for line in done.out)


def test_version() -> None:
    assert watchline("--version").out == [f"watchline {package.__version__}"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--verson"], "unknown option '--verson': did you mean '--version'?"),
        (["anotate"], "unknown command 'anotate': did you mean 'annotate'?"),
        (["annotate", "--confg", "x", "--out", "o"], "unknown option '--confg': did you mean '--config'?"),
        (["annotate", "--prest=fast"], "unknown option '--prest': did you mean '--preset'?"),
        (["annotate", "a.mp4", "--conf", "high"], "argument --conf: invalid float value: 'high'"),
        (["annotate", "a.mp4", "--workers", "0"], "argument --workers: '0': expected a whole number from 1 to 64"),
        (["annotate", "a.mp4", "--imgsz", "bigxbig"], "argument --imgsz: 'bigxbig': expected pixels, e.g. 416"),
        (["annotate", "a.mp4", "--imgsz", "1x2x3"], "argument --imgsz: '1x2x3': expected pixels"),
        (["annotate", "a.mp4", "--classes", ","], "argument --classes: ',': expected names with commas between"),
        (["models", "everything"], "there is one word too many: 'everything'"),
        (["check"], "the following arguments are required: FILE.toml"),
        (["train", "yolov9", "--data", "d", "--out", "o"], "unknown name 'yolov9': did you mean 'yolov2'?"),
        (["train", "yolov2", "--data", "d", "--out", "o", "--steps", "-3"], "argument --steps: '-3': expected a whole"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_why(words: list[str], says: str) -> None:
    done = watchline(*words)
    assert done.code == 2
    assert done.err[0].startswith("usage: watchline")
    assert says in done.err[-1]


def test_without_a_word_it_helps() -> None:
    assert watchline() == watchline("--help")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["annotate", "--weights", "a.pt"], "unknown option '--weights': did you mean '--model'?"),
        (["run", "--conf-thres=0.3"], "unknown option '--conf-thres': did you mean '--conf'?"),
        (["annotate", "--confidence", "0.3"], "unknown option '--confidence': did you mean '--conf'?"),
        (["annotate", "--project", "x"], "unknown option '--project': did you mean '--out'?"),
        (["annotate", "--vid-stride", "3"], "unknown option '--vid-stride': did you mean '--every'?"),
        (["annotate", "--source", "a.mp4"], "unknown option '--source': inputs have no option: watchline annotate"),
        (["run", "0", "--device", "0"], "unknown option '--device': the runtime says what computes: --runtime"),
        (["annotate", "--half"], "unknown option '--half': a model of half precision is made once"),
        (["annotate", "--save-txt"], "unknown option '--save-txt': the events are always written, as NAME.jsonl"),
        (["models", "--weights"], "unknown option '--weights': expected one of --help, --verbose"),
    ],
)
def test_a_habit_from_elsewhere_gets_a_hint(words: list[str], says: str) -> None:
    done = within(Path(), *words)
    assert done.code == 2
    assert says in done.err[-1]


def test_each_hint_names_an_option_that_there_is() -> None:
    known = {word for option in OPTIONS for word in (f"--{option.name}",)} | {"--no-video"}
    assert set(SAME.values()) <= known


@pytest.mark.parametrize(("typed", "completed"), [("annot", "annotate"), ("annotate --overw", "--overwrite")])
def test_the_shell_completes_what_is_typed(tmp_path: Path, typed: str, completed: str) -> None:
    line = f"watchline {typed}"
    asked = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "completions"),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    assert watchline(env=asked).code == 0
    assert (tmp_path / "completions").read_text().split() == [completed]


def test_output_that_nobody_reads_is_no_error() -> None:
    done = subprocess.run(f"{sys.executable} -m watchline doctor | head -1", shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("machine\n", "")
