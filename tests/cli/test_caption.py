"""`watchline caption` as a user types it."""

import cv2
import numpy as np
import onnx
import pytest
from cli.shell import within
from clips import write_clip, write_photo
from models_onnx import tiny_captioner, tiny_detector

from watchline.ops.attention import DARK

RED, GREEN = (0, 0, 255), (0, 200, 0)


@pytest.fixture
def folder(tmp_path):
    onnx.save(tiny_captioner(attention=True), tmp_path / "words.onnx")
    (tmp_path / "photos").mkdir()
    for name, colour in (("a", RED), ("b", GREEN)):
        write_photo(tmp_path / "photos" / f"{name}.png", np.full((64, 96, 3), colour, np.uint8))
    return tmp_path


def said(folder, *words):
    return within(folder, "caption", *words, "--model", "words.onnx")


def test_a_line_for_each_photo(folder):
    done = said(folder, "photos")
    assert (done.code, done.out) == (0, ["a.png: a red picture", "b.png: a green picture"])


def test_a_line_for_each_scene_of_a_video(folder):
    noise = np.kron(np.random.default_rng(0).integers(0, 60, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    other = np.kron(np.random.default_rng(1).integers(0, 60, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    pictures = [noise + np.uint8((0, 0, 150)), other + np.uint8((150, 0, 0))]
    write_clip(folder / "clip.mp4", 50, (64, 48), rate=10, draw=lambda index: pictures[index // 25])
    done = said(folder, "clip.mp4")
    assert done.code == 0
    assert [line.split(": ")[1] for line in done.out] == ["a red picture", "a blue picture"]
    assert done.out[0].startswith("clip 0.00 s")


def test_where_it_looked_for_each_word(folder):
    done = said(folder, "photos/a.png", "--attention", "looked.png")
    assert (done.code, done.out) == (0, ["a.png: a red picture"])
    sheet = cv2.imread(str(folder / "looked.png"))
    reds = (sheet[..., 2].astype(int) - sheet[..., 1]).max(axis=0)
    assert reds.max() == 255  # the photo itself, and where it looked
    dark = (sheet[..., 2] == round(255 * DARK)) & (sheet[..., 1] == 0)
    assert dark.sum() > 3 * 96 * 64 * 0.4  # three words, each dark elsewhere


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("photos", "--attention", "out.png"), "--attention is of one photo, but the input is photos"),
        (("photos/a.png", "--attention", "out.gif"), "expected the name of a .png or .jpg"),
        (("photos/a.png", "--attention", "photos/b.png"), "is there already: name another, or add --overwrite"),
        (("photos/a.png", "--attention", "no/out.png"), "expected a file in a folder that is there"),
        (("photos/a.png", "--attention", "photos/a.png", "--overwrite"), "is the photo itself"),
    ],
)
def test_what_cannot_be(folder, words, why):
    done = said(folder, *words)
    assert done.code == 2
    assert why in done.err[-1]


def test_models_that_do_not_caption_or_do_not_say_where_they_look(folder):
    onnx.save(tiny_captioner(), folder / "words.onnx")
    done = said(folder, "photos/a.png", "--attention", "out.png")
    assert done.code == 2
    assert "words.onnx: it does not tell where it looks" in done.err[-1]
    onnx.save(tiny_detector(), folder / "words.onnx")
    done = said(folder, "photos/a.png")
    assert done.code == 2
    assert "the captioner needs 'caption'" in done.err[-1]


def test_one_that_breaks_does_not_stop_the_others(folder):
    (folder / "broken.mp4").write_bytes(b"no video")
    done = said(folder, "broken.mp4", "gone.jpg", "photos/b.png")
    assert (done.code, done.out) == (1, ["b.png: a green picture"])
    assert any("broken" in line for line in done.err)
    assert any("gone.jpg" in line for line in done.err)
