"""The report: it holds what it shows, no name becomes markup, and the worst pictures are those with most mistakes."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from labelled_street import BESIDE, BOX, GOOD, HALF, STREET, contender, data, picture

from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.errors import ReportNotWritten
from watchline.measure.mistakes import curves_of, mistakes_of
from watchline.measure.report import page, parts, plots, worst
from watchline.measure.report.svg import steps
from watchline.streams.frame import ArrayPicture

EVIL = "<script>alert('x')</script>&\"\udcff"


def report(pictures, *contenders, rule="voc2010", samples=20, about=()):
    result = benchmark(data(*pictures), contenders, Counting(rule, samples=samples))
    return page.page(result, [mistakes_of(result, outcome) for outcome in result.outcomes], about)


@pytest.mark.parametrize("rule", ["voc2010", "voc2007", "coco", "ilsvrc"])
def test_it_holds_all_that_it_shows(rule):
    html = report(STREET, GOOD, HALF, rule=rule)
    assert "<script" not in html
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert all(address.startswith("data:image/jpeg;base64,") for address in re.findall(r"src=[\"'](.*?)[\"']", html))
    assert html.count("<svg") == 2  # a curve of each class
    assert {"Kinds of error", "The worst pictures", "What is taken for what"} <= set(
        re.findall(r"<h2>(.*?)</h2>", html)
    )
    assert html.count('<path class="line m1"') == 2
    assert "nan" not in html


def test_no_name_becomes_markup():
    odd = contender((EVIL, "car"), {"b": [(BOX, EVIL, 0.9)], EVIL: [(BESIDE, "car", 0.9)]}, name=EVIL)
    pictures = [picture("b", (BOX, EVIL)), picture(EVIL, (BOX, "car"))]
    html = report(pictures, odd, odd, about=[EVIL])
    html.encode()  # the byte that is no UTF-8 is written otherwise
    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(&#x27;x&#x27;)") > 8


def test_a_single_model_without_intervals_or_mistakes():
    html = report(STREET, GOOD, samples=0)
    assert "There is none." in html
    assert " to " not in re.sub(r"<p.*?</p>", "", html)


def test_the_worst_picture_is_the_first_and_a_good_one_is_not_shown():
    result = benchmark(data(*STREET), [HALF], Counting("voc2010", samples=0))
    mistakes = mistakes_of(result, result.outcomes[0])
    assert mistakes.per_picture.tolist() == [1, 1]  # a person that is not found, a car where none is
    good = mistakes_of(*((one := benchmark(data(*STREET), [GOOD], Counting("voc2010"))), one.outcomes[0]))
    assert good.worst(5) == []
    low = contender(("person", "car"), {"a": [], "b": [(BESIDE, "car", 0.2), (BOX, "car", 0.3)]})
    result = benchmark(data(*STREET), [low], Counting("voc2010", samples=0))
    assert mistakes_of(result, result.outcomes[0]).per_picture.tolist() == [2, 0]  # what nobody sees is no mistake


def test_an_object_that_was_not_found_is_drawn_as_such():
    result = benchmark(data(*STREET), [HALF], Counting("voc2010", samples=0))
    drawn = worst.draw(STREET[0], 0, result, mistakes_of(result, result.outcomes[0]))
    scale = worst.WIDTH / 60
    colours = [
        tuple(drawn[round((y + y2) / 2 * scale), round(x * scale) + 1].tolist()) for x, y, _, y2 in (BOX, BESIDE)
    ]
    assert colours == [worst.SEEN, worst.LOST]  # the right box is on top of its object


@pytest.mark.parametrize(("width", "height"), [(60, 12000), (12000, 60), (1, 9000), (9000, 1)])
def test_a_long_picture_is_not_enlarged_beyond_a_page(width, height):
    result = benchmark(data(*STREET), [HALF], Counting("voc2010", samples=0))
    long = replace(STREET[0], picture=ArrayPicture(np.zeros((height, width, 3), np.uint8)))
    drawn = worst.draw(long, 0, result, mistakes_of(result, result.outcomes[0]))
    assert drawn.shape[0] <= worst.HEIGHT
    assert drawn.shape[1] <= worst.WIDTH
    assert worst.HEIGHT in drawn.shape or worst.WIDTH in drawn.shape


def test_the_area_below_a_curve_is_average_precision():
    result = benchmark(data(*STREET), [HALF], Counting("voc2010", samples=0))
    for name, line in curves_of(result, result.outcomes[0]).items():
        corners = steps(*line)
        area = float(np.trapezoid(corners[:, 1], corners[:, 0]))
        assert area == pytest.approx(float(result.outcomes[0].boxes.table[name]["AP"]))


def test_plots_are_pictures_whose_files_stay_in_the_folder(tmp_path):
    line = (np.array([0.5, 1.0]), np.array([1.0, 0.5]))
    files = plots.write(tmp_path / "plots", ["a", "ü"], [{"../../x": line, "dog": line}, {"dog": line}])
    assert [file.name for file in files] == ["00--x.png", "01-dog.png"]
    assert sorted(files) == sorted((tmp_path / "plots").iterdir())
    image = cv2.imread(str(files[1]))
    assert (image == plots.COLOURS[1]).all(axis=2).sum() > 500
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportNotWritten, match=r"--plots .*: it cannot be written"):
        plots.write(tmp_path / "file" / "x", ["a"], [{"dog": line}])


def test_a_report_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(ReportNotWritten, match=r"--report .*: it cannot be written"):
        parts.write(tmp_path / "no" / "r.html", "<!doctype html>")
