"""A run on a user's own data: measured, the best kept, ended early, resumed from its folder."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import own_sets
import pytest
import torch
from pictures import picture

from watchline.models.errors import CheckpointError
from watchline.train import curves, journal, own_run, samples
from watchline.train.own_data import dataset, pictures
from watchline.train.own_run import Loop, fit, outcome, periods
from watchline.train.pictures import LabelledPicture
from watchline.train.validation import Measured, measure

CPU = torch.device("cpu")
VAL = [picture(i, boxes=[(10, 20, 50, 45)], classes=1) for i in range(4)]


def sees(share):
    """A network that finds the boxes of so many of four pictures, of 80 x 60 pixels in an input of 160."""

    def detect(images):
        boxes = torch.tensor([[20.0, 40, 100, 90], [0, 0, 5, 5]]).expand(len(images), 2, 4)
        scores = torch.zeros(len(images), 2, 1)
        scores[: round(share * len(images)), 0] = 0.9
        return boxes, scores

    return detect


def share_in(file):
    return torch.load(file, weights_only=True)["share"]


class Scripted:
    """A recipe of two steps per epoch whose network gets better and worse as the shares say."""

    def __init__(self, folder: Path, shares):
        self.newest, self.shares, self.closed = folder / "newest.pt", shares, 0

    def loop(self, first=1):
        def steps():
            try:
                for step in range(first, 2 * len(self.shares) + 1):
                    if step % 2 == 0:
                        torch.save({"share": self.shares[step // 2 - 1], "optimizer": {}}, self.newest)
                    yield {"step": step, "loss": 1 / step, "size": 160, "seconds": 0.1}
            finally:
                self.closed += 1

        last = 2 * len(self.shares)
        return Loop(steps(), self.newest, lambda file: sees(share_in(file)), 2, last, 2, 160, CPU)


def run(script, out, patience=0, first=1):
    said: list[str] = []
    steps = [int(f["step"]) for f in fit(script.loop(first), VAL, ["cup"], out, patience, said.append)]
    return steps, said


def test_each_epoch_is_a_row_and_the_best_weights_are_kept(tmp_path):
    steps, said = run(Scripted(tmp_path, [0.25, 0.75, 0.5]), tmp_path)
    assert steps == [1, 2, 3, 4, 5, 6]
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"], row["mAP"], row["AP cup"]) for row in rows] == [
        ("1", "2", "0.25", "0.25"),
        ("2", "4", "0.75", "0.75"),
        ("3", "6", "0.5", "0.5"),
    ]
    assert float(rows[1]["loss"]) == pytest.approx((1 / 3 + 1 / 4) / 2, abs=1e-5)
    assert "size" not in rows[0]
    assert share_in(tmp_path / "best.pt") == 0.75
    assert "optimizer" not in torch.load(tmp_path / "best.pt", weights_only=True)
    assert said[1] == "epoch 2/3  mAP 0.750 (the best so far)  cup 0.750"
    assert said[2] == "epoch 3/3  mAP 0.500 (best 0.750)  cup 0.500"
    assert outcome(tmp_path) == "mAP 0.750 at IoU 0.5, epoch 2 of 3"
    assert cv2.imread(str(tmp_path / "curves.png")).shape == (420, 1280, 3)
    assert cv2.imread(str(tmp_path / "samples.jpg")).shape == (480, 1280, 3)  # two rows of 4:3 pictures


@pytest.mark.parametrize(("patience", "ends"), [(0, 12), (1, 6), (2, 8), (4, 12)])
def test_a_run_that_gets_no_better_ends_and_closes_its_loop(patience, ends, tmp_path):
    script = Scripted(tmp_path, [0.25, 0.5, 0.25, 0.5, 0.5, 0.5])
    steps, said = run(script, tmp_path, patience)
    assert steps[-1] == ends
    assert ("it ends here (--patience)" in said[-1]) == (ends < 12 or patience == 4)
    assert script.closed == 1


def test_a_run_that_goes_on_knows_what_was_best(tmp_path):
    script = Scripted(tmp_path, [0.75, 0.5, 0.25])
    first = fit(script.loop(), VAL, ["cup"], tmp_path, 0, lambda line: None)
    for _ in range(5):
        next(first)
    first.close()
    assert script.closed == 1
    _, said = run(script, tmp_path, first=5)
    assert said == ["epoch 3/3  mAP 0.250 (best 0.750)  cup 0.250"]
    assert share_in(tmp_path / "best.pt") == 0.75
    assert [row["step"] for row in journal.read(tmp_path / "results.csv", 99)] == [2, 4, 6]


def test_a_run_that_begins_anew_forgets_the_rows_of_another(tmp_path):
    run(Scripted(tmp_path, [1.0]), tmp_path)
    run(Scripted(tmp_path, [0.5, 0.25]), tmp_path)
    assert [row["mAP"] for row in journal.read(tmp_path / "results.csv", 99)] == [0.5, 0.25]


def test_without_pictures_to_measure_on_the_last_weights_are_the_best(tmp_path):
    said: list[str] = []
    list(fit(Scripted(tmp_path, [0.25, 0.5]).loop(), [], ["cup"], tmp_path, 1, said.append))
    assert said == ["epoch 1/2  nothing to measure on", "epoch 2/2  nothing to measure on"]
    assert share_in(tmp_path / "best.pt") == 0.5
    assert outcome(tmp_path) == "not measured, as there is nothing to measure on"


@pytest.mark.parametrize("text", ["epoch,step,mAP\n1,2,much\n", "epoch,mAP\n1,2\n", "epoch,step,mAP\n1\n", "\0"])
def test_a_broken_record_is_named(text, tmp_path):
    (tmp_path / "results.csv").write_text(text)
    if text == "\0":
        assert journal.read(tmp_path / "results.csv", 9) == []
        return
    with pytest.raises(CheckpointError, match=r"results\.csv is broken .* move it away to go on without them"):
        journal.read(tmp_path / "results.csv", 9)


@pytest.mark.parametrize(
    ("train", "val", "batch", "every"),
    [(160, 40, 16, 10), (160, 0, 16, 10), (161, 48, 16, 11), (100, 100, 10, 30), (10_000, 100, 16, 628)],
)
def test_measurements_are_epochs_apart_and_checkpoints_at_most_some_200_steps(train, val, batch, every):
    between, save = periods(train, val, batch)
    assert between == every
    assert between % save == 0
    assert save <= 200


def test_a_perfect_network_has_a_map_of_1_and_one_that_is_half_a_box_off_none():
    assert measure(sees(1), VAL, 1, 160, CPU).mean == 1

    def off(images):
        boxes, scores = sees(1)(images)
        return boxes + 40, scores

    assert measure(off, VAL, 1, 160, CPU).mean == 0


def test_ignored_objects_need_not_be_found_and_classes_without_objects_do_not_count():
    ignored = [replace(VAL[0], ignore=np.array([True])), *VAL[1:]]
    assert measure(sees(1), ignored, 1, 160, CPU).mean == 1
    two = measure(lambda images: (sees(1)(images)[0], torch.ones(len(images), 2, 2) * 0.5), VAL, 2, 160, CPU)
    assert math.isnan(two.per_class[1])


def test_a_network_sees_rgb_letterboxed_in_grey():
    seen = []

    def detect(images):
        seen.append(images)
        return torch.zeros(len(images), 1, 4), torch.zeros(len(images), 1, 1)

    blue = np.zeros((60, 80, 3), np.uint8)
    blue[..., 0] = 255
    jpeg = cv2.imencode(".jpg", blue)[1].reshape(-1)
    measure(detect, [replace(VAL[0], jpeg=jpeg)], 1, 160, CPU)
    [images] = seen
    assert images.shape == (1, 3, 160, 160)
    assert images[0, 2, :120].mean() > 250
    assert images[0, 0, :120].mean() < 5
    assert (images[0, :, 120:] == 114).all()


def test_samples_are_pictures_with_boxes_and_show_what_is_sure():
    empty = replace(VAL[0], boxes=np.zeros((0, 4), np.float32), classes=np.zeros(0, int), ignore=np.zeros(0, bool))
    many: list[LabelledPicture] = [empty, *VAL] * 5
    found = measure(sees(0), many, 1, 160, CPU).found
    sheet = samples.sheet(many, found, ("cup",))
    assert sheet.shape == (4 * 240, 1280, 3)
    truth, seen = sheet[:240, :320], sheet[:240, 320:640]
    assert (np.abs(truth.astype(int) - seen).max(2) > 60).mean() > 0.01  # a box on the left, none on the right


def test_curves_show_the_best_epoch_whatever_was_measured():
    rows = [{"epoch": e, "step": e, "loss": 1 / e, "mAP": m, "AP é": m} for e, m in ((1, 0.2), (2, 0.6), (3, 0.4))]
    chart = curves.draw(rows, ["loss"])
    flat = curves.draw([row | {"mAP": math.nan, "AP é": math.nan} for row in rows], ["loss"])
    assert chart.shape == flat.shape == (420, 1280, 3)
    x, y = curves._point(2, 0.6, 3, 1.0)
    assert (chart[y - 8 : y + 8, 640 + x - 8 : 640 + x + 8] != flat[y - 8 : y + 8, 640 + x - 8 : 640 + x + 8]).any()


def test_pictures_in_memory_are_as_large_as_training_needs_with_their_boxes(tmp_path):
    own_sets.yolo(tmp_path, {"train": own_sets.pictures(5)})
    data = dataset.read([tmp_path])
    small, large = (pictures.load(data.train, 2, longest, 2)[0] for longest in (40, 400))
    assert cv2.imdecode(small.jpeg, 1).shape == (30, 40, 3)
    assert cv2.imdecode(large.jpeg, 1).shape == (60, 80, 3)  # never larger than it is
    assert np.allclose(small.boxes * 2, large.boxes)
    assert small.open.tolist() == [False, False]
    assert pictures.memory_of(data.train, 40) == len(data.train) * 40 * 30 * 5


def test_a_picture_that_breaks_off_is_named_with_all_others(tmp_path):
    own_sets.yolo(tmp_path, {"train": own_sets.pictures(5)})
    data = dataset.read([tmp_path])
    for file in data.train[:2]:
        file.path.write_bytes(file.path.read_bytes()[:300])
    with pytest.raises(Exception, match="is damaged or cut off") as caught:
        pictures.load(data.train, 2, 400, 2)
    assert len(str(caught.value).splitlines()) == 2


def test_more_pictures_than_memory_are_refused_before_they_are_read():
    with pytest.raises(Exception, match=r"need 3\.0 GiB of memory while they are trained on, and 2\.0 are free"):
        pictures.check_memory(3 << 30, 2 << 30)
    pictures.check_memory(3 << 30, None)
    assert pictures.free_memory() is None or pictures.free_memory() > 1 << 20


@pytest.mark.parametrize(
    ("most", "free"),
    [
        (str(3 << 30), (3 << 30) - (1 << 30) + (256 << 20)),  # what the kernel can drop at once is free
        ("max", 8 << 30),
        (str(64 << 30), 8 << 30),
        (str(1 << 29), 0),
    ],
)
def test_a_container_has_no_more_memory_than_its_share(most, free, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text(f"MemTotal: {16 << 20} kB\nMemAvailable: {8 << 20} kB\n")
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text(f"{1 << 30}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {256 << 20}\nactive_file 7\n")
    monkeypatch.setattr(pictures, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(pictures, "CGROUP", tmp_path)
    assert pictures.free_memory() == free
    monkeypatch.setattr(pictures, "CGROUP", tmp_path / "none")
    assert pictures.free_memory() == 8 << 30


def test_what_is_measured_is_a_mean():
    assert Measured((), np.array([0.5, np.nan, 1.0])).mean == 0.75
    assert own_run.BEST == "best.pt"
