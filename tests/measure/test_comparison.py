"""Steps held against the first: limits, accuracy, and the look inside of a step that is too far."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import models_onnx
import numpy as np
import onnx
import pytest
import voc_set
from broken_onnx import renamed, scaled

from watchline import engines
from watchline.engines.inside import inside
from watchline.measure.accuracy import accuracy_of
from watchline.measure.comparison import LIMITS, Compared, Comparison, ComparisonStep, Limits
from watchline.measure.differences import Difference
from watchline.measure.errors import ComparisonRefused
from watchline.measure.layers import Look
from watchline.pipeline.stages.detector import Detector

SIZE = (64, 64)
PICTURES = [voc_set.picture([("person", 1, 1), ("car", 5, 6)]), voc_set.picture([("bicycle", 3, 2)], 64, 48)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models_onnx.save(models_onnx.tiny_detector(), tmp_path_factory.mktemp("tiny"))


def step(file: Path, name: str = "step", precision: str = "fp32", runtime: str = "onnxruntime") -> ComparisonStep:
    engine = engines.load(file, runtime, SIZE)
    model = onnx.load(file)
    return ComparisonStep(name, engine.infer, precision, model.graph, lambda batch: inside(model, runtime, batch))


def comparison(pictures=PICTURES, **options) -> Comparison:
    return Comparison(pictures, models_onnx.about(), SIZE, Detector(), **options)


def numpy_step(change: Callable[[dict[str, np.ndarray]], None] = lambda outputs: None) -> ComparisonStep:
    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = models_onnx.expected(batch)
        change(outputs)
        return outputs

    return ComparisonStep("by NumPy", run)


def test_each_runtime_gives_what_numpy_gives(tiny: Path) -> None:
    compared = comparison()
    first = compared.add(numpy_step())
    assert first.difference == Difference(0.0, 0.0, None, 3, 0, 0)
    for runtime in ("onnxruntime", "openvino"):
        result = compared.add(step(tiny, runtime=runtime))
        assert result.over == ()
        assert result.difference.boxes < 1e-4
        assert result.difference.scores < 1e-5
        assert (result.difference.matched, result.difference.lost, result.difference.extra) == (3, 0, 0)
        assert result.look is None
    piped = compared.add_pipeline("pipeline", Detector(model=str(tiny)), "fp32")
    assert piped.over == ()
    assert piped.difference.matched == 3
    assert piped.difference.boxes < 1e-3


def shift(outputs: dict[str, np.ndarray]) -> None:
    outputs["boxes"] += 0.15


def fade(outputs: dict[str, np.ndarray]) -> None:
    outputs["scores"] *= 0.99


def forget(outputs: dict[str, np.ndarray]) -> None:
    outputs["scores"][outputs["scores"] > 0.5] = 0.2


@pytest.mark.parametrize(
    ("change", "precision", "says"),
    [
        (shift, "fp32", ["boxes differ by 0.15 px, more than 0.1"]),
        (shift, "fp16", []),
        (fade, "fp32", ["scores differ by 0.01, more than 0.001"]),
        (forget, "int8", ["the share of boxes lost or new is 1, more than 0.4"]),
    ],
)
def test_limits(change, precision: str, says: list[str]) -> None:
    compared = comparison()
    compared.add(numpy_step())
    result = compared.add(ComparisonStep("other", numpy_step(change).run, precision))
    assert list(result.over) == says
    assert result.look is None  # nothing shows what is inside


def test_a_limit_of_none_is_no_limit() -> None:
    limits = Limits(boxes=None, scores=None, classes=None, lost=None, drop=None)
    assert limits.over(Difference(99.0, 1.0, 1.0, 0, 9, 9), 1.0) == ()
    assert Limits(boxes=1, scores=1, classes=1, lost=1, drop=1).over(Difference(float("nan")), None) != ()
    assert set(LIMITS) == {"fp32", "fp16", "int8"}


def test_a_scale_wrong_by_a_hundredth_is_found_in_its_layer(tiny: Path, tmp_path: Path) -> None:
    """The weight of `grid` is the only one; boxes move by some hundredths of a pixel, so limits are tight here."""
    broken = scaled(tiny, tmp_path / "broken.onnx", "weight", 1.01)
    tight = LIMITS | {"fp32": Limits(boxes=1e-3, scores=1e-3, classes=None, lost=None, drop=None)}
    compared = comparison(limits=tight)
    compared.add(numpy_step())
    assert compared.add(step(tiny)).over == ()
    result = compared.add(step(broken))
    assert result.over
    assert result.look.tensor == "grid"
    assert result.look.node == "Conv"
    assert result.look.compared == 4  # float, scaled, planes were right


def test_a_fault_in_the_decoding_is_found_there(tiny: Path, tmp_path: Path) -> None:
    broken = scaled(tiny, tmp_path / "broken.onnx", "half_stride", 1.05)
    compared = comparison()
    compared.add(step(tiny))
    assert compared.add(step(broken)).look.tensor == "half"


def test_a_broken_step_is_not_what_the_next_is_held_against(tiny: Path, tmp_path: Path) -> None:
    broken = scaled(tiny, tmp_path / "broken.onnx", "half_stride", 1.05)
    compared = comparison()
    compared.add(step(tiny))
    compared.add(step(broken))
    assert compared.add(step(broken)).look.tensor == "half"


def test_other_names_inside_are_told(tiny: Path, tmp_path: Path) -> None:
    broken = scaled(tiny, tmp_path / "broken.onnx", "half_stride", 1.05)
    compared = comparison()
    compared.add(step(tiny))
    look = compared.add(step(renamed(broken, tmp_path / "renamed.onnx"))).look
    assert look.tensor is None or look.tensor in ("boxes", "scores")


def test_accuracy_falls_from_the_first_that_has_one(tiny: Path, tmp_path: Path) -> None:
    """Of two objects one is not found any more. The slow first step is not measured."""
    voc_set.add(tmp_path, "a", [("person", 1, 1), ("car", 5, 6)])
    measure = partial(accuracy_of, data=tmp_path, threshold=0.3)

    def blind(outputs: dict[str, np.ndarray]) -> None:
        outputs["scores"][..., 2] = 0

    compared = comparison(measure=measure)
    slow = numpy_step()
    assert compared.add(ComparisonStep("slow", slow.run, slow=True)).accuracy is None
    full = compared.add(step(tiny))
    assert (full.accuracy.mean, full.drop, full.over) == (1, 0, ())
    half = compared.add(numpy_step(blind))
    assert (half.accuracy.mean, half.drop) == (0.5, 0.5)
    assert "the mAP falls by 0.5, more than 0.001" in half.over
    piped = compared.add_pipeline("pipeline", Detector(model=str(tiny), imgsz=64), "fp32")
    assert (piped.accuracy.mean, piped.drop) == (1, 0)


def test_a_segmentation_is_compared_by_its_pixels() -> None:
    about = models_onnx.about()
    about = type(about)(about.name, "segment", about.labels, 64, 8, "stretch", about.checkpoint, {})
    compared = Comparison(PICTURES, about, SIZE, Detector())
    compared.add(ComparisonStep("first", lambda batch: {"classes": batch[..., 0] // 128}))
    result = compared.add(ComparisonStep("other", lambda batch: {"classes": batch[..., 0] // 128 * 0}))
    assert result.difference.classes == pytest.approx(1 / 64)  # the blue cell of the first picture
    assert result.over == ("the share of pixels of another class or object is 0.01562, more than 0.001",)


def test_without_anything_to_compare_there_is_no_parity() -> None:
    with pytest.raises(ComparisonRefused, match="no pictures"):
        comparison([])
    with pytest.raises(ComparisonRefused, match="nothing was found in 1 pictures"):
        comparison([np.zeros((64, 64, 3), np.uint8)]).add(ComparisonStep("blind", lambda batch: {
            "boxes": np.zeros((1, 1, 4), np.float32), "scores": np.full((1, 1, 3), 0.001, np.float32)
        }))  # fmt: skip
    with pytest.raises(ComparisonRefused, match="nothing was found in 1 pictures"):
        comparison([np.zeros((64, 64, 3), np.uint8)]).add(ComparisonStep("without rows", lambda batch: {
            "boxes": np.zeros((1, 0, 4), np.float32), "scores": np.zeros((1, 0, 3), np.float32)
        }))  # fmt: skip


def test_as_json(tiny: Path, tmp_path: Path) -> None:
    compared = comparison()
    compared.add(step(tiny))
    told = compared.add(step(scaled(tiny, tmp_path / "broken.onnx", "half_stride", 1.05), "engine")).as_dict()
    assert told["step"] == "engine"
    assert told["passed"] is False
    assert told["first_divergence"]["tensor"] == "half"
    assert told["first_divergence"]["text"].startswith("first layer that diverges: Mul")
    assert {"boxes", "scores", "matched", "lost", "extra", "over", "drop", "mean_average_precision"} <= told.keys()


def test_json_has_no_infinity() -> None:
    look = Look(1, 0.1, "t", "Conv", float("inf"))
    told = Compared("step", "fp32", Difference(boxes=float("nan")), None, None, ("far",), look).as_dict()
    assert told["boxes"] is None
    assert told["first_divergence"]["difference"] is None
    assert told["mean_average_precision"] is None
    json.dumps(told, allow_nan=False)
