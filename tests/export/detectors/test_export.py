"""Third-party files: what is opened, freed and named, and what is refused in one line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from models_onnx import tiny_detector
from onnx import TensorProto, helper, numpy_helper
from strangers import ThirdParty, check, pictures, planes, raw, save

from watchline import engines
from watchline.engines import metadata
from watchline.export.class_names import LONGEST
from watchline.export.detectors import export as foreign
from watchline.export.detectors.families import FAMILIES
from watchline.export.errors import CheckpointNotFound, CheckpointRefused, ExportError, ExportRefused
from watchline.export.request import Request

CLASSES = ("cat", "dog", "cow")
REQUEST = Request("x", CLASSES)
SIZE = (96, 64)


def columns(net, classes=3):
    """A detector of Ultralytics' form."""
    out = net.rows((8, 16, 32), 4 + classes)
    joined = net.graph.concat([out[..., :4] * 64.0, net.sigmoid(out[..., 4:])], axis=2)
    return net.outputs(output0=joined.transpose(0, 2, 1))


def expected(theirs):
    """What such a file gives for one picture."""

    def decoded(picture):
        (out,) = raw(theirs, planes(picture, std=255, rgb=True))
        x, y, w, h = out[:4]
        return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1), out[4:].T

    return decoded


def export(model, folder, request=REQUEST):
    """Path of a third-party detector, and of what it was made into."""
    theirs = save(model, folder)
    return theirs, save(foreign.export(theirs, "ultralytics", request), folder, "ours.onnx")


def batch_of(path):
    return onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_param


def test_a_batch_that_is_written_into_reshapes_becomes_free(tmp_path):
    theirs, ours = export(columns(ThirdParty(SIZE)), tmp_path)
    assert batch_of(theirs) == ""
    assert batch_of(ours) == "batch"
    check(ours, expected(theirs), SIZE)


def test_sizes_of_resize_become_scales(tmp_path):
    net = ThirdParty(SIZE)
    rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    up = net.graph.add("Resize", net.x, None, None, np.array([1, 3, 128, 192]), **rule)
    net.x = net.graph.add("MaxPool", up, kernel_shape=[2, 2], strides=[2, 2])
    theirs, ours = export(columns(net), tmp_path)
    assert batch_of(ours) == "batch"
    check(ours, expected(theirs), SIZE)


@pytest.mark.parametrize("size", [SIZE, None], ids=["declared one", "declared free"])
def test_a_batch_stays_fixed_where_pictures_would_mix(tmp_path, size):
    net = ThirdParty(size)
    mean = net.graph.add("ReduceMean", net.x, axes=[0], keepdims=1)  # over the pictures
    net.x = net.x - mean * 0.5
    theirs, ours = export(columns(net), tmp_path, Request("x", CLASSES, SIZE))
    batch = pictures(1, SIZE)
    with engines.load(ours) as engine:
        boxes, scores = expected(theirs)(batch[0])
        np.testing.assert_allclose(engine.infer(batch)["boxes"][0], boxes, atol=1e-3)
        np.testing.assert_allclose(engine.infer(batch)["scores"][0], scores, atol=1e-5)
        with pytest.raises(engines.errors.RequestRefused, match=r"expected \(1, 64, 96, 3\)"):
            engine.infer(pictures(2, SIZE))


@pytest.mark.parametrize(
    ("dtype", "layout"),
    [(np.float16, "NCHW"), (np.float32, "NHWC"), (np.uint8, "NHWC"), (np.float32, "CHW")],
    ids=["FP16", "channels last", "bytes", "no batch"],
)
def test_other_inputs(tmp_path, dtype, layout):
    scale = 1 / 255 if dtype == np.uint8 else 1.0
    theirs = save(columns(ThirdParty(SIZE, scale, dtype, layout=layout)), tmp_path)
    model = foreign.export(theirs, "ultralytics", REQUEST)
    picture = pictures(1, SIZE)[0]
    given = planes(picture, std=1 if dtype == np.uint8 else 255, rgb=True)[0]
    fed = {"NCHW": given[None], "NHWC": given.transpose(1, 2, 0)[None], "CHW": given}[layout].astype(dtype)
    (out,) = raw(theirs, fed)
    with engines.load(save(model, tmp_path, "ours.onnx")) as engine:
        found = engine.infer(picture[None])
    assert found["scores"].dtype == np.float32
    slack = 1e-2 if dtype == np.float16 else 1e-5
    np.testing.assert_allclose(found["scores"][0], out[4:].T, atol=slack)


def test_an_old_opset_is_raised_and_weights_leave_the_inputs(tmp_path):
    model = columns(ThirdParty(SIZE))
    for tensor in model.graph.initializer:  # as files before IR 4 have it
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model.opset_import[0].version = 11
    model.ir_version = 6
    theirs, ours = export(model, tmp_path)
    made = onnx.load(ours)
    assert made.opset_import[0].version == 17
    assert [value.name for value in made.graph.input] == ["images"]
    check(ours, expected(theirs), SIZE)


def test_nodes_in_disorder_are_put_in_order(tmp_path):
    model = columns(ThirdParty(SIZE))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    theirs = save(model, tmp_path, "disorder.onnx")
    made = foreign.export(theirs, "ultralytics", REQUEST)
    plain = save(columns(ThirdParty(SIZE)), tmp_path)
    check(save(made, tmp_path, "made.onnx"), expected(plain), SIZE)


def test_free_sides_stay_free_and_the_size_is_what_was_asked_for(tmp_path):
    theirs, ours = export(columns(ThirdParty(None)), tmp_path, Request("x", CLASSES, (128, 128)))
    assert metadata.read(ours).imgsz == 128
    check(ours, expected(theirs), (128, 128))
    check(ours, expected(theirs), (64, 96))


def test_free_sides_are_fixed_by_a_size_that_is_no_square(tmp_path):
    theirs, ours = export(columns(ThirdParty(None)), tmp_path, Request("x", CLASSES, (128, 64)))
    with engines.load(ours) as engine:
        assert engine.size == (128, 64)
    check(ours, expected(theirs), (128, 64))


def test_tensors_called_as_ours_do_not_clash(tmp_path):
    """Exported once more, without its metadata, a model of ours is a third-party one whose names are those we use."""
    net = ThirdParty(SIZE, dtype=np.uint8, layout="NHWC", name="images", scale=1 / 255)
    out = net.rows((16,), 7)
    model = net.outputs(scores=net.sigmoid(out[..., 4:]), boxes=out[..., :4] * 64.0)
    ours = save(foreign.export(save(model, tmp_path), "ssd", REQUEST), tmp_path)
    again = onnx.load(ours)
    del again.metadata_props[:]
    twice = save(foreign.export(save(again, tmp_path, "again.onnx"), "ssd", REQUEST), tmp_path, "twice.onnx")
    picture = pictures(1, SIZE)
    for a, b in zip(raw(twice, picture), raw(ours, picture[..., ::-1]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_the_result_says_where_it_comes_from(tmp_path):
    from hashlib import sha256

    theirs, ours = export(columns(ThirdParty(SIZE)), tmp_path)
    about = metadata.read(ours)
    assert about.checkpoint == sha256(theirs.read_bytes()).hexdigest()
    assert (about.name, about.task, about.labels, about.figures) == ("x", "detect", CLASSES, {})


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("{0: 'cat', 1: 'dog', 2: 'cow'}", CLASSES),
        ('{"0": "cat", "1": "dog", "2": "cow"}', CLASSES),
        ("['cat', 'dog', 'cow']", CLASSES),
        ("{0: \"cat's\", 1: 'Straße', 2: 'b'}", ("cat's", "Straße", "b")),
    ],
)
def test_names_in_the_file(tmp_path, names, labels):
    model = columns(ThirdParty(SIZE))
    model.metadata_props.add(key="names", value=names)
    assert metadata.read(export(model, tmp_path, Request("x"))[1]).labels == labels
    assert metadata.read(export(model, tmp_path)[1]).labels == CLASSES


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("__import__('os').system('touch hacked')", "the class names in it cannot be read"),
        ("{0: 'cat', 2: 'dog'}", "the class names in it cannot be read"),
        ("{0: 1, 1: 2, 2: 3}", "the class names in it cannot be read"),
        ("[" * 10_000 + "]" * 10_000, "the class names in it cannot be read"),
        ("['" + "a" * LONGEST + "']", "the class names in it cannot be read"),
        ("", "the class names in it cannot be read"),
        ("{0: 'cat'}", "it has 3 classes, but 1 names are in it"),
        ("['cat', 'cat', 'dog']", "expected different class names"),
        (None, "it has 3 classes and no names for them; name them with --labels FILE"),
    ],
    ids=["code", "hole", "numbers", "deep", "long", "empty", "too few", "twice", "none"],
)
def test_names_that_are_none_are_refused(tmp_path, names, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = columns(ThirdParty(SIZE))
    if names is not None:
        model.metadata_props.add(key="names", value=names)
    with pytest.raises(ExportRefused, match=message) as caught:
        export(model, tmp_path, Request("x"))
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
    assert not Path("hacked").exists()


@pytest.mark.parametrize(("classes", "first"), [(80, "person"), (20, "aeroplane")])
def test_the_number_of_classes_tells_the_data_set(tmp_path, classes, first):
    about = metadata.read(export(columns(ThirdParty(SIZE), classes), tmp_path, Request("x"))[1])
    assert (len(about.labels), about.labels[0]) == (classes, first)


def changed(**how):
    """A sound file with one thing changed."""
    model = columns(ThirdParty(SIZE))
    shape = model.graph.input[0].type.tensor_type.shape.dim
    match how:
        case {"batch": number}:
            shape[0].dim_value = number
        case {"channels": number}:
            shape[1].dim_value = number
        case {"dtype": dtype}:
            model.graph.input[0].type.tensor_type.elem_type = dtype
        case {"second": name}:
            model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]))
        case {"operator": name}:
            model.graph.node[0].op_type = name
        case {"unread": dims}:
            model.graph.initializer.add(name="unread", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(16))
        case {"opset": version}:
            model.opset_import[0].version = version
    return model


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, CheckpointNotFound, "there is no such file"),
        (b"", CheckpointRefused, "it holds no ONNX graph"),
        (b"GIF89a" * 99, CheckpointRefused, "broken, cut short or no ONNX at all"),
        (columns(ThirdParty(SIZE)).SerializeToString()[:-999], CheckpointRefused, "broken, cut short or no ONNX"),
        (tiny_detector(), CheckpointRefused, "it is a Watchline model already"),
        (changed(batch=1 << 40), CheckpointRefused, "it takes 1099511627776 pictures at once; expected up to 256"),
        (changed(channels=1), CheckpointRefused, r"inputs are `input` \(1, 1, 64, 96\); expected one picture"),
        (changed(dtype=TensorProto.STRING), CheckpointRefused, "expected one picture .* float or uint8"),
        (changed(dtype=99), CheckpointRefused, "expected one picture .* float or uint8"),
        (
            columns(ThirdParty(SIZE)).SerializeToString().replace(b"output0", b"outp\xdft0"),
            CheckpointRefused,
            "names in it are no UTF-8 text|does not run it",
        ),
        (changed(unread=[1 << 40]), CheckpointRefused, "its weight 'unread' cannot be read"),
        (changed(dtype=TensorProto.INT64), CheckpointRefused, "expected one picture .* float or uint8"),
        (changed(second="scale"), CheckpointRefused, r"`scale` \(1, 2\); expected one picture"),
        (changed(operator="Magic"), CheckpointRefused, "does not run it: .*Magic"),
        (changed(opset=6), CheckpointRefused, "does not run it|cannot be raised"),
    ],
    ids=[
        "missing",
        "empty",
        "picture",
        "cut",
        "ours",
        "batch",
        "grey",
        "text",
        "type of later",
        "no text",
        "weight nobody reads",
        "int64",
        "two inputs",
        "unknown operator",
        "old opset",
    ],
)
def test_what_is_no_detector_is_refused(tmp_path, content, error, message):
    path = tmp_path / "net.onnx"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save(content, tmp_path)
    for use in (foreign.recognise, lambda path: foreign.export(path, "ultralytics", REQUEST)):
        with pytest.raises(error, match=message) as caught:
            use(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("own", "size", "message"),
    [
        (SIZE, (64, 64), "asked for 64 x 64 .*fixed at 96 x 64"),
        (None, (333, 333), "width is 333; expected a multiple of 32, e.g. 320 or 352"),
        (None, (100, 100), "width is 100; expected a multiple of 32, e.g. 96 or 128"),
        (None, (128, 100_000), "expected sides of 1..4096"),
        (None, (0, 64), "expected sides of 1..4096"),
    ],
)
def test_sizes_that_cannot_be_are_refused(tmp_path, own, size, message):
    with pytest.raises(ExportRefused, match=message):
        export(columns(ThirdParty(own)), tmp_path, Request("x", CLASSES, size))


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_s_file_is_refused_with_what_it_is(tmp_path, family):
    net = ThirdParty(SIZE)
    theirs = save(net.outputs(features=net.rows((16,), 9)), tmp_path)
    assert foreign.recognise(theirs) is None
    with pytest.raises(CheckpointRefused) as caught:
        foreign.export(theirs, family, REQUEST)
    message = str(caught.value)
    assert "its outputs are `features` (1, 24, 9)" in message
    assert FAMILIES[family].expects in message
    assert ", ".join(FAMILIES) in message


def test_a_family_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(ExportRefused, match=r"there is no family 'yolo'; expected one of yolox, ultralytics"):
        foreign.export(save(columns(ThirdParty(SIZE)), tmp_path), "yolo", REQUEST)


def test_numbers_that_are_no_detector_s_are_refused(tmp_path):
    net = ThirdParty(SIZE, scale=1 / 255)
    out = net.rows((8, 16, 32), 8)
    huge = net.graph.concat([out[..., :2], out[..., 2:4] + 200.0, net.sigmoid(out[..., 4:])], axis=2)  # sides of e^200
    with pytest.raises(CheckpointRefused, match="are NaN or infinite; is it a detector of the family yolox"):
        foreign.export(save(net.outputs(output=huge), tmp_path), "yolox", REQUEST)


def beside(folder, location, **save_as):
    """A file that keeps its weights at a location beside it."""
    model = columns(ThirdParty(SIZE))
    onnx.save_model(
        model, folder / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0, **save_as
    )
    stored = onnx.load(folder / "net.onnx", load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    return save(stored, folder)


def test_weights_beside_the_file_are_taken_along(tmp_path):
    path = beside(tmp_path, "weights.bin")
    made = foreign.export(path, "ultralytics", REQUEST)
    (tmp_path / "weights.bin").unlink()
    plain = save(columns(ThirdParty(SIZE)), tmp_path)
    check(save(made, tmp_path, "ours.onnx"), expected(plain), SIZE)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/etc/passwd", "outside its own folder"),
        ("../weights.bin", "outside its own folder"),
        ("gone.bin", "its weights in gone.bin are missing"),
        ("a\0b", "which is no file's name"),
        ("a" * 5000, "which is no file's name"),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path, location, message):
    (tmp_path / "in").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(99))
    path = beside(tmp_path / "in", location)
    with pytest.raises(CheckpointRefused, match=message):
        foreign.recognise(path)


def test_weights_that_are_cut_short_are_refused(tmp_path):
    path = beside(tmp_path, "weights.bin")
    weights = tmp_path / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(ExportError, match=r"net\.onnx: "):
        foreign.recognise(path)


def test_a_weight_that_claims_to_be_huge_is_refused(tmp_path):
    model = columns(ThirdParty(SIZE))
    weight = next(t for t in model.graph.initializer if numpy_helper.to_array(t).ndim == 4)
    weight.dims[0] = 1 << 40
    with pytest.raises(CheckpointRefused, match=r"its weight .* cannot be read"):
        foreign.recognise(save(model, tmp_path))
