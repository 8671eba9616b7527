"""The TensorRT engine over the shipped fake; and what is said where the real one cannot be.

Everything here says `Fake GPU`: no figure of it is one of TensorRT. tests/gpu has the tests for a real GPU.
"""

import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_driver import driver, needs_compiler
from fake_gpu import FakeGpu, fake_gpu
from models_onnx import about, expected, pictures, save, tiny_detector
from nvidia_builder import installed

from watchline.engines import available, load, metadata
from watchline.engines.errors import InferenceFailed, ModelRefused, RequestRefused, RuntimeUnavailable
from watchline.engines.nvidia import cuda_driver, find_gpu, plan
from watchline.engines.nvidia.tensor_rt import TensorRtEngine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tiny_detector(), tmp_path)


@pytest.fixture
def gpu() -> FakeGpu:
    return fake_gpu()


def test_it_says_what_runs(model: Path, gpu: FakeGpu) -> None:
    with TensorRtEngine(model, (64, 32), gpu=gpu) as engine:
        assert (engine.runtime, engine.size, engine.metadata) == ("tensorrt 11.0.fake Fake GPU", (64, 32), about())


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_batches_larger_than_the_plan_s_are_run_in_parts(model: Path, gpu: FakeGpu, count: int) -> None:
    batch = pictures(count, 64, 64, seed=count)
    with TensorRtEngine(model, batch=4, gpu=gpu) as engine:
        outputs = engine.infer(batch)
    assert gpu.cuda.enqueued + gpu.cuda.launched == -(-count // 4)
    for name, want in expected(batch).items():
        np.testing.assert_allclose(outputs[name], want, atol=1e-4)


def test_warming_up_leaves_nothing_to_capture_for_the_first_frames(model: Path, gpu: FakeGpu) -> None:
    with TensorRtEngine(model, batch=4, gpu=gpu) as engine:
        engine.warm_up()
        before = gpu.cuda.enqueued
        for count in (1, 4, 8):
            engine.infer(pictures(count, 64, 64))
        assert gpu.cuda.enqueued == before


def test_workers_load_a_plan_once_and_the_last_one_lets_it_go(model: Path, gpu: FakeGpu) -> None:
    def work(seed: int) -> None:
        batch = pictures(2, 64, 64, seed)
        with TensorRtEngine(model, batch=2, gpu=gpu) as engine:
            for _ in range(20):
                np.testing.assert_allclose(engine.infer(batch)["boxes"], expected(batch)["boxes"], atol=1e-4)

    with TensorRtEngine(model, batch=2, gpu=gpu), ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert (len(gpu.tensorrt.builds), gpu.tensorrt.loads) == (1, 1)
    assert gpu.cuda.held() == {}
    with TensorRtEngine(model, batch=2, gpu=gpu):
        assert gpu.tensorrt.loads == 2


def test_forks_work_on_one_plan(model: Path, gpu: FakeGpu) -> None:
    with TensorRtEngine(model, batch=2, gpu=gpu) as engine:
        held = gpu.cuda.held()
        with engine.fork():
            assert gpu.cuda.held() == {kind: 2 * count for kind, count in held.items()}
        assert gpu.cuda.held() == held
    assert (len(gpu.tensorrt.builds), gpu.tensorrt.loads) == (1, 1)
    assert gpu.cuda.held() == {}


def test_a_closed_engine_that_somebody_keeps_holds_no_plan(model: Path, gpu: FakeGpu) -> None:
    engine = TensorRtEngine(model, gpu=gpu)
    loaded = weakref.ref(engine._loaded.engine)
    engine.close()
    gc.collect()
    assert loaded() is None


def test_two_gpus_share_nothing(model: Path, gpu: FakeGpu) -> None:
    other = fake_gpu()
    with TensorRtEngine(model, gpu=gpu), TensorRtEngine(model, gpu=other):
        assert (gpu.tensorrt.loads, other.tensorrt.loads) == (1, 1)


def test_a_plan_file_runs_by_its_path(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    file = tmp_path / "tiny.engine"
    plan.build(model, file, 4, size=(64, 32), gpu=gpu)
    batch = pictures(3, 64, 32)
    for size in (None, (64, 32)):
        with TensorRtEngine(file, size, gpu=gpu) as engine:
            np.testing.assert_allclose(engine.infer(batch)["scores"], expected(batch)["scores"], atol=1e-4)
    with pytest.raises(RequestRefused, match=r"asked for 64 x 64 .*, but the model is fixed at 64 x 32"):
        TensorRtEngine(file, (64, 64), gpu=gpu)


def test_a_plan_that_tensorrt_does_not_take(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    """Its sha256 is right, so it was built here: but TensorRT has its own mind."""
    file = tmp_path / "tiny.engine"
    plan.build(model, file, gpu=gpu)
    known = plan.plan_file.read_sidecar(file)
    plan.plan_file.write(file, b"something else", known.key, model, known.metadata)
    with pytest.raises(ModelRefused, match=r"tiny\.engine: TensorRT 11\.0\.fake does not take this plan"):
        TensorRtEngine(file, gpu=gpu)


def test_a_failed_start_gives_everything_back(model: Path) -> None:
    gpu = fake_gpu(memory=20_000)
    with pytest.raises(InferenceFailed, match="out of memory"):
        TensorRtEngine(model, batch=4, gpu=gpu)
    assert gpu.cuda.held() == {}


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_nan_and_wrong_tasks_are_found_as_by_every_runtime(tmp_path: Path, gpu: FakeGpu, task: str) -> None:
    if task == "detect":
        model = save(tiny_detector(nan="scores"), tmp_path)
        with TensorRtEngine(model, gpu=gpu) as engine, pytest.raises(InferenceFailed, match="`scores` holds NaN"):
            engine.infer(np.full((1, 64, 64, 3), 255, np.uint8))
        return
    graph = tiny_detector()
    properties = {p.key: p for p in graph.metadata_props}
    properties["watchline.task"].value = "segment"
    with pytest.raises(ModelRefused, match="`classes`"):
        TensorRtEngine(save(graph, tmp_path), gpu=gpu)


# Without a GPU.


def no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, str(tmp_path / "libnone.so"))


def use(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(find_gpu, "ask", lambda: cuda_driver.ask(library))


@pytest.mark.parametrize("suffix", [".onnx", ".engine"])
def test_without_a_driver_it_says_so(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: FakeGpu, suffix: str
) -> None:
    plan.build(model, tmp_path / "tiny.engine", gpu=gpu)
    no_driver(monkeypatch, tmp_path)
    with pytest.raises(
        RuntimeUnavailable,
        match=rf"tiny\{suffix}: TensorRT needs an NVIDIA GPU: there is no NVIDIA driver \(.*libnone.so\); or run",
    ):
        load(model.with_suffix(suffix), "tensorrt")
    assert available()["tensorrt"].startswith("not available: TensorRT needs an NVIDIA GPU: there is no NVIDIA driver")


@needs_compiler
@pytest.mark.parametrize(
    ("init", "count", "message"),
    [
        (100, 0, "the NVIDIA driver is there, but cuInit fails with CUDA error 100"),
        (0, 0, r"the driver \(CUDA 12\.8\) shows none; see CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_driver_without_a_gpu(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, init: int, count: int, message: str
) -> None:
    use(monkeypatch, driver(tmp_path, init=init, count=count))
    with pytest.raises(RuntimeUnavailable, match=f"TensorRT needs an NVIDIA GPU: {message}"):
        load(model, "tensorrt")


@needs_compiler
def test_a_gpu_is_described(tmp_path: Path) -> None:
    found = cuda_driver.ask(driver(tmp_path))
    assert found == cuda_driver.Driver("CUDA 12.8", (cuda_driver.GpuInfo("NVIDIA Test", 24.0, "8.9"),))


@needs_compiler
@pytest.mark.parametrize("package", ["tensorrt", "cuda"])
def test_a_gpu_without_the_libraries(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    use(monkeypatch, driver(tmp_path))
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("nvidia", "cuda_memory", "tensor_rt_log"):
        monkeypatch.delitem(sys.modules, f"watchline.engines.{module}", raising=False)
    with pytest.raises(RuntimeUnavailable, match=r"tensorrt cannot be imported .*pip install '\.\[tensorrt\]' in "):
        load(model, "tensorrt")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_no_other_runtime_takes_a_plan(model: Path, tmp_path: Path, gpu: FakeGpu, runtime: str) -> None:
    plan.build(model, tmp_path / "tiny.engine", gpu=gpu)
    with pytest.raises(RequestRefused, match=f"tiny.engine: a TensorRT plan, {runtime} cannot run it"):
        load(tmp_path / "tiny.engine", runtime)


LEAN = """
import os, sys
sys.path.append(os.environ.get("WATCHLINE_NVIDIA", ""))
import tensorrt_lean
sys.modules["tensorrt"] = tensorrt_lean
from watchline.engines import available, load
print(available()["tensorrt"])
try:
    load(sys.argv[1], "tensorrt")
except Exception as error:
    print(type(error).__name__, error)
from watchline.engines.nvidia.tensor_rt_log import messages
messages().log(tensorrt_lean.ILogger.Severity.ERROR, "it is\\n ill")
print(messages().error())
print(messages().error())
"""


@pytest.mark.skipif(not installed("tensorrt_lean"), reason="tensorrt_lean is not installed, nor in WATCHLINE_NVIDIA")
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU")
def test_nvidia_s_own_library_without_a_driver_is_an_error_and_no_crash(model: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAN, str(model)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second, *errors = done.stdout.splitlines()
    assert first.startswith("not available: TensorRT needs an NVIDIA GPU: there is no NVIDIA driver")
    assert second.startswith("RuntimeUnavailable ")
    assert errors == ["it is ill", "it gives no reason"]


def test_metadata_of_a_plan_s_model_is_the_onnx_s(model: Path, gpu: FakeGpu) -> None:
    with TensorRtEngine(model, gpu=gpu) as engine:
        assert engine.metadata == metadata.read(model)
