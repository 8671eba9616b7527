"""From a real checkpoint to the pipeline: nothing is lost, and where something is, it is named."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import darknet_files
import onnx
import pytest
from broken_onnx import noise, said_otherwise, scaled
from models_onnx import tiny_classifier
from stranger_forms import columns
from strangers import save

from watchline import engines
from watchline.engines.errors import ModelNotFound
from watchline.export.checkpoint import to_onnx
from watchline.export.errors import CheckpointNotFound
from watchline.export.precision import fp16, int8
from watchline.export.request import Request
from watchline.measure import parity as module
from watchline.measure.comparison import LIMITS, Compared, Comparison
from watchline.measure.errors import ComparisonRefused
from watchline.measure.fitting import fitted
from watchline.measure.own_input import ULTRALYTICS
from watchline.measure.parity import parity, precision_of, runtimes_of
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import ArrayPicture

LABELS = ("cat", "dog", "cow")
PICTURES = [image[:64] for image in noise(3, 96)]  # 96 x 64 pixels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.cfg, net.weights and net.onnx."""
    folder = tmp_path_factory.mktemp("darknet")
    onnx.save(to_onnx(darknet_files.write(folder), Request("net", LABELS)), folder / "net.onnx")
    return folder


def checkpoint(folder: Path) -> list[Path]:
    return [folder / "net.cfg", folder / "net.weights"]


def steps(folder: Path, engine: Path) -> list[Compared]:
    return list(parity(checkpoint(folder), engine, PICTURES))


def test_nothing_is_lost(made: Path) -> None:
    first, exported, *rest = steps(made, made / "net.onnx")
    assert "onnx.reference" in first.name
    assert "exported again by onnxruntime" in exported.name
    *rest, own = rest
    assert [word for step in rest for word in ("onnxruntime", "openvino", "pipeline") if word in step.name] == [
        "onnxruntime",
        "openvino",
        "pipeline",
    ]
    assert (own.name, own.over) == ("pictures as Darknet prepares them", ())
    assert own.difference.matched + own.difference.lost > 5
    assert first.difference.matched > 5
    for step in (exported, *rest):
        assert step.over == ()
        assert step.difference.matched == first.difference.matched
        assert step.difference.boxes < 0.01
        assert step.difference.scores < 1e-4


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_scale_wrong_by_a_hundredth_is_found_in_its_layer(made: Path, tmp_path: Path, layer: int) -> None:
    broken = scaled(made / "net.onnx", tmp_path / "broken.onnx", f"{layer}.convolutional.kernel", 1.01)
    _, exported, by_onnxruntime, by_openvino, piped, _ = steps(made, broken)
    assert exported.over == ()
    for step in (by_onnxruntime, by_openvino):
        assert step.over
        assert step.look.tensor == f"{layer}.convolutional.linear"
        assert step.look.node == f"Conv {layer}.convolutional.linear"
    assert piped.over


def test_a_wrong_word_about_the_picture_is_found_in_the_pipeline(made: Path, tmp_path: Path) -> None:
    """The graph is right; that pictures are stretched is not, and only the pipeline looks at that."""
    wrong = said_otherwise(made / "net.onnx", tmp_path / "wrong.onnx", resize="stretch")
    *before, piped, _ = steps(made, wrong)
    assert [step.over for step in before] == [()] * 4
    assert piped.over


@pytest.mark.slow
def test_a_checkpoint_of_torch(tmp_path: Path) -> None:
    """Layers have the names that they have in torch, so that a fault of the export itself would be named as well."""
    import torch

    from watchline.models.yolov2 import YOLOv2

    torch.manual_seed(0)
    network = YOLOv2(torch.tensor([[1.0, 1.0], [2.0, 3.0]]))
    network.region.bias.data.normal_(0, 3)
    torch.save({"model": network.state_dict(), "priors": network.priors}, tmp_path / "net.pt")
    engine = tmp_path / "net.onnx"
    onnx.save(to_onnx([tmp_path / "net.pt"], Request("net", size=(128, 128))), engine)
    assert precision_of(engine) == "fp16"  # of the weights
    result = list(parity([tmp_path / "net.pt"], engine, PICTURES))
    assert "net.pt by torch" in result[0].name
    assert [step.over for step in result] == [()] * 5
    model = onnx.load(engine)
    conv = next(node for node in model.graph.node if node.name.endswith("/region/Conv"))
    broken = scaled(engine, tmp_path / "broken.onnx", conv.input[2], 3.0)
    result = list(islice(parity([tmp_path / "net.pt"], broken, PICTURES), 3))
    assert result[1].over == ()
    assert result[2].look.tensor == conv.output[0]


def test_of_a_large_graph_only_layers_with_weights_are_looked_at(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = scaled(made / "net.onnx", tmp_path / "broken.onnx", "1.convolutional.kernel", 1.01)
    alone = steps(made, broken)[2].look
    monkeypatch.setattr(module, "MANY", 5)
    few = steps(made, broken)[2].look
    assert alone.tensor == few.tensor == "1.convolutional.linear"
    assert few.compared == 2
    assert alone.compared > 2


def test_half_precision_is_within_its_limits(made: Path, tmp_path: Path) -> None:
    small = tmp_path / "half.onnx"
    onnx.save(fp16.half(onnx.load(made / "net.onnx")), small)
    assert precision_of(small) == "fp16"
    result = steps(made, small)
    assert [step.over for step in result] == [()] * 6
    assert 1e-4 < result[2].difference.boxes < 1  # it is less exact, and that is seen


def test_int8_is_within_its_limits_and_layers_are_found_by_name(made: Path, tmp_path: Path) -> None:
    with engines.load(made / "net.onnx") as engine:
        batches = [fitted(ArrayPicture(image), engine.metadata, engine.size)[0] for image in noise(20, 64, seed=1)]
    small = tmp_path / "int8.onnx"
    onnx.save(int8.quantise(onnx.load(made / "net.onnx"), batches, "onnxruntime"), small)
    assert precision_of(small) == "int8"
    assert [step.over for step in steps(made, small)] == [()] * 6
    tight = LIMITS | {"int8": LIMITS["fp32"]}
    result = list(parity(checkpoint(made), small, PICTURES, limits=tight))
    assert result[2].over
    assert result[2].look.compared > 10
    assert result[2].look.tensor is None  # every layer is as near as INT8 can be


def test_another_checkpoint_is_refused(made: Path, tmp_path: Path) -> None:
    others = darknet_files.write(tmp_path, seed=1)
    with pytest.raises(ComparisonRefused, match="name the checkpoint that it was made of"):
        list(parity(others, made / "net.onnx", PICTURES))


def test_a_model_that_takes_proposals_is_refused(made: Path, tmp_path: Path) -> None:
    onnx.save(tiny_classifier(4), tmp_path / "regions.onnx")
    with pytest.raises(ComparisonRefused, match="images and proposals; expected a model that takes pictures alone"):
        steps(made, tmp_path / "regions.onnx")


def test_what_is_no_engine_or_no_checkpoint_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ComparisonRefused, match="no runtime here runs it"):
        steps(made, made / "net.cfg")
    with pytest.raises(ModelNotFound):
        steps(made, tmp_path / "nothing.onnx")
    with pytest.raises(ComparisonRefused, match="name the checkpoint that it was made of"):
        list(parity([made / "net.onnx"], made / "net.onnx", PICTURES))
    with pytest.raises(CheckpointNotFound):
        list(parity([tmp_path / "nothing.weights"], made / "net.onnx", PICTURES))


def test_a_runtime_that_is_missing_is_told(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {
        "openvino": "not available: no module",
        "cuda": "not available: no driver",
        "tensorrt": "not available: no driver",
    }
    monkeypatch.setattr(module.engines, "available", lambda: {"onnxruntime": "1.23", **missing})
    assert runtimes_of(made / "net.onnx") == (["onnxruntime"], missing)
    assert runtimes_of(Path("net.xml")) == ([], {"openvino": "not available: no module"})


def test_the_precision_is_read_off_the_graph(made: Path, tmp_path: Path) -> None:
    assert precision_of(made / "net.onnx") == "fp32"
    assert precision_of(tmp_path / "net.engine") == "fp32"


@pytest.mark.parametrize(("said", "over"), [("letterbox-center", False), ("letterbox", True)])
def test_a_letterbox_that_is_not_the_family_s_is_seen(tmp_path: Path, said: str, over: bool) -> None:
    """Wide pictures: by Ultralytics' own letterbox the network finds what it finds by ours, where ours is the same."""
    theirs = save(columns((64, 64)), tmp_path)
    onnx.save(to_onnx([theirs], Request("net", LABELS)), tmp_path / "net.onnx")
    own = replace(ULTRALYTICS, resize=said)
    with engines.load(tmp_path / "net.onnx") as engine:
        about = replace(engine.metadata, resize=said)
        detector = Detector(model=str(tmp_path / "net.onnx"), conf=0.6)
        comparison = Comparison(PICTURES, about, engine.size, detector)
        compared = comparison.add_input("pictures", engine.infer, own)
    assert compared.difference.matched + compared.difference.lost > 5
    assert bool(compared.over) == over
