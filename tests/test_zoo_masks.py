"""The shipped Mask R-CNN: that it finds people with their pixels, and its figures."""

from itertools import islice

import pytest

import watchline
from watchline.engines import metadata, zoo
from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.contenders import of_stages
from watchline.measure.layouts.known import open_data
from watchline.measure.scores import MEAN

MODEL = "mask-rcnn-lite0"
BOXES, MASKS = "box AP on Penn-Fudan's last 50", "mask AP on Penn-Fudan's last 50"


def test_it_knows_people_and_says_how_well():
    about = metadata.read(zoo.find(MODEL))
    assert (about.task, about.labels, about.size) == ("instances", ("person",), (512, 448))
    assert about.figures[BOXES] >= 0.5
    assert about.figures[MASKS] >= 0.5


def test_people_of_a_street_have_masks_inside_their_boxes(bikes):
    detector = watchline.Detector(model=MODEL, every=25)
    looked = [found for _, found in islice(watchline.detect(bikes, detector), 10)]
    assert sum(len(found) for found in looked) > 1
    for found in looked:
        x1, y1, x2, y2 = found.xyxy.T
        assert found.masks is not None
        share = found.masks.area / ((x2 - x1) * (y2 - y1))
        assert ((share > 0.2) & (share < 1)).all()


@pytest.mark.shared
@pytest.mark.slow
def test_its_figures_can_be_measured_again(shared):
    figures = metadata.read(zoo.find(MODEL)).figures
    detector = watchline.Detector(model=MODEL, iou=0.5, conf=0.01, several=True)
    judged = of_stages(MODEL, [detector])
    [outcome] = benchmark(open_data(shared / "pennfudan", "test"), [judged], Counting("coco", samples=0)).outcomes
    assert float(outcome.boxes.table[MEAN]["AP"]) == pytest.approx(figures[BOXES], abs=0.005)
    assert outcome.masks is not None
    assert float(outcome.masks.table[MEAN]["AP"]) == pytest.approx(figures[MASKS], abs=0.005)
