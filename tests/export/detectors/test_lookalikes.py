"""Families whose outputs have the form of another one's: what tells them apart, and their decoding by hand."""

import numpy as np
import pytest
import stranger_forms as forms
from stranger_forms import CLASSES
from strangers import pictures, planes, save

from watchline import engines
from watchline.engines import metadata
from watchline.export.detectors import export as foreign
from watchline.export.detectors.preparation import parse
from watchline.export.errors import ExportRefused
from watchline.export.request import Request
from watchline.ops.coco import COCO, IDS

SIZE = (96, 64)
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])  # RGB
UNIT = {"std": 255, "rgb": True}
IMAGENET = {"mean": MEAN, "std": STD, "rgb": True}


def around(boxes):
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def spread(scores, numbers):
    return scores.reshape(-1, 1) * (numbers.reshape(-1, 1) == np.arange(len(CLASSES)))


SIDES = np.array(SIZE * 2)
# the form, the family, what it is called, how pixels are fed, what the outputs mean
FORMS = [
    (
        lambda: forms.yolov6(),
        "yolov6",
        "RGB 0..1, letterbox in the middle",
        UNIT,
        lambda o: (around(o[:, :4]), o[:, 5:]),
    ),
    (lambda: forms.yolov6(name="x"), "yolov6", "RGB 0..1", UNIT, lambda o: (around(o[:, :4]), o[:, 5:])),
    (lambda: forms.yolov6(strides=(8, 16, 32, 64)), "yolov6", "RGB", UNIT, lambda o: (around(o[:, :4]), o[:, 5:])),
    (lambda: forms.deepstream(), "deepstream", "RGB 0..1", UNIT, lambda o: (o[:, :4], spread(o[:, 4], o[:, 5]))),
    (lambda: forms.deepstream(classes=1), "deepstream", "RGB", UNIT, lambda o: (o[:, :4], spread(o[:, 4], o[:, 5]))),
    (
        lambda: forms.deepstream(columns=7),
        "deepstream",
        "RGB 0..1",
        UNIT,
        lambda o: (around(o[:, :4]), spread(o[:, 4] * o[:, 6], o[:, 5])),
    ),
    (
        lambda: forms.deepstream(apart=True),
        "deepstream",
        "RGB 0..1",
        UNIT,
        lambda b, s, c: (around(b), spread(s, c)),
    ),
    (lambda: forms.yolonas(), "yolonas", "RGB 0..1, letterbox in the middle", UNIT, lambda b, s: (b, s)),
    (lambda: forms.rtdetr_rows(), "rtdetr", "RGB 0..1, stretched", UNIT, lambda c, b, s: (b, spread(s, c))),
    (lambda: forms.rtdetr(), "rtdetr", "RGB 0..1", UNIT, lambda z, b: (around(b) * SIDES, sigmoid(z))),
    (lambda: forms.rtdetr_joined(classes=3), "rtdetr", "RGB", UNIT, lambda o: (around(o[:, :4]) * SIDES, o[:, 4:])),
    (
        lambda: forms.rfdetr(),
        "rfdetr",
        "RGB 0..1, mean 0.485/0.456/0.406, std 0.229/0.224/0.225, stretched",
        IMAGENET,
        lambda b, z: (around(b) * SIDES, sigmoid(z[:, :3])),
    ),
]


def run(path, feeds):
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [np.asarray(out[0], np.float64) for out in session.run(None, feeds)]


@pytest.mark.parametrize(("form", "family", "words", "pixels", "decode"), FORMS)
def test_the_family_is_told_said_and_decoded(tmp_path, form, family, words, pixels, decode):
    model = form()
    theirs = save(model, tmp_path)
    assert foreign.recognise(theirs) == family
    ours = foreign.export(theirs, family, Request("x", CLASSES))
    assert ours.doc_string.startswith(f"taken for {family}: {words}")
    picture = pictures(1, SIZE)[0]
    feeds = {model.graph.input[0].name: planes(picture, **pixels)}
    if len(model.graph.input) > 1:
        feeds["orig_target_sizes"] = np.array([SIZE])
    boxes, scores = decode(*run(theirs, feeds))
    with engines.load(save(ours, tmp_path, "ours.onnx")) as engine:
        found = engine.infer(picture[None])
    np.testing.assert_allclose(found["boxes"][0], boxes, atol=1e-2, rtol=1e-3)
    np.testing.assert_allclose(found["scores"][0], scores, atol=1e-4)


def test_a_network_of_bytes_gets_them_and_rows_of_the_best_are_spread(tmp_path):
    theirs = save(forms.yolonas_best(), tmp_path)
    assert foreign.recognise(theirs) == "yolonas"
    ours = foreign.export(theirs, "yolonas", Request("x", CLASSES))
    assert ours.doc_string.startswith("taken for yolonas: RGB bytes, letterbox in the middle;")
    picture = pictures(1, SIZE)[0]
    _, boxes, scores, numbers = run(theirs, {"input": planes(picture, rgb=True).astype(np.uint8)})
    with engines.load(save(ours, tmp_path, "ours.onnx")) as engine:
        found = engine.infer(picture[None])
    np.testing.assert_allclose(found["boxes"][0], boxes, atol=1e-3)
    np.testing.assert_allclose(found["scores"][0], spread(scores, numbers), atol=1e-5)
    with pytest.raises(ExportRefused, match="its input takes bytes, so range, mean and std are inside it"):
        foreign.export(theirs, "yolonas", Request("x", CLASSES, input=parse("0..1")))


@pytest.mark.parametrize("joined", [True, False])
def test_pp_yoloe_is_one_of_two_and_the_file_does_not_tell(tmp_path, joined):
    theirs = save(forms.ppyoloe(joined=joined), tmp_path)
    with pytest.raises(
        ExportRefused, match=r"2 ways.*--family ppyoloe \(RGB 0\.\.1, mean .*--family ppyoloe-plus \(RGB"
    ):
        foreign.recognise(theirs)
    picture = pictures(1, SIZE)[0]
    for family, pixels in (("ppyoloe", IMAGENET), ("ppyoloe-plus", UNIT)):
        feeds = {"image": planes(picture, **pixels), "scale_factor": np.ones((1, 2), np.float32)}
        out = run(theirs, feeds)
        boxes, scores = (out[0][:, :4], out[0][:, 4:]) if joined else (out[0], out[1].T)
        with engines.load(save(foreign.export(theirs, family, Request("x", CLASSES)), tmp_path, "o.onnx")) as engine:
            found = engine.infer(picture[None])
        np.testing.assert_allclose(found["boxes"][0], boxes, atol=1e-2)
        np.testing.assert_allclose(found["scores"][0], scores, atol=1e-4)


@pytest.mark.parametrize(
    ("form", "readings"),
    [
        (lambda: forms.rtdetr(layer="head"), ["detr", "rtdetr", "rfdetr", "deformable-detr"]),
        (lambda: forms.rtdetr(classes=1, layer="head"), ["rtdetr", "rfdetr", "deformable-detr"]),
        (lambda: forms.yolonas(order=-1), ["yolonas", "ssd"]),  # as DAMO-YOLO has them
    ],
)
def test_what_may_be_read_in_several_ways_is_refused_with_a_list(tmp_path, form, readings):
    with pytest.raises(ExportRefused, match=rf"may be read in {len(readings)} ways") as caught:
        foreign.recognise(save(form(), tmp_path))
    assert [part.split(" ")[0] for part in str(caught.value).split("--family ")[1:]] == readings


def test_coco_s_numbers_of_rf_detr_are_the_eighty(tmp_path):
    theirs = save(forms.rfdetr(columns=91), tmp_path)
    ours = save(foreign.export(theirs, "rfdetr", Request("x")), tmp_path, "ours.onnx")
    picture = pictures(1, SIZE)[0]
    _, logits = run(theirs, {"input": planes(picture, **IMAGENET)})
    with engines.load(ours) as engine:
        np.testing.assert_allclose(engine.infer(picture[None])["scores"][0], sigmoid(logits[:, IDS]), atol=1e-4)
    assert metadata.read(ours).labels == tuple(COCO)


@pytest.mark.parametrize("form", [forms.deepstream, forms.yolonas_best, forms.rtdetr_rows, forms.best])
def test_names_are_asked_for_where_nothing_tells_how_many_classes_there_are(tmp_path, form):
    theirs = save(form(), tmp_path)
    with pytest.raises(
        ExportRefused, match=r"no names for its classes, and its outputs do not tell how many.*--labels"
    ):
        foreign.export(theirs, foreign.recognise(theirs), Request("x"))


def test_who_knows_better_says_how_pixels_go_in(tmp_path):
    theirs = save(forms.yolov6(), tmp_path)
    asked = parse("bgr,0..255,mean=103/116/123,std=57,letterbox")
    ours = foreign.export(theirs, "yolov6", Request("x", CLASSES, input=asked))
    assert ours.doc_string.startswith(
        "taken for yolov6: BGR 0..255, mean 103/116/123, std 57/57/57, letterbox top left;"
    )
    picture = pictures(1, SIZE)[0]
    (out,) = run(theirs, {"images": planes(picture, mean=(103, 116, 123), std=57)})
    path = save(ours, tmp_path, "ours.onnx")
    with engines.load(path) as engine:
        np.testing.assert_allclose(engine.infer(picture[None])["scores"][0], out[:, 5:], atol=1e-4)
    assert metadata.read(path).resize == "letterbox"


@pytest.mark.parametrize(
    "words",
    ["grey", "rgb,bgr", "mean=1/2", "std=0/1/1", "std=nan", "mean=a", "0..1,0..255", "0..2", "", "mean=1,mean=1"],
)
def test_words_for_the_input_that_cannot_be_are_refused(words):
    with pytest.raises(ValueError, match=r"expected|is none of"):
        parse(words)


def test_a_range_alone_means_no_mean():
    assert parse("0..1") == {"top": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    assert parse("BGR, stretch") == {"rgb": False, "resize": "stretch"}
