"""The segmenter stage: classes of pixels and objects' pixels, of the whole picture or of the detector's boxes."""

import json
from fractions import Fraction

import numpy as np
import onnx
import pytest
from clips import write_clip, write_photo
from models_onnx import tiny_detector, tiny_masker, tiny_segmenter
from pycocotools import mask as coco

from watchline import Annotate, Annotator, Detector, Files, FileSource, Job, Segmenter
from watchline.engines import metadata
from watchline.ops.class_map import VOID
from watchline.ops.detections import Detections
from watchline.pipeline.errors import ConfigError, StageError
from watchline.pipeline.kinds.class_map import CLASS_MAP
from watchline.pipeline.kinds.detections import DETECTIONS
from watchline.pipeline.kinds.instances import INSTANCES
from watchline.pipeline.message import Item
from watchline.streams.frame import ArrayPicture, Frame
from watchline.streams.inputs import find_sources

SIZE = (128, 64)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


@pytest.fixture
def folder(tmp_path):
    onnx.save(tiny_segmenter(), tmp_path / "classes.onnx")
    onnx.save(tiny_masker(), tmp_path / "masks.onnx")
    onnx.save(tiny_detector(), tmp_path / "boxes.onnx")
    return tmp_path


def stage(folder, name, **settings):
    return Segmenter(**({"model": str(folder / f"{name}.onnx"), "workers": 1, "imgsz": SIZE} | settings))


def picture():
    """Blue above, green below, with a red square of 16 x 16."""
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:32, :, 0] = pixels[32:, :, 1] = 200
    pixels[24:40, 40:56] = (0, 0, 255)
    return pixels


def item(index=0, found=None, stream="a"):
    one = Item(Frame(stream, index, index, Fraction(1, 25), ArrayPicture(picture())))
    return one if found is None else one.with_result(DETECTIONS, found)


def found(*boxes, labels=("red", "car")):
    count = len(boxes)
    return Detections(np.array(boxes, np.float32), np.full(count, 0.75), np.zeros(count, int), labels)


def test_each_pixel_of_the_picture_has_its_class(folder):
    with stage(folder, "classes").open() as work:
        [done] = work([item()])
    np.testing.assert_array_equal(done.result(CLASS_MAP).classes, picture().argmax(axis=2))
    assert done.result(CLASS_MAP).labels == ("blue", "green", "red")
    assert done.result(INSTANCES) is None


def test_padding_is_no_part_of_the_class_map(folder):
    model = tiny_segmenter()
    about = metadata.of(model, "tiny")
    metadata.write(model, type(about)("tiny", "segment", about.labels, 64, 8, "letterbox-center", "0" * 64, {}))
    onnx.save(model, folder / "classes.onnx")
    with stage(folder, "classes", imgsz=(64, 64)).open() as work:
        [done] = work([item()])
    assert done.result(CLASS_MAP).classes.shape == (32, 64)
    np.testing.assert_array_equal(done.result(CLASS_MAP).classes, picture()[::2, ::2].argmax(axis=2))


def test_classes_that_nobody_asks_for_are_void(folder):
    with stage(folder, "classes", classes=("red",)).open() as work:
        [done] = work([item()])
    is_red = picture().argmax(axis=2) == 2
    np.testing.assert_array_equal(done.result(CLASS_MAP).classes, np.where(is_red, 2, VOID))


def test_the_background_is_void(folder):
    model = tiny_segmenter()
    about = metadata.of(model, "tiny")
    labels = ("background", *about.labels[1:])
    metadata.write(model, type(about)("tiny", "segment", labels, 64, 8, "stretch", "0" * 64, {}))
    onnx.save(model, folder / "classes.onnx")
    with stage(folder, "classes").open() as work:
        [done] = work([item()])
    assert (done.result(CLASS_MAP).classes[picture().argmax(axis=2) == 0] == VOID).all()


def test_objects_have_their_pixels(folder):
    """The model's boxes lie near cells; its masks are the lower left halves of them."""
    with stage(folder, "masks").open() as work:
        [done] = work([item()])
    instances = done.result(INSTANCES)
    assert done.result(CLASS_MAP) is None
    assert len(instances)
    assert instances.masks.size == (64, 128)
    half = np.tri(8, dtype=bool)
    for one, mask in zip(instances, instances.mask, strict=True):
        x1, y1, x2, y2 = one.xyxy
        rows, columns = np.nonzero(mask)
        centres = np.stack([(columns + 0.5 - x1) / (x2 - x1), (rows + 0.5 - y1) / (y2 - y1)])
        places = np.clip((centres * 8).astype(int), 0, 7)
        assert half[places[1], places[0]].mean() > 0.85
        assert 0.35 < mask.sum() / ((x2 - x1) * (y2 - y1)) < 0.85  # of 6 x 8 pixels


def test_a_detector_may_give_masks_too(folder):
    with Detector(model=str(folder / "masks.onnx"), workers=1, imgsz=SIZE, conf=0.5, iou=1.0).open() as work:
        [done] = work([item()])
    with stage(folder, "masks").open() as work:
        [same] = work([item()])
    np.testing.assert_array_equal(done.detections.mask, same.result(INSTANCES).mask)
    np.testing.assert_array_equal(done.detections.xyxy, same.result(INSTANCES).xyxy)


def test_an_object_of_the_detector_gets_the_pixels_of_its_class(folder):
    boxes = found((38, 20, 60, 44), (100, 2, 120, 20))  # the second one has no red in it
    with stage(folder, "classes", objects=("red",), imgsz=(32, 32)).open() as work:
        [done, without] = work([item(found=boxes), item(1)])
    assert without.result(INSTANCES) is None  # the detector did not look at it
    instances = done.result(INSTANCES)
    assert done.result(CLASS_MAP) is None
    assert instances.xyxy.tolist() == [[38, 20, 60, 44]]
    assert instances.confidence.tolist() == [0.75]
    true = picture().argmax(axis=2) == 2
    [mask] = instances.mask
    assert (mask & true).sum() / (mask | true).sum() > 0.85


def test_an_object_of_the_detector_gets_the_mask_of_the_same_object(folder):
    """With one cell for its input, the model finds one box, of the whole part; a person is red to it."""
    boxes = found((42, 25, 54, 38), (100, 2, 120, 20), (43, 26, 53, 37), labels=("person", "car"))
    with stage(folder, "masks", objects=("person",), imgsz=(8, 8), batch=2).open() as work:
        [done] = work([item(found=boxes)])
    instances = done.result(INSTANCES)
    assert instances.labels == ("person", "car")
    assert instances.xyxy.tolist() == boxes.xyxy[[0, 2]].tolist()  # on blue there is no person
    for one, mask in zip(instances, instances.mask, strict=True):
        x1, y1, x2, y2 = map(int, one.xyxy)
        assert mask[y1:y2, x1:x2].sum() > 0.4 * (x2 - x1) * (y2 - y1)
        assert mask.sum() < 1.2 * (x2 - x1) * (y2 - y1)


def test_no_objects_no_pixels(folder):
    with stage(folder, "classes", objects=("red",)).open() as work:
        [done] = work([item(found=found((0, 0, 10, 10))[:0])])
    assert len(done.result(INSTANCES)) == 0
    assert done.result(INSTANCES).to_dicts() == []


def test_every_other_frame_and_other_settings_for_a_stream(folder):
    settings = stage(folder, "classes", every=2, streams={"b": {"every": 1, "classes": ("red",)}})
    with settings.open() as work:
        done = work([item(n, stream=stream) for stream in "ab" for n in range(3)])
    seen = [one.result(CLASS_MAP) for one in done]
    assert [one is not None for one in seen] == [True, False, True, True, True, True]
    assert (seen[0].classes != VOID).all()
    assert (seen[3].classes == VOID).any()


def test_the_lines_of_events_are_cocos(folder):
    clip = write_clip(folder / "a.mp4", 3, SIZE, draw=lambda index: picture())
    stages = [
        Detector(model=str(folder / "boxes.onnx"), imgsz=SIZE),
        stage(folder, "masks", workers=2),
        Annotator(),
    ]
    work = Annotate(Job([FileSource(clip)], stages, [Files(folder / "out")]))
    list(work.run())
    assert [outcome.error for outcome in work.outcomes] == [None]
    header, *lines, _ = map(json.loads, (folder / "out/a.jsonl").read_text().splitlines())
    about = header["header"]["stages"]["segmenter"]
    assert (about["model"]["name"], about["conf"]) == ("tiny", 0.5)
    for line in lines:
        assert line["instances"]
        for one in line["instances"]:
            assert coco.decode(one["segmentation"]).shape == (64, 128)
            assert coco.area(one["segmentation"]) > 0


def test_a_class_that_the_detector_has_not_is_said(folder):
    with (
        stage(folder, "classes", objects=("blue",)).open() as work,
        pytest.raises(StageError, match="objects: unknown class 'blue'"),
    ):
        work([item(found=found((0, 0, 9, 9), labels=("red", "blu")))])


def test_photos_of_different_sizes_in_one_stream(folder):
    """The masks of a photo are not drawn on the next one."""
    (folder / "album").mkdir()
    for name, pixels in (("a", picture()), ("b", picture().transpose(1, 0, 2)), ("c", picture())):
        write_photo(folder / "album" / f"{name}.png", np.ascontiguousarray(pixels))
    stages = [Detector(model=str(folder / "boxes.onnx"), imgsz=SIZE), stage(folder, "masks", every=2), Annotator()]
    work = Annotate(Job(find_sources([str(folder / "album")]).sources, stages, [Files(folder / "out")]))
    list(work.run())
    assert [(outcome.error, outcome.frames) for outcome in work.outcomes] == [(None, 3)]


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("boxes", {}, "its task is 'detect': the segmenter needs 'segment' or 'instances'"),
        ("classes", {"classes": ("rod",)}, "unknown class 'rod': did you mean 'red'"),
        ("classes", {"objects": ("person",)}, "unknown class 'person'"),
        ("classes", {"streams": {"b": {"classes": ("blu",)}}}, "b: unknown class 'blu'"),
    ],
)
def test_settings_that_do_not_fit_the_model(folder, name, settings, why):
    with pytest.raises(ConfigError, match=why):
        stage(folder, name, **settings).check()
