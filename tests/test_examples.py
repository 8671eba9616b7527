"""Every program of examples/ is run as its docstring says, on a street, and its figures are compared with the truth.

The truth is the detector stage called as a plain function on one frame after another: no runner, no threads.
"""

import csv
import json
import re
import runpy
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from camera_page import CameraPage
from cli.shell import within
from clips import Image, decode, write_clip
from models_onnx import tiny_detector

from watchline import CAPTION, CLASS_MAP, ArrayPicture, Captioner, Detections, Detector, Frame, Item, Segmenter
from watchline.streams.file import FileSource

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE = 8  # frames per second of the short clip, so that its 16 frames last two seconds


@pytest.fixture(scope="module")
def street(bikes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third frame of the real clip from where people and cars come close: 16 frames of 640 x 272."""
    return write_street(bikes, tmp_path_factory.mktemp("street") / "street.mp4", RATE)


def write_street(bikes: Path, path: Path, rate: int) -> Path:
    with FileSource(bikes).open() as reader:
        pictures = [frame.picture.bgr() for frame in islice(reader, 30, 78, 3)]
    return write_clip(path, len(pictures), (640, 272), rate=rate, draw=pictures.__getitem__, options={"crf": "18"})


@pytest.fixture(scope="module")
def truth(street: Path) -> list[tuple[Frame, Detections]]:
    with FileSource(street).open() as reader:
        found = look(list(reader))
    names = Counter(name for _, detections in found for name in detections.names)
    assert names["person"] >= 5, "the shipped model sees no people on the street: the tests below would show nothing"
    return found


def look(frames: list[Frame]) -> list[tuple[Frame, Detections]]:
    with Detector().open() as process:
        items = [item for frame in frames for item in process([Item(frame)])]
    return [(item.frame, item.detections) for item in items]


def frames_of(pictures: list[Image]) -> list[Frame]:
    return [Frame("a", i, i, 1, ArrayPicture(pixels), 0.0) for i, pixels in enumerate(pictures)]


def run(name: str, *words: Path | str) -> list[str]:
    """What an example prints. A warning is an error, as in all tests."""
    command = [sys.executable, "-W", "error", EXAMPLES / name, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_each_example_is_short_says_how_to_run_it_and_is_run_here():
    here = Path(__file__).read_text()
    programs = sorted(EXAMPLES.glob("*.py"))
    assert len(programs) == 18
    for program in programs:
        text = program.read_text()
        assert f"\n    python examples/{program.name} " in text
        assert len(text.splitlines()) <= (90 if program.stem == "lecture" else 53)
        assert f'run("{program.name}"' in here, f"no test runs {program.name}"


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), ([], 1)])
def test_each_example_prints_its_help(words, code, monkeypatch, capsys):
    for program in sorted(EXAMPLES.glob("*.py")):
        monkeypatch.setattr(sys, "argv", [str(program), *words])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(program), run_name="__main__")
        assert left.value.code == code
        assert f"python examples/{program.name} " in capsys.readouterr().out


def test_naive_localization(tmp_path):
    """The surest box shows the red square, which the tiny detector takes for a person, and is on the grid."""
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    picture = np.full((160, 240, 3), 90, np.uint8)
    picture[40:120, 60:150] = (0, 0, 255)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    (line,) = run("naive_localization.py", tmp_path / "photo.png", tmp_path / "tiny.onnx")
    name, box = re.fullmatch(r"(\w+) [01]\.\d\d at \((.*)\)", line).groups()
    left, top, right, bottom = map(int, box.split(", "))
    assert name == "person"
    assert max(left, 60) < min(right, 150)
    assert max(top, 40) < min(bottom, 120)
    assert [left % 30, right % 30, top % 20, bottom % 20] == [0] * 4


def test_lecture(photos, tmp_path):
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    lines = run("lecture.py", photos / "0.png", tmp_path / "page.html", tmp_path / "tiny.onnx")
    titles = ["Non-maximum suppression", "Superpixels and Selective Search", "yolov2-lite0", "tiny", "mask-rcnn-lite0"]
    titles += ["Fully convolutional network", "Show, Attend and Tell", "Visual question answering", "LSTM"]
    page = (tmp_path / "page.html").read_text()
    assert re.findall("<h2>(.*?)</h2>", page) == titles
    assert [title for title in titles if not any(line.startswith(f"{title}: ") for line in lines)] == []
    assert page.count("data:image/jpeg;base64,") == len(titles)  # two of suppression, none of the LSTM
    [(_, found)] = look(frames_of([cv2.imread(str(photos / "0.png"))]))
    assert lines[0].endswith(f"; {len(found)} are left")


def test_own_source(street, tmp_path):
    pictures = decode(street).pictures
    folder = tmp_path / "arrays"
    folder.mkdir()
    for index, pixels in enumerate(pictures):
        np.save(folder / f"{index:03}.npy", pixels)
    counts = Counter(name for _, found in look(frames_of(pictures)) for name in found.names)
    assert run("own_source.py", folder) == [", ".join(f"{name} {count}" for name, count in sorted(counts.items()))]


def test_own_sink(street, truth, tmp_path):
    lines = run("own_sink.py", street, tmp_path)
    people = [(found.names == "person").sum() for _, found in truth]
    most = [max(people[:RATE]), max(people[RATE:])]
    with (tmp_path / "street.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["second", "people"], ["0", str(most[0])], ["1", str(most[1])]]
    assert lines == [f"street: {len(truth)} frames"]
    assert len(decode(tmp_path / "street.mp4").pictures) == len(truth)


def test_own_stage(street, truth, tmp_path):
    out = tmp_path / "private.mp4"
    assert run("own_stage.py", street, out) == [f"{out}: {len(truth)} frames"]
    shown = decode(out)
    assert shown.seconds == decode(street).seconds
    before, after = [], []
    for (frame, found), pixels in zip(truth, shown.pictures, strict=True):
        for x1, y1, x2, y2 in found.xyxy[found.names == "person"].astype(int):
            head = np.s_[y1 + 2 : y1 + (y2 - y1) // 4 - 1, x1 + 2 : x2 - 2]  # within the lines of its box
            before.append(contrast(frame.picture.bgr()[head]))
            after.append(contrast(pixels[head]))
    assert np.median(before) > 10
    assert np.median(after) < 3, "heads can still be recognised"


def test_detect_file(street, truth):
    seen = [set(), set()]
    for frame, found in truth:
        seen[int(frame.seconds)].update(found[found.confidence >= 0.4].names.tolist())
    expected = [f"{second} s: {', '.join(sorted(names)) or 'nothing'}" for second, names in enumerate(seen)]
    assert any("person" in line for line in expected)
    assert run("detect_file.py", street) == expected


def test_segment_file(street):
    with Segmenter().open() as process, FileSource(street).open() as reader:
        maps = [process([Item(frame)])[0].result(CLASS_MAP) for frame in reader]
    expected = []
    for second, found in enumerate(maps[::RATE]):
        shares = zip(found.labels, found.shares, strict=True)
        expected.append(f"{second} s: " + ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= 0.05))
    assert all("building" in line for line in expected)
    assert run("segment_file.py", street) == expected


def test_caption_file(street):
    with Captioner().open() as process, FileSource(street).open() as reader:
        said = [process([Item(frame)])[0].result(CAPTION) for frame in reader]
    made = {caption.frame: caption for caption in said}
    assert len(said[0].text.split()) >= 4
    assert run("caption_file.py", street) == [f"{caption.seconds:.1f} s: {caption.text}" for caption in made.values()]


def test_detect_files(street, truth, tmp_path):
    pictures = decode(street).pictures
    other = write_clip(tmp_path / "other.mp4", 3, (640, 272), draw=pictures[10:].__getitem__)
    people = [int((found.names == "person").sum()) for _, found in truth]
    with FileSource(other).open() as reader:
        others = [int((found.names == "person").sum()) for _, found in look(list(reader))]
    assert run("detect_files.py", street, other) == [
        f"street: at most {max(people)} people at once",
        f"other: at most {max(others)} people at once",
    ]


@pytest.fixture
def photos(truth, tmp_path) -> Path:
    """The three fullest pictures of the street."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, (frame, _) in enumerate(sorted(truth, key=lambda seen: -len(seen[1]))[:3]):
        cv2.imwrite(str(folder / f"{index}.png"), frame.image)
    return folder


def test_detect_folder(photos):
    lines = list(map(json.loads, run("detect_folder.py", photos)))
    assert [line["file"] for line in lines] == ["0.png", "1.png", "2.png"]
    found = look(frames_of([cv2.imread(str(photos / line["file"])) for line in lines]))
    assert [line["detections"] for line in lines] == [detections.to_dicts() for _, detections in found]
    assert sum(len(line["detections"]) for line in lines) > 3


def test_cars_an_hour(street, tmp_path):
    config = tmp_path / "watchline.toml"
    config.write_text("[tracker]\nsure = 0.3\nstart = 0.3\n")
    done = within(tmp_path, "annotate", street, "--config", config, "--no-video", "--out", tmp_path / "out")
    assert done.code == 0, done
    lines = map(json.loads, (tmp_path / "out" / "street.jsonl").read_text().splitlines())
    rows = [row for line in lines for row in line.get("detections", ())]
    for label in ("person", "car"):
        tracks = {row["track"] for row in rows if row["label"] == label and "track" in row}
        assert tracks
        words = [tmp_path / "out"] if label == "car" else [tmp_path / "out", label]
        assert run("cars_an_hour.py", *words) == [f"street, hour 1: {len(tracks)} {label}"]


def test_detect_array(photos):
    [(_, found)] = look(frames_of([cv2.imread(str(photos / "0.png"))]))
    expected = [
        "{} {:.2f} from ({}, {}) to ({}, {})".format(name, score, *map(round, box))
        for name, score, box in zip(found.names, found.confidence, found.xyxy.tolist(), strict=True)
    ]
    assert expected
    assert run("detect_array.py", photos / "0.png") == expected


def test_detect_camera(street, tmp_path):
    with CameraPage(decode(street).pictures, RATE) as camera:
        [line] = run("detect_camera.py", camera.url, tmp_path / "visitor.jpg")
    assert re.fullmatch(r"[1-9]\d* people after \d+\.\d s", line)
    assert cv2.imread(str(tmp_path / "visitor.jpg")).shape == (272, 640, 3)


def test_draw_detections(street, truth, tmp_path):
    [line] = run("draw_detections.py", street, tmp_path / "busiest.png")
    frame, found = max(truth, key=lambda seen: (seen[1].names == "person").sum())
    assert line == f"{(found.names == 'person').sum()} people at {frame.seconds:.2f} s"
    pixels = cv2.imread(str(tmp_path / "busiest.png"))
    [x1, y1, _, y2] = np.rint(found[found.names == "person"].xyxy[0]).astype(int)
    edge = pixels[y1:y2, x1 : x1 + 1]
    assert (edge == (80, 80, 255)).all(axis=2).mean() > 0.3, "the outline does not have its colour"
    assert (pixels != frame.image).any(axis=2).mean() < 0.5


def test_filter_detections(street, truth):
    counts = np.zeros(4, int)
    for _, found in truth:
        for name, score, (x1, y1, x2, y2) in zip(found.names, found.confidence, found.xyxy, strict=True):
            steps = [name == "person", score > 0.5, y2 - y1 > 68, (x1 + x2) / 2 < 320]
            counts += np.cumprod(steps)
    assert counts[3] > 0
    expected = "{} people, {} of them sure, {} of these large, {} of these in the left half".format(*counts)
    assert run("filter_detections.py", street) == [expected]


def test_detect_iterator(street):
    lower = [pixels[len(pixels) // 4 :] for pixels in opencv_pictures(street)]
    expected = []
    for frame, found in look(frames_of(lower)):
        sure = [name for name, score in zip(found.names, found.confidence, strict=True) if score > 0.5]
        expected.append(f"{frame.index / RATE:.2f} s: {len(sure)} of {len(found)} are sure: {', '.join(sure)}")
    assert run("detect_iterator.py", street) == expected


def test_with_supervision(street, truth, tmp_path):
    out = tmp_path / "busiest.png"
    [line] = run("with_supervision.py", street, out)
    inside, total, most = map(
        int, re.fullmatch(r"(\d+) of (\d+) in the left half, at most (\d+) at once", line).groups()
    )
    boxes = np.concatenate([found.xyxy for _, found in truth])
    middles = (boxes[:, 0] + boxes[:, 2]) / 2
    assert (total, most) == (len(boxes), max(len(found) for _, found in truth))
    assert (middles < 318).sum() <= inside <= (middles < 322).sum()  # supervision rounds to whole pixels
    frame, found = max(truth, key=lambda seen: len(seen[1]))
    changed = (cv2.imread(str(out)) != frame.picture.bgr()).any(axis=2)
    x1, y1, x2, y2 = found.xyxy[0].astype(int)
    assert changed.mean() < 0.5
    assert changed[y1 : y2 + 1, x1 : x2 + 1].any(), "the best detection was not drawn"


def test_watch_cameras(bikes, truth, tmp_path):
    """The street is played slowly: frames are lost while the model is loaded, and this machine has other work too."""
    lines = run("watch_cameras.py", write_street(bikes, tmp_path / "street.mp4", rate=3))
    assert [line for line in lines if line.startswith("street: ") and "people" not in line] == [
        "street: connecting",
        "street: live",
        "street: ended",
    ]
    [account] = [line.split() for line in lines if line.startswith("street ")]
    decoded, annotated, in_flight = map(int, account[1:4])
    assert (decoded, in_flight) == (len(truth), 0)
    assert annotated > len(truth) // 4
    most = max((found.names == "person").sum() for _, found in truth)
    counts = [int(count) for line in lines for count in re.findall(r"(\d+) people", line)]
    assert 0 < max(counts) <= most + 1  # at another rate, the encoder's pictures are others


def opencv_pictures(path: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (read := capture.read())[0]:
        pictures.append(read[1])
    capture.release()
    return pictures


def contrast(pixels: Image) -> float:
    """How far apart the middle half of the pixels lies, so that a label or a line across them does not count."""
    low, high = np.percentile(pixels, (25, 75), axis=(0, 1))
    return float((high - low).mean())
