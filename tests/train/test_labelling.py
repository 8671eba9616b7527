"""Photos that detectors label: sure boxes apart from unsure ones, in a layout that is trained on."""

import numpy as np
import onnx
import pytest
import voc_set
from clips import write_photo
from models_onnx import LABELS, tiny_detector, tiny_masker

from watchline.engines.errors import ModelRefused
from watchline.export import labels
from watchline.models.errors import DatasetError
from watchline.train.labelling import Thresholds, label, names_of, photos_in, teachers_of, text_of, write
from watchline.train.own_data import dataset
from watchline.train.teachers import Labels, open_detector


@pytest.fixture
def engine(tmp_path):
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return open_detector(tmp_path / "tiny.onnx")


@pytest.fixture
def coco(tmp_path):
    """The same network, which calls its classes as COCO does."""
    onnx.save(tiny_detector(labels=("motorcycle", "truck", "airplane")), tmp_path / "coco.onnx")
    return open_detector(tmp_path / "coco.onnx")


@pytest.fixture
def voc(tmp_path):
    onnx.save(tiny_detector(labels=("motorbike", "bicycle", "car")), tmp_path / "voc.onnx")
    return open_detector(tmp_path / "voc.onnx")


def photo(name, column, row):
    """(128, 128, 3): twice the network's size, with an object that fills one of its cells there."""
    return voc_set.picture([(name, 2 * column + x, 2 * row + y) for x in (0, 1) for y in (0, 1)], 128, 128)


def test_a_box_is_found_where_it_is_by_all_looks(engine):
    found = label(photo("person", 3, 4), teachers_of([engine], LABELS), 0.3)
    best = int(found.scores.argmax())
    assert LABELS[int(found.classes[best])] == "person"
    centre = (found.boxes[best, :2] + found.boxes[best, 2:]) / 2
    assert np.allclose(centre, [7 * voc_set.STRIDE, 9 * voc_set.STRIDE], atol=4)


def test_names_are_joined_with_one_word_for_a_thing(coco, voc):
    assert names_of([coco, voc]) == ("truck", "airplane", "motorbike", "bicycle", "car")
    assert names_of([coco], ["airplane"]) == ("airplane",)
    assert names_of([coco], ["airplane", "truck", "airplane"]) == ("airplane", "truck")  # no data set has a class twice
    assert names_of([voc], ["motorcycle"]) == ("motorcycle",)  # the user's word counts
    with pytest.raises(DatasetError, match="--classes: unknown class 'bicyle': did you mean 'bicycle'"):
        names_of([coco, voc], ["bicyle"])


def test_labels_find_their_class_whatever_it_is_called(coco, voc):
    names = names_of([coco, voc])
    first, second = teachers_of([coco, voc], names).members
    assert [names[c] for c in first.classes] == ["motorbike", "truck", "airplane"]
    assert [names[c] for c in second.classes] == ["motorbike", "bicycle", "car"]
    [member] = teachers_of([voc], ["motorcycle"]).members
    assert (member.columns.tolist(), member.classes.tolist()) == ([0], [0])


def test_a_detector_that_does_not_know_a_class_did_not_overlook_it(coco, voc):
    picture = photo("bicycle", 3, 4)  # the second class: a truck, or a bicycle
    names = names_of([coco, voc])
    alone = label(picture, teachers_of([voc], names), 0.0)
    both = label(picture, teachers_of([coco, voc], names), 0.0)
    number = names.index("bicycle")
    assert both.scores[both.classes == number].max() == pytest.approx(
        alone.scores[alone.classes == number].max(), abs=1e-5
    )


def test_a_model_that_finds_no_boxes_of_its_own_is_refused(tmp_path):
    onnx.save(tiny_masker(), tmp_path / "masks.onnx")
    with pytest.raises(ModelRefused, match="its task is instances: expected a detector"):
        open_detector(tmp_path / "masks.onnx")


def test_photos_are_labelled_once_and_can_be_trained_on(engine, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "photos" / "labelled"
    for number in range(6):
        image = photo("person", 1 + number, 4)
        write_photo(photos / "day" / f"{number}.png", image) if number else write_photo(photos / "0.png", image)
    teachers, limits = teachers_of([engine], LABELS), Thresholds(0.5, 0.1)
    first = list(write(photos, out, teachers, LABELS, limits))
    assert len(first) == 6
    assert all(sure >= 1 for sure, _ in first)
    assert list(write(photos, out, teachers, LABELS, limits)) == [[]] * 6  # also not those in its own folder
    (out / "labels" / "0.txt").unlink()
    assert list(write(photos, out, teachers, LABELS, limits)) == [first[0], *[[]] * 5]
    data = dataset.read([out / "data.yaml"])
    assert len(data.train) + len(data.val) == 6
    assert "person" in data.names
    of_first = next(one for one in (*data.train, *data.val) if one.path.stem == "0")
    assert of_first.path.resolve() == (photos / "0.png").resolve()
    assert of_first.ignore.tolist() == [False] * first[0][0] + [True] * first[0][1]


def test_labels_keep_their_classes_when_others_are_asked_for(engine, tmp_path):
    write_photo(tmp_path / "photos" / "a.png", photo("person", 3, 4))
    out = tmp_path / "out"

    def labelled(*names):
        return list(write(tmp_path / "photos", out, teachers_of([engine], names), names, Thresholds(0.3, 0.1)))

    labelled("car", "person")
    with (out / "data.yaml").open("a") as file:
        file.write("val: ../checked\n")
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    for names in (("person", "car"), ("car",), ("car", "person", "bicycle")):
        with pytest.raises(
            DatasetError, match=r"data\.yaml: it has the classes car, person, not .* or name another --out"
        ):
            labelled(*names)
    assert labelled("car", "person") == [[]]
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before
    (out / "data.yaml").unlink()
    with pytest.raises(
        DatasetError, match=r"data\.yaml is missing: .* the classes of the labels .* name another --out"
    ):
        labelled("car", "person")


def test_photos_whose_labels_would_be_one_file_are_refused(tmp_path):
    for name in ("a/p0.jpg", "a/p0.png", "b/p0.jpg", "p1.png", "p1.jpg"):
        write_photo(tmp_path / name, voc_set.picture([]))
    with pytest.raises(DatasetError) as caught:
        photos_in(tmp_path, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}/a/p0.jpg and {tmp_path}/a/p0.png: both would have the labels a/p0.txt (1 other pair as well): "
        "expected one photo of a name; rename one of them"
    )
    (tmp_path / "a" / "p0.png").unlink()
    (tmp_path / "p1.jpg").unlink()
    assert [file.name for file in photos_in(tmp_path, tmp_path / "out")] == ["p0.jpg", "p0.jpg", "p1.png"]


def test_a_folder_that_is_a_link_does_not_bring_its_own_links_back(engine, tmp_path):
    write_photo(tmp_path / "disk" / "a.png", photo("person", 3, 4))
    (tmp_path / "photos").symlink_to("disk")
    for out in (tmp_path / "photos" / "out", tmp_path / "disk" / "out"):
        list(write(tmp_path / "photos", out, teachers_of([engine], LABELS), LABELS, Thresholds()))
        assert photos_in(tmp_path / "photos", out) == [tmp_path / "photos" / "a.png"]
        assert photos_in(tmp_path / "disk", out) == [tmp_path / "disk" / "a.png"]


def test_a_full_disk_is_a_line_and_what_was_labelled_stays(engine, tmp_path, small_disk):
    disk = small_disk("64k")
    for number in range(40):
        write_photo(tmp_path / "photos" / f"{number:02}.png", photo("person", 3, 4))
    steps = write(tmp_path / "photos", disk / "out", teachers_of([engine], LABELS), LABELS, Thresholds())
    with pytest.raises(DatasetError, match=r"out: it cannot be written \(No space left on device\); make room"):
        list(steps)
    files = list((disk / "out" / "labels").iterdir())
    assert files
    assert all(file.suffix == ".txt" and file.read_text() for file in files)


def test_a_photo_that_cannot_be_read_does_not_stop_the_others(engine, tmp_path):
    write_photo(tmp_path / "photos" / "a.png", voc_set.picture([("car", 2, 2)]))
    (tmp_path / "photos" / "b.jpg").write_bytes(b"<html>")
    first, second = write(tmp_path / "photos", tmp_path / "out", teachers_of([engine], LABELS), LABELS, Thresholds())
    assert isinstance(first, list)
    assert "b.jpg is not a picture that can be read" in second
    assert not (tmp_path / "out" / "labels" / "b.txt").exists()


def test_text_is_shares_inside_the_picture():
    found = Labels(np.array([[-3, 10, 50, 70]], np.float32), np.ones(1, np.float32), np.array([2]))
    assert text_of(found, (100, 60)) == "2 0.250000 0.583333 0.500000 0.833333\n"


def test_names_survive_the_yaml(engine, tmp_path):
    names = ("it's", "no", "a: b", "7")
    write_photo(tmp_path / "photos" / "a.png", voc_set.picture([]))
    list(write(tmp_path / "photos", tmp_path / "out", teachers_of([engine], names), names, Thresholds()))
    assert labels.read(tmp_path / "out" / "data.yaml") == names
