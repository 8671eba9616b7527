"""The CUDA provider's engine on the shipped fake: buffers, graphs, cleaning up. The real GPU's tests are in tests/gpu.

And how it is refused where something is missing: driver, GPU, the right ONNX Runtime, CUDA's libraries.
"""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from fake_driver import driver, needs_compiler
from fake_gpu import FakeCuda
from fake_session import FakeSession, fake_device
from models_onnx import expected, pictures, save, tiny_detector

from watchline.engines import available, load, onnx_builds
from watchline.engines.errors import InferenceFailed, ModelRefused, RuntimeUnavailable
from watchline.engines.nvidia import find_cuda
from watchline.engines.nvidia.cuda_driver import Driver, GpuInfo, NoDriver, ask
from watchline.engines.nvidia.find_cuda import Device
from watchline.engines.nvidia.onnx_cuda import CudaSettings, OnnxCudaEngine
from watchline.engines.runtimes import for_cpus

WIDTH, HEIGHT = 64, 32
GPU = GpuInfo("NVIDIA Test", 24.0, "8.9")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tiny_detector(), tmp_path)


def cuda(device: Device) -> FakeCuda:
    assert isinstance(device.cuda, FakeCuda)
    return device.cuda


def check(engine: OnnxCudaEngine, count: int, seed: int = 0) -> None:
    batch = pictures(count, WIDTH, HEIGHT, seed)
    for name, array in engine.infer(batch).items():
        np.testing.assert_allclose(array, expected(batch)[name], atol=1e-4)


@pytest.mark.parametrize("graphs", [True, False])
def test_every_number_of_pictures_up_to_the_batch_and_beyond(model: Path, graphs: bool) -> None:
    device = fake_device()
    with OnnxCudaEngine(model, (WIDTH, HEIGHT), 3, CudaSettings(graphs=graphs), device) as engine:
        assert engine.runtime == f"onnxruntime {ort.__version__} CPUExecutionProvider Fake GPU"
        for seed, count in enumerate((1, 2, 3, 4, 7, 1, 3, 2)):
            check(engine, count, seed)
    assert cuda(device).held() == {}
    assert len(cuda(device).exempt) == 1, "this thread"


@pytest.mark.parametrize(("most", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_few_numbers_of_pictures_are_made_ready_and_no_run_makes_more(model: Path, most: int, sizes: list[int]) -> None:
    with OnnxCudaEngine(model, (WIDTH, HEIGHT), most, device=fake_device()) as engine:
        engine.warm_up()
        assert sorted(engine._ready) == sizes
        for count in range(1, most + 2):
            check(engine, count, count)
        assert sorted(engine._ready) == sizes


def test_buffers_are_made_once(model: Path) -> None:
    device = fake_device()
    with OnnxCudaEngine(model, (WIDTH, HEIGHT), 4, device=device) as engine:
        engine.warm_up()
        held = cuda(device).held()
        for count in (1, 2, 3, 4, 9):
            check(engine, count)
        assert cuda(device).held() == held == {"device": 3, "pinned": 3, "streams": 1}


def test_a_fork_has_buffers_and_a_session_of_its_own(model: Path) -> None:
    device = fake_device()
    with OnnxCudaEngine(model, (WIDTH, HEIGHT), 2, device=device) as engine:
        engine.warm_up()
        held = cuda(device).held()
        with engine.fork() as fork:
            fork.warm_up()
            assert cuda(device).held() == {kind: 2 * count for kind, count in held.items()}
            assert fork._session is not engine._session
        assert cuda(device).held() == held
        check(engine, 2)
    assert cuda(device).held() == {}


def test_a_model_of_one_batch_size(tmp_path: Path) -> None:
    model = save(tiny_detector(batch=2), tmp_path)
    with OnnxCudaEngine(model, (WIDTH, HEIGHT), 8, device=fake_device()) as engine:
        engine.warm_up()
        check(engine, 2)


def test_no_session_opens_or_closes_while_a_graph_is_recorded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording, go_on, order = threading.Event(), threading.Event(), []
    run = FakeSession.run_with_iobinding

    def slow(self: FakeSession, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        recording.set()
        assert go_on.wait(10)
        order.append("recorded")
        run(self, binding, options)

    def other() -> None:
        with OnnxCudaEngine(model, (WIDTH, HEIGHT), device=fake_device()):
            order.append("opened")
        order.append("closed")

    with OnnxCudaEngine(model, (WIDTH, HEIGHT), device=fake_device()) as engine, ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(FakeSession, "run_with_iobinding", slow)
        first = pool.submit(check, engine, 1)
        assert recording.wait(10)
        second = pool.submit(other)
        assert not wait([second], 0.2).done
        go_on.set()
        first.result()
        second.result()
    assert order[:2] == ["recorded", "recorded"], "the run that tells the shapes, and the recording"
    assert "closed" in order


@pytest.mark.parametrize("refusal", ["opens", "captures"])
def test_where_no_graph_can_be_recorded_it_runs_without_and_says_so(
    model: Path, caplog: pytest.LogCaptureFixture, refusal: str
) -> None:
    device = fake_device(**{refusal: False})
    with caplog.at_level(logging.WARNING), OnnxCudaEngine(model, (WIDTH, HEIGHT), 2, device=device) as engine:
        for count in (1, 2, 1):
            check(engine, count)
    [said] = caplog.messages
    assert said.startswith(f"{model}: runs without CUDA graphs, which costs some time per batch: ")
    assert cuda(device).held() == {}


def test_a_model_that_is_not_taken_leaves_nothing_behind(model: Path) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no kernel\nfor that")

    device = fake_device()
    broken = Device(device.name, device.provider, device.memory, device.cuda, fails)
    with pytest.raises(ModelRefused, match=r"onnxruntime .* Fake GPU does not take it: no kernel$"):
        OnnxCudaEngine(model, (WIDTH, HEIGHT), device=broken)
    assert cuda(device).held() == {}


PAGE = "/src/cuda_call.cc:154 [with ERRTYPE = cudaError] CUDA failure 2: out of memory ; GPU=0 ; file=a.cc ; line=355"


def test_a_failure_of_cuda_is_not_the_models(model: Path) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError(PAGE)

    device = fake_device()
    broken = Device(device.name, device.provider, device.memory, device.cuda, fails)
    with pytest.raises(InferenceFailed, match=r"Fake GPU cannot begin: CUDA failure 2: out of memory$"):
        OnnxCudaEngine(model, (WIDTH, HEIGHT), device=broken)


def test_a_run_that_fails_says_in_a_line_why(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError(PAGE)

    with OnnxCudaEngine(model, (WIDTH, HEIGHT), settings=CudaSettings(graphs=False), device=fake_device()) as engine:
        check(engine, 1)
        monkeypatch.setattr(FakeSession, "run_with_iobinding", fails)
        with pytest.raises(InferenceFailed, match=r"Fake GPU failed: CUDA failure 2: out of memory$"):
            check(engine, 1)


def test_another_provider_than_asked_for_is_an_error(model: Path) -> None:
    def on_the_cpu(*arguments: Any, providers: object, **options: Any) -> ort.InferenceSession:
        return ort.InferenceSession(*arguments, providers=["CPUExecutionProvider"], **options)

    device = fake_device()
    silent = Device(device.name, "CUDAExecutionProvider", device.memory, device.cuda, on_the_cpu)
    with pytest.raises(
        RuntimeUnavailable, match=r"asked for CUDAExecutionProvider, but .* would run on CPUExec.*cuDNN"
    ):
        OnnxCudaEngine(model, (WIDTH, HEIGHT), device=silent)
    assert cuda(device).held() == {}


def test_no_room_on_the_gpu(model: Path) -> None:
    device = fake_device(memory=WIDTH * HEIGHT * 3 * 2 + 100)
    with pytest.raises(InferenceFailed, match="out of memory"):
        OnnxCudaEngine(model, (WIDTH, HEIGHT), 3, device=device)
    assert cuda(device).held() == {}


def found(monkeypatch: pytest.MonkeyPatch, *, spoken: str = "CUDA 13.0", gpus: tuple[GpuInfo, ...] = (GPU,)) -> None:
    """A driver, and an ONNX Runtime for GPUs."""
    monkeypatch.setattr(find_cuda, "ask", lambda: Driver(spoken, gpus))
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "cuda_version", "13.0")
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)


def test_no_driver(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Driver:
        raise NoDriver("there is no NVIDIA driver (libcuda.so.1)")

    monkeypatch.setattr(find_cuda, "ask", none)
    reason = "the runtime cuda needs an NVIDIA GPU: there is no NVIDIA driver (libcuda.so.1)"
    with pytest.raises(RuntimeUnavailable) as error:
        load(model, "cuda")
    assert str(error.value) == f"{model}: {reason}; or run it by {for_cpus()}"
    assert available()["cuda"] == f"not available: {reason}"


@needs_compiler
def test_a_driver_and_the_onnx_runtime_for_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = driver(tmp_path)
    monkeypatch.setattr(find_cuda, "ask", lambda: ask(library))
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(RuntimeUnavailable, match=r"is built for CPUs; pip uninstall --yes onnxruntime; pip install "):
        find_cuda.find_cuda()


def test_no_gpu_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, gpus=())
    with pytest.raises(RuntimeUnavailable, match=r"\(CUDA 13.0\) shows none; see CUDA_VISIBLE_DEVICES"):
        find_cuda.find_cuda()


def test_a_driver_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, spoken="CUDA 12.8")
    with pytest.raises(RuntimeUnavailable, match=r"speaks CUDA 12\.8, .* needs CUDA 13\.0; install a newer driver"):
        find_cuda.find_cuda()


def test_libraries_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found(monkeypatch)

    def fails() -> None:
        sys.stdout.write(
            "Failed to load /a/b/nvidia/cu13/lib/libcublas.so.13: libcublasLt.so.13: cannot open shared object file\n"
        )
        sys.stdout.write("Failed to load libcublas.so.13: libcublas.so.13: cannot open shared object file\n")
        sys.stdout.write("Failed to load libcurand.so.10: libcurand.so.10: cannot open shared object file\n")

    monkeypatch.setattr(ort, "preload_dlls", fails, raising=False)
    with pytest.raises(
        RuntimeUnavailable, match=r"cannot load libcublas\.so\.13, libcurand\.so\.10; install CUDA 13\.0"
    ):
        find_cuda.find_cuda()
    assert capsys.readouterr().out == ""


def test_workers_that_ask_at_once_leave_the_output_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch)
    before, inside = sys.stdout, []
    second_in, first_out = threading.Event(), threading.Event()

    def preload() -> None:
        inside.append(threading.get_ident())
        if len(inside) == 1:
            second_in.wait(0.2)
        else:
            second_in.set()
            first_out.wait(0.2)

    def ask_for_it(_: int) -> None:
        find_cuda.find_cuda()
        first_out.set()

    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask_for_it, range(2)))
    assert sys.stdout is before
    assert len(inside) == 2


def test_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch)
    assert find_cuda.find_cuda().name == "NVIDIA Test"
    assert available()["cuda"] == f"{ort.__version__}, CUDA 13.0 (NVIDIA Test)"


def test_two_builds_in_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"onnxruntime": "1.32.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(onnx_builds, "version", version)
    assert onnx_builds.both_installed() is None
    installed["onnxruntime-gpu"] = "1.31.1"
    assert onnx_builds.both_installed() == (
        f"onnxruntime 1.32.0 and onnxruntime-gpu 1.31.1 overwrite one another: {onnx_builds.REPLACE}"
    )
