"""`watchline convert`: what a run has found, in other formats; mistakes are told in a line, and write nothing."""

import json

import numpy as np
import onnx
import pytest
from cli.shell import within
from clips import write_clip, write_photo
from models_onnx import tiny_detector

from watchline.cli import convert
from watchline.streams.formats.known import FORMATS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the outputs of a run: a video that was tracked, and photos."""
    folder = tmp_path_factory.mktemp("run")
    write_clip(folder / "walk.mp4", 8, (128, 64), draw=_walk)
    write_photo(folder / "photos" / "a.png", _walk(1))
    write_photo(folder / "photos" / "b.png", np.full((64, 128, 3), 90, np.uint8))
    onnx.save(tiny_detector(), folder / "tiny.onnx")
    (folder / "watchline.toml").write_text('[tracker]\nsure = 0.3\nstart = 0.3\n[sinks.mot]\nfolder = "tracks"\n')
    words = ["walk.mp4", "photos", "--model", "tiny.onnx", "--config", "watchline.toml"]
    done = within(folder, "annotate", *words, "--out", "out", "--no-video")
    assert done.code == 0, done
    return folder


def _walk(index):
    image = np.full((64, 128, 3), 90, np.uint8)
    image[16:48, 8 * index : 8 * index + 32] = (0, 0, 255)
    return image


def test_a_run_in_other_formats(run):
    done = within(run, "convert", "out", "--to", "coco,mot", "--out", "data")
    assert (done.code, done.out) == (0, ["coco: data/coco/annotations written", "mot: data/mot written"])
    assert done.err == ["watchline: mot: photos is of photos, which MOT's format does not have: left out"]
    listed = json.loads((run / "data" / "coco" / "annotations" / "instances_default.json").read_text())
    names = ["a.png", "b.png", *(f"walk/{number:06d}.jpg" for number in range(8))]
    assert sorted(image["file_name"] for image in listed["images"]) == names
    assert len(listed["annotations"]) >= 8
    sink = np.loadtxt(run / "tracks" / "walk.txt", delimiter=",")
    assert len(sink) >= 6
    np.testing.assert_allclose(np.loadtxt(run / "data" / "mot" / "walk.txt", delimiter=","), sink, atol=0.011)


def test_next_to_the_events_where_no_folder_is_named(run):
    assert within(run, "convert", "out/walk.jsonl", "--to", "csv").out == ["csv: out/detections.csv written"]
    done = within(run, "convert", "out", "--to", "csv")
    assert (done.code, done.err) == (
        2,
        ["watchline: out/detections.csv is there already: --overwrite replaces it, --out names another folder"],
    )
    assert within(run, "convert", "out", "--to", "csv", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere", "--to", "csv"], "nowhere: there is no such file or folder; expected events"),
        (["photos", "--to", "csv"], "photos holds no .jsonl files; expected events"),
        (["out", "--to", "cocco"], "unknown format 'cocco': expected one of csv, parquet, coco"),
        (["out", "--to", "csv", "--of", "tracks"], "objects of 'tracks': expected one of detections, instances"),
        (["out", "--to", "csv", "--of", "instances"], "they have 'detections'"),
        (["out"], "the following arguments are required: --to"),
    ],
)
def test_mistakes_are_told_in_a_line(run, words, says):
    done = within(run, "convert", *words, *(["--out", "none"] if len(words) > 1 else []))
    assert done.code == 2
    assert says in done.err[-1]
    assert not (run / "none").exists()


def test_the_help_names_every_format():
    assert convert.FORMATS == ", ".join(FORMATS)
