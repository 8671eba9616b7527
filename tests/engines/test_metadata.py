"""Metadata in ONNX files, and graphs that break the contract of a detector."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from models_onnx import about, save, tiny_detector, without_metadata
from onnx import TensorProto, helper, numpy_helper

from watchline.engines import load, metadata
from watchline.engines.errors import ModelNotFound, ModelRefused

KEYS = ("schema", "name", "task", "labels", "imgsz", "stride", "resize", "checkpoint", "figures")
WRITTEN = (*KEYS, "pad", "candidates")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = replace(
        about(("person", "Fußgänger", "traffic light")),
        imgsz=288,
        figures={"mAP": 0.5, "seeds": 3},
        pad=(103, 116, 124),
        candidates="merge",
    )
    model = tiny_detector(written.labels)
    metadata.write(model, written)
    assert metadata.read(save(model, tmp_path)) == written


def test_writing_replaces_ours_and_keeps_what_others_wrote() -> None:
    model = without_metadata(tiny_detector())
    model.metadata_props.add(key="author", value="somebody")
    model.metadata_props.add(key="watchline.old", value="1")
    metadata.write(model, about())
    metadata.write(model, about())
    keys = [prop.key for prop in model.metadata_props]
    assert keys == ["author", *(f"watchline.{key}" for key in WRITTEN)]


def test_an_older_file_is_padded_with_grey_and_its_candidates_are_suppressed(tmp_path: Path) -> None:
    model = tiny_detector()
    new = ("watchline.pad", "watchline.candidates")
    helper.set_model_props(model, {p.key: p.value for p in model.metadata_props if p.key not in new})
    found = metadata.read(save(model, tmp_path))
    assert (found.pad, found.candidates) == ((114, 114, 114), "suppress")


@pytest.mark.parametrize("key", KEYS)
def test_each_missing_key_is_named(tmp_path: Path, key: str) -> None:
    model = tiny_detector()
    kept = [(prop.key, prop.value) for prop in model.metadata_props if prop.key != f"watchline.{key}"]
    helper.set_model_props(model, dict(kept))
    with pytest.raises(ModelRefused, match=rf"lacks watchline\.{key}; `watchline export` .*docs/engines\.md"):
        metadata.read(save(model, tmp_path))


def test_a_model_without_metadata_says_all_it_lacks(tmp_path: Path) -> None:
    path = save(without_metadata(tiny_detector()), tmp_path)
    with pytest.raises(ModelRefused, match=r"tiny\.onnx: no Watchline model") as caught:
        load(path)
    assert all(f"watchline.{key}" in str(caught.value) for key in KEYS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema", "2", "schema 2, this Watchline reads 1; upgrade"),
        ("name", "", "name is empty"),
        ("task", "sing", "task is 'sing'; expected one of detect, regions, instances, segment, caption, answer"),
        ("labels", "person", "labels is 'person'; expected a JSON list"),
        ("labels", "[]", "labels are .*at least one"),
        ("labels", '["a", "a", "b"]', "labels are .*different"),
        ("labels", '["a", 2, "b"]', "labels are"),
        ("labels", '{"0": "a"}', "expected a JSON list"),
        ("imgsz", "big", "imgsz is 'big'; expected a whole number"),
        ("imgsz", "true", "imgsz is 'true'; expected a whole number"),
        ("imgsz", "60", "imgsz.* is 60; expected a multiple of 8"),
        ("imgsz", "-64", "imgsz.* is -64; expected 8..4096"),
        ("stride", "0", "stride is 0; expected a positive"),
        ("stride", "8.5", "stride is '8.5'; expected a whole number"),
        ("resize", "crop", "resize is 'crop'; expected one of letterbox, letterbox-center, stretch"),
        ("pad", "114", "pad is '114'; expected a JSON list"),
        ("pad", "[0, 0, 256]", "pad is .*expected blue, green and red in 0..255"),
        ("pad", "[114, 114]", "pad is .*expected blue, green and red"),
        ("candidates", "average", "candidates is 'average'; expected one of suppress, merge"),
        ("figures", "[0.5]", "expected a JSON object"),
        ("labels", "[" * 100_000, "labels is '\\[+'; expected a JSON list"),
        ("imgsz", "9" * 5000, "imgsz is '9+'; expected a whole number"),
        ("figures", '{"mAP": "high"}', "expected a number for each name"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, key: str, value: str, message: str) -> None:
    model = tiny_detector()
    helper.set_model_props(model, {p.key: p.value for p in model.metadata_props} | {f"watchline.{key}": value})
    with pytest.raises(ModelRefused, match=rf"tiny\.onnx: .*{message}"):
        metadata.read(save(model, tmp_path))


def test_metadata_that_cannot_be_is_not_written() -> None:
    model = without_metadata(tiny_detector())
    with pytest.raises(ModelRefused, match="resize is 'crop'"):
        metadata.write(model, replace(about(), resize="crop"))
    with pytest.raises(ModelRefused, match="candidates is 'merge' of the task 'segment'; expected the task 'detect'"):
        metadata.write(model, replace(about(), task="segment", candidates="merge"))
    assert not model.metadata_props


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"", r"holds no ONNX graph \(0 bytes\)"),
        (lambda data: data[: len(data) // 2], "broken, cut short or no ONNX"),
        (lambda data: b"this is no model, but a letter\n" * 9, "broken, cut short or no ONNX|holds no ONNX graph"),
        (lambda data: b"\0" * 100, "broken, cut short or no ONNX"),
        (lambda data: onnx.ModelProto(ir_version=8).SerializeToString(), "holds no ONNX graph"),
    ],
    ids=["empty", "truncated", "text", "zeros", "no graph"],
)
def test_files_that_are_broken(tmp_path: Path, spoil: Callable[[bytes], bytes], message: str) -> None:
    path = save(tiny_detector(), tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelRefused, match=rf"tiny\.onnx: it.*({message})") as caught:
        metadata.read(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"none\.onnx: there is no such file"):
        metadata.read(tmp_path / "none.onnx")


def _input(graph: onnx.GraphProto, name: str, kind: int, shape: list[Any]) -> None:
    graph.input[0].CopyFrom(helper.make_tensor_value_info(name, kind, shape))


def _output(graph: onnx.GraphProto, index: int, name: str, kind: int, shape: list[Any]) -> None:
    graph.output[index].CopyFrom(helper.make_tensor_value_info(name, kind, shape))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda g: _input(g, "x", TensorProto.UINT8, ["b", "h", "w", 3]),
            "inputs are `x`; expected exactly one, `images`",
        ),
        (lambda g: g.input.add(name="masks"), "inputs are `images`, `masks`"),
        (lambda g: _input(g, "images", TensorProto.FLOAT, ["b", "h", "w", 3]), "`images` is float; expected uint8"),
        (
            lambda g: _input(g, "images", TensorProto.UINT8, ["b", 3, "h", "w"]),
            None,  # nothing says that a free last dimension is not the colours: the runtime will
        ),
        (
            lambda g: _input(g, "images", TensorProto.UINT8, [1, 3, 64, 64]),
            r"`images` has the shape \(1, 3, 64, 64\); expected \(any, any, any, 3\) uint8",
        ),
        (lambda g: _input(g, "images", TensorProto.UINT8, ["h", "w", 3]), r"`images` has the shape \(h, w, 3\)"),
        (lambda g: g.output.pop(), "no output `scores`, but `boxes`"),
        (lambda g: _output(g, 0, "dets", TensorProto.FLOAT, ["b", "n", 4]), "no output `boxes`, but `dets`, `scores`"),
        (lambda g: _output(g, 0, "boxes", TensorProto.FLOAT, ["b", "n", 5]), r"`boxes` has the shape \(b, n, 5\)"),
        (lambda g: _output(g, 0, "boxes", TensorProto.FLOAT, ["n", 4]), r"`boxes` has the shape \(n, 4\)"),
        (lambda g: _output(g, 0, "boxes", TensorProto.FLOAT16, ["b", "n", 4]), "`boxes` is float16; expected float"),
        (lambda g: _output(g, 1, "scores", TensorProto.FLOAT, ["b", "n", 80]), r"\(b, n, 80\).* float \(3 labels\)"),
        (
            lambda g: [
                _output(g, 0, "boxes", TensorProto.FLOAT, ["b", 100, 4]),
                _output(g, 1, "scores", TensorProto.FLOAT, ["b", 99, 3]),
            ],
            "`boxes` has 100 rows and `scores` 99",
        ),
        (lambda g: _output(g, 1, "scores", TensorProto.FLOAT, ["b", "n", "c"]), None),  # may be right: known when run
        (lambda g: _input(g, "images", TensorProto.UINT8, [-1, 0, "w", 3]), None),  # -1 and 0 are written for "free"
    ],
)
def test_graphs_against_the_contract(
    tmp_path: Path, spoil: Callable[[onnx.GraphProto], object], message: str | None
) -> None:
    model = tiny_detector()
    spoil(model.graph)
    path = save(model, tmp_path)
    if message is None:
        assert metadata.read(path) == about()
    else:
        with pytest.raises(ModelRefused, match=rf"tiny\.onnx: .*{message}"):
            metadata.read(path)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../weights.bin"])
def test_weights_outside_the_folder_are_not_followed(tmp_path: Path, location: str) -> None:
    model = tiny_detector()
    _move_outside(model.graph.initializer[0], location)
    with pytest.raises(ModelRefused, match=r"keeps weights at .*outside its own folder"):
        load(save(model, tmp_path))


def test_weights_outside_the_folder_are_found_in_inner_graphs_too(tmp_path: Path) -> None:
    model = tiny_detector()
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "inner", [], [])
    inner.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "w"))
    _move_outside(inner.initializer[0], "../weights.bin")
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner))
    with pytest.raises(ModelRefused, match="outside its own folder"):
        load(save(model, tmp_path))


def test_weights_beside_the_file_are_used(tmp_path: Path) -> None:
    model = tiny_detector()
    (tmp_path / "weights.bin").write_bytes(model.graph.initializer[0].raw_data)
    _move_outside(model.graph.initializer[0], "weights.bin")
    with load(save(model, tmp_path)) as engine:
        engine.warm_up()


def _move_outside(tensor: onnx.TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


@pytest.mark.parametrize("location", ["a\0b", "x" * 300, "x/" * 4000])
def test_weights_in_what_is_no_file_are_refused(tmp_path: Path, location: str) -> None:
    model = tiny_detector()
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(ModelRefused, match=r"tiny\.onnx: it keeps weights at .*which is no file's name") as caught:
        load(save(model, tmp_path))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("place", "number", "message"),
    [
        (0, 1 << 40, "the batch of `images` is 1099511627776; expected up to 4096"),
        (1, 1 << 40, "the height of `images` is 1099511627776; expected up to 4096"),
        (2, 5000, "the width of `images` is 5000; expected up to 4096"),
    ],
)
def test_sides_that_nobody_can_have_are_refused_before_they_are_allocated(
    tmp_path: Path, place: int, number: int, message: str
) -> None:
    model = tiny_detector()
    model.graph.input[0].type.tensor_type.shape.dim[place].dim_value = number
    with pytest.raises(ModelRefused, match=message):
        load(save(model, tmp_path))


def test_a_type_that_nobody_knows_is_named_by_its_number(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ModelRefused, match="`images` is of type 99; expected uint8"):
        load(save(model, tmp_path))
