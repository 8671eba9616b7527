"""The shipped detector: its size, its figures, and that it finds what is on a street."""

import runpy
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

import watchline
from watchline.engines import metadata, zoo
from watchline.ops.voc import VOC

ROOT = Path(__file__).parents[1]
REACHED = {
    "six-class mAP on voc2012-animals val": 0.66,
    "person AP on PETS09-S2L1": 0.65,
    "person AP on TUD-Stadtmitte": 0.80,
    "vehicle AP on CDnet highway": 0.45,
}


def test_every_shipped_model_is_small_and_has_a_card():
    assert zoo.DEFAULT in zoo.names()
    for name in zoo.names():
        assert zoo.find(name).stat().st_size <= 8e6
        card = zoo.find(name).with_suffix(".md").read_text()
        about = metadata.read(zoo.find(name))
        assert about.name == name
        for figure, value in about.figures.items():
            assert f"| {figure} | {value:.3f} |" in card, f"the card of {name} does not say {figure}: {value:.3f}"


def test_the_default_knows_voc_s_classes_and_reaches_its_figures():
    about = metadata.read(zoo.find(zoo.DEFAULT))
    assert about.labels == tuple(VOC)
    assert about.figures.keys() == REACHED.keys()
    for name, least in REACHED.items():
        assert about.figures[name] >= least


def test_it_finds_the_people_cars_and_cycles_of_a_street(bikes):
    seen = Counter()
    for _, detections in islice(watchline.detect(bikes, watchline.Detector(every=5)), 50):
        seen.update(set(detections.names))
    assert seen["person"] > 8
    assert seen["car"] > 15
    assert seen["bicycle"] + seen["motorbike"] > 5


@pytest.mark.shared
@pytest.mark.slow
def test_its_figures_can_be_measured_again(shared):
    bench = runpy.run_path(str(ROOT / "bench" / "detector_map.py"))
    measured = bench["figures"](watchline.Detector(conf=0.01, iou=0.5), shared, every=24)
    for name, least in REACHED.items():
        assert measured[name] >= least - 0.05, name  # on a 24th of the pictures
