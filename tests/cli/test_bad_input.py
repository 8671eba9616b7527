"""Bad input, as a user meets it: one clear line each, nothing that was written is lost, and the rest goes on."""

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import av
import jsonschema
import numpy as np
import onnx
import pytest
from cli.shell import Done, watchline, within
from clips import decode, write_clip, write_photo, write_tone
from models_onnx import tiny_detector, without_metadata

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())
Make = Callable[[Path], object]
AsNobody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tiny model, and a good clip that sorts behind the bad one."""
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "good.mp4", frames=5)
    return tmp_path


def annotate(folder: Path, *words: str | Path, model: str = "tiny.onnx") -> Done:
    return within(folder, "annotate", *words, "--out", "out", "--model", model, "--imgsz", "64")


def frames_of(events: Path) -> int:
    """How many frames a file of events has; every line is whole and keeps the schema."""
    text = events.read_text()
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    return sum("frame" in line for line in lines)


def check_failed(done: Done, name: str, says: str) -> None:
    """One line at the end names the bad one and says what is wrong; there is no traceback."""
    assert done.code == 1
    failed = [line for line in done.err if line.startswith("watchline: failed: ")]
    assert len(failed) == 1
    assert name in failed[0]
    assert re.search(says, failed[0]), failed[0]
    assert not any("Traceback" in line for line in done.err)


def cut(path: Path, keep: float, **settings: object) -> None:
    """A clip whose index stands in front, cut after a share of its bytes."""
    write_clip(path, frames=100, size=(128, 96), container={"movflags": "faststart"}, options={"g": "10"}, **settings)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def damaged(path: Path) -> None:
    """A clip of noise, of which some packets in the middle are overwritten."""
    rng = np.random.default_rng(0)
    write_clip(path, frames=60, draw=lambda _: rng.integers(0, 256, (48, 64, 3), np.uint8), options={"g": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = rng.integers(0, 256, 3000, np.uint8).tobytes()
    path.write_bytes(data)


def audio_only(path: Path) -> None:
    with av.open(str(path), "w") as out:
        write_tone(out, out.add_stream("aac", rate=48000), 0.5)


@pytest.mark.parametrize(
    ("make", "says", "written"),
    [
        pytest.param(lambda p: None, "no such file", None, id="missing"),
        pytest.param(lambda p: p.write_bytes(b""), "empty", None, id="zero bytes"),
        pytest.param(lambda p: p.write_text("hello\n" * 99), "is a text file", None, id="text renamed .mp4"),
        pytest.param(audio_only, "only audio", None, id="audio only"),
        pytest.param(lambda p: p.mkdir(), "no videos or photos", None, id="folder without videos"),
        pytest.param(lambda p: cut(p, 0.6), "ends after|ends at|is cut|missing", range(30, 90), id="truncated"),
    ],
)
def test_a_bad_file_is_named_and_the_good_one_is_done(
    folder: Path, make: Make, says: str, written: range | None
) -> None:
    make(folder / "in" / "bad.mp4")
    done = annotate(folder, "in/bad.mp4", "in/good.mp4")
    check_failed(done, "bad", says)
    assert frames_of(folder / "out" / "good.jsonl") == 5
    assert len(decode(folder / "out" / "good.mp4").pictures) == 5
    if written is None:
        assert not list((folder / "out").glob("bad*"))
    else:
        assert frames_of(folder / "out" / "bad.jsonl") in written
        assert len(decode(folder / "out" / "bad.mp4").pictures) == frames_of(folder / "out" / "bad.jsonl")


def test_a_file_without_the_right_to_read_it(folder: Path, public: Path, as_nobody: AsNobody) -> None:
    """Root may read everything, so the command runs as nobody."""
    good, bad = (public / name for name in ("good.mp4", "bad.mp4"))
    for path in (good, bad):
        path.write_bytes((folder / "in" / "good.mp4").read_bytes())
    bad.chmod(0)
    model = public / "tiny.onnx"
    model.write_bytes((folder / "tiny.onnx").read_bytes())
    public.chmod(0o777)
    within(public, "annotate", good, "--out", "warm", "--model", model, "--imgsz", "64")  # imports what it needs
    with as_nobody():
        done = within(public, "annotate", bad, good, "--out", "out", "--model", model, "--imgsz", "64")
    check_failed(done, "bad", "may not be read")
    assert frames_of(public / "out" / "good.jsonl") == 5


def test_corrupt_packets_cost_only_their_frames(folder: Path) -> None:
    damaged(folder / "in" / "bad.mp4")
    done = annotate(folder, "in/bad.mp4", "in/good.mp4")
    assert done.code == 0
    assert 30 <= frames_of(folder / "out" / "bad.jsonl") <= 60
    assert any("bad" in line and "corrupt" in line for line in done.out + done.err)


def test_a_size_that_changes_in_the_middle(folder: Path) -> None:
    parts = [write_clip(folder / f"{i}.ts", frames=5, size=size) for i, size in enumerate(((64, 48), (96, 64)))]
    (folder / "in" / "two.ts").write_bytes(b"".join(p.read_bytes() for p in parts))
    done = annotate(folder, "in/two.ts", "in/good.mp4")
    assert done.code == 0
    sizes = [json.loads(line).get("width") for line in (folder / "out" / "two.jsonl").read_text().splitlines()[1:-1]]
    assert sizes == [64] * 5 + [96] * 5
    assert {p.shape for p in decode(folder / "out" / "two.mp4").pictures} == {(48, 64, 3)}
    assert any("another size" in line for line in done.out + done.err)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        pytest.param((1, 1), {"codec": "ffv1", "pix_fmt": "bgr0"}, id="1x1"),
        pytest.param((7, 9999), {"codec": "ffv1", "pix_fmt": "bgr0"}, id="7x9999"),
        pytest.param((7680, 4320), {"options": {"preset": "ultrafast"}}, id="8K"),
        pytest.param((64, 48), {"pix_fmt": "gray"}, id="grey"),
        pytest.param((64, 48), {"pix_fmt": "yuv420p10le"}, id="10-bit"),
        pytest.param((64, 48), {"codec": "ffv1", "pix_fmt": "bgra"}, id="alpha"),
    ],
)
def test_any_picture_goes_through(folder: Path, size: tuple[int, int], settings: dict[str, object]) -> None:
    write_clip(folder / "in" / "odd.mkv", frames=2, size=size, **settings)
    done = annotate(folder, "in/odd.mkv", "--preset", "ultrafast")
    assert (done.code, frames_of(folder / "out" / "odd.jsonl")) == (0, 2)
    pictures = decode(folder / "out" / "odd.mp4").pictures
    assert [p.shape[:2] for p in pictures] == [(size[1] + size[1] % 2, size[0] + size[0] % 2)] * 2


def test_a_broken_photo_is_named_and_the_others_are_done(folder: Path) -> None:
    photos = folder / "photos"
    photos.mkdir()
    write_photo(photos / "a.jpg")
    (photos / "b.jpg").write_text("no picture")
    write_photo(photos / "c.jpg")
    done = annotate(folder, "photos")
    check_failed(done, "photos", "b.jpg")
    assert frames_of(folder / "out" / "photos.jsonl") == 2
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.jpg", "c.jpg", "photos.jsonl"]


def wrong_outputs() -> onnx.ModelProto:
    model = tiny_detector(declare=False)
    for output in model.graph.output:
        if output.name == "boxes":
            output.name = "rectangles"
    for node in model.graph.node:
        node.output[:] = ["rectangles" if name == "boxes" else name for name in node.output]
    return model


@pytest.mark.parametrize(
    ("model", "says"),
    [
        pytest.param(lambda: b"no onnx", "no ONNX|broken|cannot be read", id="broken"),
        pytest.param(lambda: tiny_detector().SerializeToString()[:-900], "no ONNX|broken|cannot be read", id="cut"),
        pytest.param(lambda: without_metadata(tiny_detector()).SerializeToString(), "metadata", id="no metadata"),
        pytest.param(lambda: wrong_outputs().SerializeToString(), "boxes", id="wrong outputs"),
    ],
)
def test_a_bad_model_is_refused_before_anything_is_written(folder: Path, model: Callable[[], bytes], says: str) -> None:
    (folder / "bad.onnx").write_bytes(model())
    done = annotate(folder, "in/good.mp4", model="bad.onnx")
    assert done.code == 2
    assert len(done.err) == 1
    assert re.search(f"bad.onnx.*({says})", done.err[0]), done.err
    assert not (folder / "out").exists()


def flash(colour: int, at: int) -> Callable[[int], np.ndarray]:
    """Pictures of grey, but for one."""
    return lambda index: np.full((48, 64, 3), colour if index == at else 128, np.uint8)


@pytest.mark.parametrize(
    ("poison", "colour", "says"),
    [
        pytest.param({"fails": True}, 0, "detector failed on frame 57", id="engine raises"),
        pytest.param({"nan": "scores"}, 255, r"detector failed on frame 57.*NaN|nan", id="NaN"),
    ],
)
def test_an_engine_that_fails_on_frame_57(folder: Path, poison: dict, colour: int, says: str) -> None:
    onnx.save(tiny_detector(**poison), folder / "bad.onnx")
    lossless = {"codec": "ffv1", "pix_fmt": "bgr0"}
    write_clip(folder / "in" / "bad.mkv", frames=80, draw=flash(colour, 57), **lossless)
    done = within(
        folder, "annotate", "in/bad.mkv", "in/good.mp4", "--out", "out", "--model", "bad.onnx", "--imgsz", "64x48"
    )
    check_failed(done, "bad", says)
    assert frames_of(folder / "out" / "bad.jsonl") == 57
    assert len(decode(folder / "out" / "bad.mp4").pictures) == 57
    assert frames_of(folder / "out" / "good.jsonl") == 5


def test_an_output_folder_that_cannot_be(folder: Path) -> None:
    (folder / "out").write_text("a file")
    done = annotate(folder, "in/good.mp4")
    check_failed(done, "good", "a file is where a folder should be|cannot be made|is no folder")
    assert (folder / "out").read_text() == "a file"


def test_the_input_is_never_overwritten(folder: Path) -> None:
    before = (folder / "in" / "good.mp4").read_bytes()
    done = within(folder, "annotate", "in/good.mp4", "--out", "in", "--model", "tiny.onnx", "--imgsz", "64")
    check_failed(done, "good", "is an input")
    assert (folder / "in" / "good.mp4").read_bytes() == before


def test_a_disk_that_fills_up_keeps_what_was_written(folder: Path, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("1500k")
    rng = np.random.default_rng(0)
    noise = {"draw": lambda _: rng.integers(0, 256, (192, 256, 3), np.uint8), "size": (256, 192)}
    write_clip(folder / "in" / "big.mp4", frames=150, options={"crf": "18"}, **noise)
    done = within(
        folder, "annotate", "in/big.mp4", "--out", disk, "--model", "tiny.onnx", "--imgsz", "64", "--conf", "1"
    )
    check_failed(done, "big", "disk full")
    footer = json.loads((disk / "big.jsonl").read_text().splitlines()[-1])["footer"]
    assert 0 < footer["frames"] < 150
    assert not footer["whole"]
    assert frames_of(disk / "big.jsonl") == len(decode(disk / "big.mp4").pictures) == footer["frames"]


def test_three_mistakes_in_a_config_are_all_named(folder: Path) -> None:
    (folder / "watchline.toml").write_text('[detector]\nconf = 7\nmodle = "x"\n[video]\npreset = "quick"\n')
    done = within(folder, "check", "watchline.toml")
    assert done.code == 2
    text = "\n".join(done.out + done.err)
    assert re.search(r"\[detector\] conf = 7: .*1", text)
    assert re.search(r"modle.*did you mean 'model'", text)
    assert re.search(r"\[video\] preset = \"quick\": .*veryfast", text)


def test_opencv_does_not_speak_to_users(tmp_path: Path) -> None:
    (tmp_path / "bad.bmp").write_bytes(b"BM" + bytes(range(200)))
    done = watchline("annotate", "bad.bmp", "--out", "out", cwd=tmp_path)
    assert done.code == 1
    assert [line for line in done.err if not line.startswith(("bad: ", "watchline: failed: "))] == []
