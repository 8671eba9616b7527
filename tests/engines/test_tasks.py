"""A task is one entry: with another one, of two inputs and no boxes, every runtime checks and runs its models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import fake_gpu
from fake_session import fake_device
from models_onnx import answered, pictures, save, tiny_asker, tiny_detector
from numpy.typing import NDArray

from watchline.engines import load, metadata, tasks
from watchline.engines.engine import Engine
from watchline.engines.errors import ModelRefused, RequestRefused
from watchline.engines.nvidia.onnx_cuda import OnnxCudaEngine
from watchline.engines.nvidia.tensor_rt import TensorRtEngine
from watchline.engines.replay import Recorder
from watchline.engines.tasks import IMAGES, Outputs, Task, Tensor

SIZE = (64, 32)
RUNTIMES = ["onnxruntime", "openvino", "replay", "cuda on the fake GPU", "tensorrt on the fake GPU"]
Open = Callable[[], Engine]


def ask(count: int) -> dict[str, NDArray[Any]]:
    """A question about each of so many pictures."""
    words = np.arange(4 * count, dtype=np.int64).reshape(count, 4)
    return {"question": words, "images": pictures(count, *SIZE, seed=count)}


def below_zero(outputs: Outputs, labels: int) -> str:
    return f"`answer` has {labels} labels and is below zero" if outputs["answer"].min() < 0 else ""


@pytest.fixture(autouse=True)
def one_more_task(monkeypatch: pytest.MonkeyPatch) -> None:
    question = Tensor("question", np.int64, ("B", "T"), "of words")
    answer = Tensor("answer", np.float32, ("B", "C"))
    monkeypatch.setitem(tasks.TASKS, "ask", Task((answer,), (IMAGES, question), below_zero, "colours"))


@pytest.fixture(params=RUNTIMES)
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    model = save(tiny_asker(), tmp_path)
    match request.param:
        case "cuda on the fake GPU":
            device = fake_device()
            return lambda: OnnxCudaEngine(model, SIZE, 2, device=device)
        case "tensorrt on the fake GPU":
            monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path / "cache"))
            gpu = fake_gpu()
            return lambda: TensorRtEngine(model, SIZE, 2, gpu)
        case "replay":
            with Recorder(load(model, size=SIZE), tmp_path / "tiny.npz") as engine:
                for count in (1, 3):
                    engine.infer(ask(count))
            return lambda: load(tmp_path / "tiny.npz")
        case runtime:
            return lambda: load(model, runtime, SIZE)


def test_all_inputs_go_by_name(open_engine: Open) -> None:
    with open_engine() as engine, engine.fork() as fork:
        engine.warm_up()
        for one in (engine, fork):
            for count in (1, 3, 1):
                outputs = one.infer(ask(count))
                assert list(outputs) == ["answer"]
                np.testing.assert_allclose(outputs["answer"], answered(**ask(count)), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.pop("question"), r"the batch has images; expected `images` .*, `question` \(B, T\) int64"),
        (lambda given: given.update(more=given["question"]), "the batch has question, images, more; expected "),
        (
            lambda given: given.update(question=given["question"][:2]),
            r"`question` is int64 \(2, 4\); expected \(3, 4\)",
        ),
        (
            lambda given: given.update(question=given["question"][:, :3]),
            r"int64 \(3, 3\); expected \(3, 4\) int64 of words",
        ),
        (lambda given: given.update(question=given["question"].astype(np.int32)), r"is int32 \(3, 4\); expected "),
        (lambda given: given.update(question="why?"), "`question` is a str; expected an array"),
        (lambda given: given.update(images=given["images"][:, :8]), r"the batch is uint8 \(3, 8, 64, 3\); expected "),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    open_engine: Open, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    given: dict[str, Any] = ask(3)
    change(given)
    with open_engine() as engine:
        with pytest.raises(RequestRefused, match=message):
            engine.infer(given)
        with pytest.raises(RequestRefused, match="expected `images`"):
            engine.infer(given["images"])


def test_what_cannot_be_in_the_numbers_is_seen(open_engine: Open, tmp_path: Path) -> None:
    given = ask(1) | {"question": np.full((1, 4), -10_000, np.int64)}
    with (
        load(save(tiny_asker(), tmp_path), size=SIZE) as engine,
        pytest.raises(ModelRefused, match="has 3 labels and is"),
    ):
        engine.infer(given)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: tiny_asker(words="words"),
            r"`question` has the shape \(batch, words\); expected numbers but for the first",
        ),
        (
            lambda: renamed(tiny_asker(), "input"),
            r"inputs are `images`, `other`; expected exactly 2, `images` \(B, H, W, 3\) ",
        ),
        (
            lambda: renamed(tiny_asker(), "output"),
            r"no output `answer`, but `other`; expected `answer` \(B, C\) float32",
        ),
        (lambda: calling_itself(tiny_detector(), "ask"), "inputs are `images`; expected exactly 2, "),
    ],
)
def test_graphs_that_are_not_of_the_task(tmp_path: Path, model: Callable[[], Any], message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        metadata.read(save(model(), tmp_path))


def renamed(model: Any, kind: str) -> Any:
    values = {"input": model.graph.input, "output": model.graph.output}[kind]
    values[-1].name = "other"
    return model


def calling_itself(model: Any, task: str) -> Any:
    [prop] = [prop for prop in model.metadata_props if prop.key == "watchline.task"]
    prop.value = task
    return model


@pytest.mark.parametrize(("labels", "fits"), [("colours", False), ("", True)])
def test_only_a_task_of_labels_needs_any(monkeypatch: pytest.MonkeyPatch, labels: str, fits: bool) -> None:
    task = tasks.TASKS["ask"]
    monkeypatch.setitem(tasks.TASKS, "ask", Task(task.outputs, task.inputs, labels=labels))
    properties = {prop.key: prop.value for prop in tiny_asker().metadata_props} | {"watchline.labels": "[]"}
    if fits:
        assert metadata.from_properties(properties, "tiny").labels == ()
    else:
        with pytest.raises(ModelRefused, match=r"labels are \[\]; expected names of colours, at least one"):
            metadata.from_properties(properties, "tiny")


def test_who_finds_boxes() -> None:
    assert {name for name, task in tasks.TASKS.items() if task.finds_boxes} == {"detect", "instances", "regions"}
