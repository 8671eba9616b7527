"""`watchline annotate --format`: what `convert` makes of the outputs is there at the end, or a line says why not."""

import builtins
import shutil

import numpy as np
import onnx
import pytest
from cli.shell import within
from clips import write_clip, write_photo
from models_onnx import tiny_detector

ALL = "jsonl,csv,parquet,coco,yolo,mot,cvat,labelstudio"


@pytest.fixture
def folder(tmp_path):
    def red_square(index):
        image = np.full((64, 128, 3), 90, np.uint8)
        image[16:48, 8 * index : 8 * index + 32] = (0, 0, 255)
        return image

    for name in ("A/x.mp4", "b.mp4"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(tmp_path / "tree" / name, 3, (128, 64), draw=red_square)
    write_photo(tmp_path / "tree" / "c.png", red_square(1))
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def annotate(folder, *words):
    return within(
        folder, "annotate", "tree", "--recursive", "--model", "tiny.onnx", "--no-video", "--out", "out", *words
    )


def contents(folder):
    """Of all files but events and manifests, which say when and how long."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".jsonl", ".db"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_bytes_as_convert_makes(folder):
    done = annotate(folder, "--format", ALL)
    assert done.code == 0, done
    assert [line.partition(":")[0] for line in done.out if line.endswith("written")][-7:] == ALL.split(",")[1:]
    assert "watchline: mot: tree is of photos, which MOT's format does not have: left out" in done.err
    assert within(folder, "convert", "out", "--to", ALL.removeprefix("jsonl,"), "--out", "again").code == 0
    made = contents(folder / "out")
    assert made == contents(folder / "again")
    assert {"detections.csv", "mot/A/x.txt", "cvat/b.xml", "yolo/labels/c.txt"} <= made.keys()


def test_only_what_the_job_has_written_is_in_them(folder):
    assert annotate(folder).code == 0
    shutil.move(folder / "tree" / "b.mp4", folder / "d.mp4")
    words = ["--model", "tiny.onnx", "--no-video", "--out", "out", "--format", "mot"]
    assert within(folder, "annotate", "d.mp4", *words).code == 0
    assert list(contents(folder / "out")) == ["mot/d.txt"]


def test_a_job_that_goes_on_writes_them_again(folder):
    late = folder / "b.mp4"
    shutil.move(folder / "tree" / "b.mp4", late)
    assert annotate(folder, "--resume", "--format", "mot,coco").code == 0
    first = contents(folder / "out")
    assert [name for name in first if name.startswith("mot")] == ["mot/A/x.txt"]
    shutil.move(late, folder / "tree" / "b.mp4")
    assert annotate(folder, "--resume", "--format", "mot,coco").code == 0
    second = contents(folder / "out")
    assert sorted(name for name in second if name.startswith("mot")) == ["mot/A/x.txt", "mot/b.txt"]
    assert annotate(folder, "--resume", "--format", "mot,coco").code == 0
    assert contents(folder / "out") == second
    shutil.rmtree(folder / "out")
    assert annotate(folder, "--resume", "--format", "mot,coco").code == 0
    assert contents(folder / "out") == second, "a job that went on has other formats than one that was not interrupted"


def test_a_format_that_cannot_be_is_told_before_the_work_begins(folder, monkeypatch):
    done = annotate(folder, "--format", "csv,yolov8")
    assert (done.code, len(done.err)) == (2, 1)
    assert done.err[0].startswith("watchline: unknown format 'yolov8': expected one of csv, parquet, coco, yolo")
    (folder / "out").mkdir()
    (folder / "out" / "detections.csv").write_text("precious")
    done = annotate(folder, "--format", "csv")
    assert (done.code, done.err[-1][:55]) == (2, "watchline: out/detections.csv is there already: --overw")
    done = annotate(folder, "--resume", "--format", "csv")
    assert (done.code, done.err[-1][:55]) == (2, "watchline: out/detections.csv is there already: --overw")
    assert (folder / "out" / "detections.csv").read_text() == "precious"
    real = builtins.__import__
    missing = ImportError("No module named 'pyarrow'")
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *rest: (_ for _ in ()).throw(missing) if name == "pyarrow" else real(name, *rest),
    )
    done = annotate(folder, "--format", "parquet")
    assert (done.code, "pip install '.[parquet]'" in done.err[-1]) == (2, True)
    assert [path.name for path in (folder / "out").iterdir()] == ["detections.csv"]


def test_one_that_fails_costs_no_other(folder):
    words = ["--model", "tiny.onnx", "--no-video", "--out", "out", "--format", "mot,csv"]
    done = within(folder, "annotate", "tree/c.png", *words)
    assert done.code == 1
    assert done.err[-1].startswith("watchline: failed: mot: c is of photos: expected a video or a camera")
    assert list(contents(folder / "out")) == ["detections.csv"]
