"""Ultralytics' three forms against their decoding by hand, and the names that its files carry."""

import numpy as np
import pytest
from stranger_forms import CLASSES, best, columns, rows_with_objectness, with_raw_maps, with_training_head
from stranger_forms import GRID as STRIDES
from strangers import ThirdParty, check, planes, raw, save

from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.errors import CheckpointRefused, ExportRefused
from watchline.export.request import Request


def around(boxes):
    return np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2] for x, y, w, h in boxes])


def by_hand(form, out):
    if form is columns:
        return around(out.T[:, :4]), out.T[:, 4:]
    if form is rows_with_objectness:
        return around(out[:, :4]), np.array([[row[4] * s for s in row[5:]] for row in out])
    scores = np.zeros((len(out), len(CLASSES)))
    for line, row in zip(scores, out, strict=True):
        line[int(row[5])] = row[4]
    return out[:, :4], scores


FORMS = [columns, rows_with_objectness, best]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("own", "size"), [((96, 64), (96, 64)), (None, (128, 96))], ids=["fixed", "free"])
def test_the_engine_decodes_every_form(tmp_path, form, own, size):
    theirs = save(form(own), tmp_path)
    assert foreign.recognise(theirs) == "ultralytics"
    ours = save(foreign.export(theirs, "ultralytics", Request("x", CLASSES)), tmp_path, "ours.onnx")
    check(ours, lambda picture: by_hand(form, raw(theirs, planes(picture, std=255, rgb=True))[0]), size)


@pytest.mark.parametrize(
    ("several", "place", "form"), [(with_raw_maps, 0, rows_with_objectness), (with_training_head, 1, columns)]
)
def test_of_several_outputs_the_one_that_counts_is_taken(tmp_path, several, place, form):
    theirs = save(several(), tmp_path)
    assert foreign.recognise(theirs) == "ultralytics"
    ours = save(foreign.export(theirs, "ultralytics", Request("x", CLASSES)), tmp_path, "ours.onnx")
    check(ours, lambda picture: by_hand(form, raw(theirs, planes(picture, std=255, rgb=True))[place]), (96, 64))


@pytest.mark.parametrize("form", FORMS)
def test_names_and_size_are_those_in_the_file(tmp_path, form):
    model = form(None)
    model.metadata_props.add(key="names", value=str(dict(enumerate(CLASSES))))
    model.metadata_props.add(key="imgsz", value="[96, 96]")
    about = metadata.read(save(foreign.export(save(model, tmp_path), "ultralytics", Request("x")), tmp_path))
    assert (about.labels, about.imgsz, about.resize) == (CLASSES, 96, "letterbox-center")


def test_a_file_for_another_task_is_refused(tmp_path):
    model = columns()
    model.metadata_props.add(key="task", value="pose")
    with pytest.raises(CheckpointRefused, match="it is for 'pose'; expected a detector"):
        foreign.export(save(model, tmp_path), "ultralytics", Request("x", CLASSES))


def test_a_class_number_beyond_the_names_is_no_score(tmp_path):
    """The best N tell no number of classes: rows of classes without a name have nought everywhere."""
    theirs = save(best(), tmp_path)
    ours = save(foreign.export(theirs, "ultralytics", Request("x", ("cat",))), tmp_path, "ours.onnx")
    (out,) = raw(theirs, planes(np.full((64, 96, 3), 9, np.uint8), std=255, rgb=True))
    _, scores = raw(ours, np.full((1, 64, 96, 3), 9, np.uint8))
    np.testing.assert_array_equal(scores[:, 0] > 0, out[:, 5] == 0)


def test_logits_are_refused(tmp_path):
    net = ThirdParty((96, 64))
    theirs = save(net.outputs(output0=(net.rows(STRIDES, 7) * 9.0).transpose(0, 2, 1)), tmp_path)
    with pytest.raises(CheckpointRefused, match=r"its outputs are `output0` \(1, 7, 126\).*scores in 0\.\.1"):
        foreign.export(theirs, "ultralytics", Request("x", CLASSES))


def test_names_that_do_not_fit_are_refused(tmp_path):
    theirs = save(columns(), tmp_path)
    with pytest.raises(ExportRefused, match="it has 3 classes, but 2 names are given"):
        foreign.export(theirs, "ultralytics", Request("x", ("cat", "dog")))
