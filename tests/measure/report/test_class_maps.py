"""The report of segmenters: what it holds, and that its pictures show what is wrong where it is."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from class_map_set import coloured
from models_onnx import save, tiny_segmenter

from watchline.measure import bootstrap
from watchline.measure.class_maps import MOST_WORST, class_maps
from watchline.measure.report.class_maps import WIDTH, WRONG, draw, page
from watchline.pipeline.stages.segmenter import Segmenter

EVIL = "<script>alert('x')</script>"


@pytest.fixture
def measured(tmp_path: Path):
    data = coloured(tmp_path / "streets")
    (data / "val" / "a.png").rename(data / "val" / f"{EVIL[:8]}.png")
    (data / "valannot" / "a.png").rename(data / "valannot" / f"{EVIL[:8]}.png")
    return class_maps(Segmenter(model=str(save(tiny_segmenter(), tmp_path)), imgsz=(64, 32), workers=1), data)


def test_it_holds_all_that_it_shows(measured):
    figures = bootstrap.figures([measured.table, measured.table], measured.pictures, samples=20)
    html = page([EVIL, "b"], [measured, measured], figures, ["how"])
    assert "<script" not in html
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "Intersection over union",
        "What is taken for what",
        "The worst pictures",
    ]
    assert html.count("src='data:image/jpeg;base64,") == 4  # two pictures of two models
    assert all(f"<tr><th>{name}</th>" in html for name in ("blue", "green", "red", "mean"))
    assert f"{measured.mean:.3f} <small>" in html
    assert "nan" not in re.sub(r"base64,[^']*", "", html)


def test_the_worst_picture_is_the_first(measured):
    shares = [one.wrong for one in measured.worst]
    assert shares == sorted(shares, reverse=True)
    assert len(shares) == 2 <= MOST_WORST
    assert shares[0] == pytest.approx(max(1 - np.trace(counts) / counts.sum() for counts in measured.each))
    said = measured.as_dict()
    assert said["confusion"]["matrix"] == measured.counts.tolist()
    assert said["worst"][0] == {"picture": measured.worst[0].picture.name, "wrong": shares[0]}


def test_only_what_is_wrong_is_red(measured):
    """Void is neither: only the first four rows of 32 have other classes than their colours."""
    drawn = draw(measured.worst[0])
    assert drawn.shape == (WIDTH // 2, 3 * WIDTH, 3)
    picture = cv2.imread(str(measured.worst[0].picture))
    plain = cv2.resize(picture, (WIDTH, WIDTH // 2), interpolation=cv2.INTER_AREA)
    is_other = np.abs(drawn[:, 2 * WIDTH :].astype(int) - plain).max(axis=2) > 2
    assert not is_other[round(4.5 * WIDTH / 64) :].any()
    assert is_other[: 4 * WIDTH // 64].mean() == pytest.approx(2 / 3, abs=0.15)
    assert WRONG[2] > WRONG[0]
