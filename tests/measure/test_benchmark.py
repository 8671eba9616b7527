"""A benchmark of what is known by hand: rules, labels that stand for classes, intervals, masks."""

import json
from dataclasses import replace

import models_onnx
import numpy as np
import pytest
from labelled_street import BESIDE, BOX, GOOD, HALF, STREET, contender, data, picture
from own_stages import Tallies

from watchline.measure.benchmark import Counting, benchmark
from watchline.measure.benchmark_json import as_dict
from watchline.measure.contenders import of_stages
from watchline.measure.errors import DataRefused
from watchline.measure.scores import MEAN
from watchline.pipeline.errors import StageError
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import ArrayPicture


def value(result, row=MEAN, name="AP", n=0):
    return float(result.outcomes[n].boxes.table[row][name])


@pytest.mark.parametrize(
    ("rule", "person", "car"), [("voc2010", 0.5, 0.5), ("voc2007", 6 / 11, 0.5), ("coco", 51 / 101, 0.5)]
)
def test_rules_by_hand(rule, person, car):
    """Of two persons one is found; the car is found after a mistake."""
    result = benchmark(data(*STREET), [HALF], Counting(rule, samples=0))
    assert value(result, "person") == pytest.approx(person)
    assert value(result, "car") == pytest.approx(car)
    assert value(result) == pytest.approx((person + car) / 2)
    assert result.objects == {"car": 1, "person": 2}


def test_of_ilsvrc_every_label_of_the_model_is_a_guess():
    """Five labels that the data does not have are guessed first."""
    others = ("kite", "dog", "cat", "cow", "hat")
    rows = [(BOX, label, 0.9) for label in others] + [(BOX, "car", 0.5)]
    seen = contender(("car", *others), {"b": rows})
    result = benchmark(data(STREET[1]), [seen], Counting("ilsvrc", samples=0))
    assert value(result, name="top-5") == 0
    fewer = contender(("car", *others), {"b": rows[1:]})
    result = benchmark(data(STREET[1]), [fewer], Counting("ilsvrc", samples=0))
    assert (value(result, name="top-5"), value(result, name="top-1")) == (1, 0)
    assert result.objects == {"car": 1}
    two = benchmark(data(*STREET), [GOOD], Counting("ilsvrc", samples=0))
    assert two.objects == {"car": 1, "person": 1}  # pictures, not persons


def test_labels_that_stand_for_a_class_suppress_each_other():
    seen = contender(("car", "bus"), {"a": [(BOX, "bus", 0.9), (BOX, "car", 0.8), (BESIDE, "car", 0.7)]})
    moving = data(picture("a", (BOX, "moving"), (BESIDE, "moving")))
    result = benchmark(moving, [seen], Counting("voc2010", same={"moving": ("car", "bus")}, samples=0))
    assert value(result) == 1
    assert len(result.outcomes[0].found[0].scores) == 2


def test_classes_that_are_asked_for_and_those_that_a_model_has_not():
    walrus = data(*STREET, picture("c", (BOX, "walrus")))
    result = benchmark(walrus, [GOOD], Counting("voc2010", samples=0))
    assert (result.names, result.unknown) == (("car", "person"), ("walrus",))
    result = benchmark(walrus, [GOOD], Counting("voc2010", classes=("car",), samples=0))
    assert result.names == ("car",)
    only = contender(("person",), {})
    result = benchmark(data(*STREET), [GOOD, only], Counting("voc2010", samples=0))
    assert (result.names, result.unknown) == (("person",), ("car",))


@pytest.mark.parametrize(
    ("counting", "says"),
    [
        (Counting("voc2010", classes=("persn",)), "unknown class 'persn': did you mean 'person'"),
        (Counting("voc2010", same={"vehicle": ("car",)}), "unknown class 'vehicle'"),
        (Counting("voc2010", same={"car": ("bus",)}), "unknown class 'bus'"),
    ],
)
def test_classes_that_there_are_not_are_refused(counting, says):
    with pytest.raises(DataRefused, match=says):
        benchmark(data(*STREET), [GOOD], counting)


def test_nothing_in_common_is_refused():
    with pytest.raises(
        DataRefused, match="its val has car, person, and none of these is asked for; the model has kite"
    ):
        benchmark(data(*STREET), [contender(("kite",), {})], Counting("voc2010"))
    with pytest.raises(DataRefused, match="its val has no pictures"):
        benchmark(data(), [GOOD], Counting("voc2010"))


def test_two_models_are_compared_on_the_same_samples():
    """One is never worse than the other, so no sample of the difference is above zero."""
    pictures = [replace(STREET[n % 2], name="ab"[n % 2]) for n in range(12)]
    result = benchmark(data(*pictures), [GOOD, HALF, GOOD], Counting("voc2010", samples=200))
    first, second, third = result.outcomes
    assert first.boxes.intervals[MEAN]["AP"] == (1, 1)
    low, high = second.boxes.intervals[MEAN]["AP"]
    assert low <= value(result, n=1) <= high < 1
    assert second.boxes.differences[MEAN]["AP"][1] < 0
    assert third.boxes.differences[MEAN]["AP"] == (0, 0)
    again = benchmark(data(*pictures), [GOOD, HALF, GOOD], Counting("voc2010", samples=200))
    assert again.outcomes[1].boxes.intervals == second.boxes.intervals
    written = json.dumps(as_dict(result), allow_nan=False)
    models = json.loads(written)["models"]
    assert "difference_interval" not in models[0]["boxes"]["mean"]["AP"]
    assert models[1]["boxes"]["mean"]["AP"]["difference_interval"][1] < 0


@pytest.mark.parametrize("rule", ["voc2010", "coco", "ilsvrc"])
def test_an_interval_holds_the_figure_of_most_other_data_of_its_kind(rule):
    """Of 40 data sets of 60 pictures, in which a model finds 60 % of the objects: 95 % of the intervals hold that."""
    rng = np.random.default_rng(0)
    figure, held = {"voc2010": "AP", "coco": "AP50", "ilsvrc": "top-5"}[rule], 0
    for _ in range(40):
        pictures = [picture(str(n), (BOX, "car")) for n in range(60)]
        seen = {str(n): [(BOX, "car", 0.5)] for n in np.flatnonzero(rng.random(60) < 0.6)}
        result = benchmark(data(*pictures), [contender(("car",), seen)], Counting(rule, samples=200))
        low, high = result.outcomes[0].boxes.intervals[MEAN][figure]
        held += low <= (61 / 101 if rule == "coco" else 0.6) <= high
    assert 35 <= held <= 40


def test_masks_are_judged_where_data_and_model_have_some():
    masked = replace(GOOD, open=contender(("person", "car"), {"a": [(BOX, "person", 0.9)]}, masks=True).open)
    result = benchmark(data(*STREET), [masked], Counting("coco", samples=0))
    assert float(result.outcomes[0].masks.table["person"]["AP"]) == pytest.approx(51 / 101)
    assert benchmark(data(*STREET), [GOOD], Counting("coco", samples=0)).outcomes[0].masks is None
    boxes = data(picture("a", (BOX, "person"), masks=False))
    assert benchmark(boxes, [masked], Counting("coco", samples=0)).outcomes[0].masks is None


def test_the_stages_of_a_pipeline_look_at_every_picture(tmp_path):
    """A detector of every third frame, with settings for a stream of another name."""
    model = str(models_onnx.save(models_onnx.tiny_detector(), tmp_path))
    detector = Detector(model=model, every=3, conf=0.5)
    red = np.full((64, 64, 3), 114, np.uint8)
    red[8:16, 8:16] = (0, 0, 255)
    with of_stages("tiny", [detector]).open() as finder:
        things = [replace(picture("a"), picture=ArrayPicture(red.copy())) for _ in range(4)]
        assert [finder.find(one).names.tolist() for one in things] == [["person"]] * 4
        assert finder.about["config"]["conf"] == 0.5


def test_a_stage_of_order_stream_hears_of_its_beginning_and_sees_the_frames_in_order(tmp_path):
    model = str(models_onnx.save(models_onnx.tiny_detector(), tmp_path))
    with of_stages("tiny", [Detector(model=model), Tallies(fails_at=(2,))]).open() as finder:
        assert [len(finder.find(picture(name))) for name in "ab"] == [0, 0]
        with pytest.raises(
            StageError, match="tallies failed at c: no number after 3"
        ):  # it knows that this is the third frame of its stream
            finder.find(picture("c"))
