"""Plans by NVIDIA's own parser and builder, without a GPU (tensorrt_rtx), through the code that builds on one.

What is shown: that they take models of every shape with the production profile (tests/export/test_nvidia_accepts.py:
every kind that we export). What is not: speed, or the numbers it gives.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from models_onnx import LABELS, about, pictures, save, tiny_asker, tiny_detector
from nvidia_builder import accepts, collect, needs_builder
from onnx import TensorProto, helper, numpy_helper

from watchline.engines import load, metadata
from watchline.engines.errors import ModelRefused
from watchline.engines.nvidia.interface import BuildProgress
from watchline.engines.nvidia.plan_graph import cast_first
from watchline.engines.tasks import IMAGES, TASKS, Task, Tensor

pytestmark = needs_builder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": (64, 32)},  # fixed sides
        {"size": ("side", "side")},
        {"batch": 2},  # a fixed batch
        {"size": (64, 32), "batch": 1},
        {"declare": False},  # outputs of no declared shape
    ],
    ids=str,
)
def test_models_of_every_shape_are_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert accepts(save(tiny_detector(**options), tmp_path))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", ["batch", 2])
def test_inputs_other_than_the_pictures_are_taken(
    tmp_path: Path, batch: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, question = Tensor("answer", np.float32, ("B", "C")), Tensor("question", np.int64, ("B", "T"))
    monkeypatch.setitem(TASKS, "ask", Task((answer,), (IMAGES, question)))
    assert accepts(save(tiny_asker(batch=batch), tmp_path))


def test_progress_and_the_timing_cache(tmp_path: Path) -> None:
    heard: list[BuildProgress] = []
    timing = tmp_path / "timing.cache"
    model = save(tiny_detector(), tmp_path)
    accepts(model, timing=timing, report=collect(heard))
    assert any(p.phase == "Building engine" for p in heard)
    assert all(0 <= p.done <= p.total for p in heard)
    assert timing.stat().st_size > 0
    timing.write_bytes(b"of another machine, or broken")
    accepts(model, timing=timing)
    assert timing.read_bytes() != b"of another machine, or broken"


def with_nms() -> onnx.ModelProto:
    """Suppression inside the graph: rows that are known only after a run."""
    model = tiny_detector()
    graph = model.graph
    node = helper.make_node
    limits = {"most": np.array([100]), "iou": np.array([0.5], np.float32), "conf": np.array([0.1], np.float32)}
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in limits.items())
    for each in graph.node:
        each.output[:] = [f"all_{name}" if name in ("boxes", "scores") else name for name in each.output]
    graph.node.extend(
        [
            node("Transpose", ["all_scores"], ["by_class"], perm=[0, 2, 1]),
            node("NonMaxSuppression", ["all_boxes", "by_class", "most", "iou", "conf"], ["kept"]),
            node("Split", ["kept"], ["image", "class", "found"], axis=1, num_outputs=3),
            node("Squeeze", ["found", "last"], ["rows"]),
            node("Gather", ["all_boxes", "rows"], ["boxes"], axis=1),
            node("Gather", ["all_scores", "rows"], ["scores"], axis=1),
        ]
    )
    graph.initializer.append(numpy_helper.from_array(np.array([1]), "last"))
    model.opset_import[0].version = 18
    return model


def with_an_unknown_operator() -> onnx.ModelProto:
    model = tiny_detector()
    model.graph.node[3].op_type = "Convolve"
    return model


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (with_nms, r"cannot build it: .*node_of_kept"),
        (with_an_unknown_operator, "cannot parse it: Convolve"),
    ],
)
def test_what_nvidia_does_not_take_is_refused_with_its_reason(
    tmp_path: Path, broken: Callable[[], onnx.ModelProto], message: str
) -> None:
    with pytest.raises(ModelRefused, match=message) as caught:
        accepts(save(broken(), tmp_path))
    assert "\n" not in str(caught.value)


def test_uint8_is_cast_before_anything_else_and_nothing_changes(tmp_path: Path) -> None:
    """NVIDIA's layers take no uint8 but to cast it; exporters put the transposition first, as it is cheaper there."""
    model = tiny_detector()
    graph = model.graph
    graph.node[0].CopyFrom(helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 1, 2, 3]))
    graph.node.insert(1, helper.make_node("Cast", ["turned"], ["float"], to=TensorProto.FLOAT))
    metadata.write(model, about(LABELS))
    turned = save(model, tmp_path, "turned.onnx")
    assert accepts(turned)
    cast = save(cast_first(onnx.load(turned)), tmp_path, "cast.onnx")
    batch = pictures(2, 64, 64)
    with load(turned) as one, load(cast) as other:
        np.testing.assert_array_equal(one.infer(batch)["boxes"], other.infer(batch)["boxes"])
