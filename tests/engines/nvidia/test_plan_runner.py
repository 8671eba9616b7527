"""The run loop of plans, over the shipped fake, which insists on the rules of CUDA and TensorRT."""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fake_gpu import BrokenRule, FakeCuda, FakeEngine, FakeGpu, fake_gpu
from models_onnx import expected, pictures, save, tiny_detector

from watchline.engines.errors import InferenceFailed, ModelRefused
from watchline.engines.nvidia.interface import BuildRequest
from watchline.engines.nvidia.plan_runner import PlanRunner

WIDTH, HEIGHT, MOST = 64, 32, 4
INPUTS, OUTPUTS = ("images",), ("boxes", "scores")


@pytest.fixture
def gpu() -> FakeGpu:
    return fake_gpu()


def loaded(gpu: FakeGpu, folder: Path, low: int = 1) -> FakeEngine:
    order = BuildRequest(save(tiny_detector(), folder), (WIDTH, HEIGHT), (low, MOST))
    return gpu.tensorrt.load(gpu.tensorrt.build(order, folder / "timing", lambda _: None), "tiny")


def runner(gpu: FakeGpu, engine: FakeEngine) -> PlanRunner:
    return PlanRunner(gpu, engine, INPUTS, OUTPUTS, "tiny.onnx")


def check(run: PlanRunner, count: int, seed: int) -> None:
    batch = pictures(count, WIDTH, HEIGHT, seed)
    outputs = run.run({"images": batch})
    for name, want in expected(batch).items():
        np.testing.assert_allclose(outputs[name], want, atol=1e-4)


def test_each_number_of_pictures_is_enqueued_once_and_then_launched_as_a_graph(gpu: FakeGpu, tmp_path: Path) -> None:
    run = runner(gpu, loaded(gpu, tmp_path))
    for seed, count in enumerate((1, 1, 4, 1, 3, 4, 3, 2, 1)):
        check(run, count, seed)
    assert gpu.cuda.enqueued == 4  # 1, 4, 3 and 2 when they came first
    assert gpu.cuda.launched == 5
    run.close()


def test_everything_is_given_back(gpu: FakeGpu, tmp_path: Path) -> None:
    run = runner(gpu, loaded(gpu, tmp_path))
    check(run, 2, 0)
    check(run, 4, 1)
    assert gpu.cuda.held() == {"device": 4, "pinned": 3, "streams": 1, "graphs": 2}
    run.close()
    assert gpu.cuda.held() == {}


@pytest.mark.parametrize("memory", [0, 5_000, 30_000])
def test_a_device_without_room_is_an_error_and_nothing_stays(tmp_path: Path, memory: int) -> None:
    gpu = fake_gpu(memory=memory)
    with pytest.raises(InferenceFailed, match="cudaMalloc failed: out of memory"):
        runner(gpu, loaded(gpu, tmp_path))
    assert gpu.cuda.held() == {}


def test_a_plan_that_cannot_be_captured_runs_without_a_graph_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu = fake_gpu(captures=False)
    run = runner(gpu, loaded(gpu, tmp_path))
    for seed in range(3):
        check(run, 2, seed)
    assert (gpu.cuda.launched, gpu.cuda.enqueued) == (0, 3)
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "tiny.onnx: runs without a CUDA graph, which costs some time per batch: cudaStreamEndCapture failed: the "
        "capture was invalidated"
    ]
    run.close()
    assert gpu.cuda.held() == {}


def test_workers_share_a_plan_and_nothing_else(gpu: FakeGpu, tmp_path: Path) -> None:
    engine = loaded(gpu, tmp_path)

    def work(seed: int) -> None:
        run = runner(gpu, engine)
        for n in range(20):
            check(run, 1 + (n + seed) % MOST, seed * 100 + n)
        run.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert gpu.cuda.held() == {}


def test_more_pictures_than_the_profile_are_refused_by_tensorrt(gpu: FakeGpu, tmp_path: Path) -> None:
    run = runner(gpu, loaded(gpu, tmp_path, low=2))
    with pytest.raises(InferenceFailed, match=r"tiny.onnx: TensorRT does not take 1 pictures at once: .*profile"):
        run.run({"images": pictures(1, WIDTH, HEIGHT)})
    run.close()


def test_a_plan_with_other_outputs_is_refused(gpu: FakeGpu, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="has the tensors images, boxes, scores, but no classes"):
        PlanRunner(gpu, loaded(gpu, tmp_path), INPUTS, ("classes",), "tiny.onnx")
    assert gpu.cuda.held() == {}


def test_outputs_that_nobody_asked_for_have_memory_too(gpu: FakeGpu, tmp_path: Path) -> None:
    run = PlanRunner(gpu, loaded(gpu, tmp_path), INPUTS, ("scores",), "tiny.onnx")
    batch = pictures(2, WIDTH, HEIGHT)
    outputs = run.run({"images": batch})
    assert list(outputs) == ["scores"]
    np.testing.assert_allclose(outputs["scores"], expected(batch)["scores"], atol=1e-4)
    run.close()


# What follows shows that the fake would notice: a run loop that breaks a rule does not pass the tests above.


def test_the_fake_s_results_are_there_after_synchronising_only(gpu: FakeGpu) -> None:
    cuda = gpu.cuda
    stream, device, host = cuda.create_stream(), cuda.allocate(4), cuda.allocate_pinned(4)
    seen = np.frombuffer((ctypes.c_uint8 * 4).from_address(host), np.uint8)
    seen[:] = 7
    cuda.copy_to_host(host, device, 4, stream)
    assert seen.tolist() == [7] * 4
    cuda.synchronise(stream)
    assert seen.tolist() == [0xA5] * 4  # what device memory holds before anybody has written to it


def freed_twice(cuda: FakeCuda) -> None:
    address = cuda.allocate(8)
    cuda.free(address)
    cuda.free(address)


def used_after_free(cuda: FakeCuda) -> None:
    stream, device, host = cuda.create_stream(), cuda.allocate(8), cuda.allocate_pinned(8)
    cuda.copy_to_device(device, host, 8, stream)
    cuda.free(device)
    cuda.synchronise(stream)


def graph_used_after_free(cuda: FakeCuda) -> None:
    stream, device, host = cuda.create_stream(), cuda.allocate(8), cuda.allocate_pinned(8)
    cuda.begin_capture(stream)
    cuda.copy_to_device(device, host, 8, stream)
    graph = cuda.end_capture(stream)
    cuda.free_pinned(host)
    cuda.launch(graph, stream)
    cuda.synchronise(stream)


def copied_from_memory_that_is_not_pinned(cuda: FakeCuda) -> None:
    stream, device = cuda.create_stream(), cuda.allocate(8)
    cuda.copy_to_device(device, np.zeros(8, np.uint8).ctypes.data, 8, stream)


def copied_past_the_end(cuda: FakeCuda) -> None:
    stream, device, host = cuda.create_stream(), cuda.allocate(8), cuda.allocate_pinned(16)
    cuda.copy_to_device(device, host, 16, stream)


def stream_destroyed_with_work_on_it(cuda: FakeCuda) -> None:
    stream, device, host = cuda.create_stream(), cuda.allocate(8), cuda.allocate_pinned(8)
    cuda.copy_to_device(device, host, 8, stream)
    cuda.destroy_stream(stream)


def graph_launched_after_it_was_destroyed(cuda: FakeCuda) -> None:
    stream = cuda.create_stream()
    cuda.begin_capture(stream)
    graph = cuda.end_capture(stream)
    cuda.destroy_graph(graph)
    cuda.launch(graph, stream)


@pytest.mark.parametrize(
    "wrong",
    [
        freed_twice,
        used_after_free,
        graph_used_after_free,
        copied_from_memory_that_is_not_pinned,
        copied_past_the_end,
        stream_destroyed_with_work_on_it,
        graph_launched_after_it_was_destroyed,
    ],
)
def test_the_fake_sees_a_broken_rule_of_cuda(gpu: FakeGpu, wrong: Callable[[FakeCuda], None]) -> None:
    with pytest.raises(BrokenRule):
        wrong(gpu.cuda)


def test_the_fake_does_not_wait_while_it_captures(gpu: FakeGpu) -> None:
    stream = gpu.cuda.create_stream()
    gpu.cuda.begin_capture(stream)
    with pytest.raises(InferenceFailed, match="not permitted"):
        gpu.cuda.synchronise(stream)
    with pytest.raises(InferenceFailed, match="invalidated"):
        gpu.cuda.end_capture(stream)


def test_the_fake_captures_what_was_enqueued_before_only(gpu: FakeGpu, tmp_path: Path) -> None:
    engine, stream = loaded(gpu, tmp_path), gpu.cuda.create_stream()
    context = gpu.tensorrt.context(engine, gpu.cuda.allocate(4096), 4096)
    assert not context.execute_async_v3(stream)
    assert gpu.tensorrt.complaint() == "no address is set for images, boxes, scores"
    for name in ("images", *OUTPUTS):
        context.set_tensor_address(name, gpu.cuda.allocate(1 << 16))
    assert not context.execute_async_v3(stream)
    assert gpu.tensorrt.complaint() == "no shape is set for an input"
    assert context.set_input_shape("images", (2, HEIGHT, WIDTH, 3))
    gpu.cuda.begin_capture(stream)
    assert not context.execute_async_v3(stream)
    assert gpu.tensorrt.complaint() == "captured before it was enqueued"


def test_the_fake_sees_a_graph_invalidated_by_another_shape(gpu: FakeGpu, tmp_path: Path) -> None:
    engine, stream = loaded(gpu, tmp_path), gpu.cuda.create_stream()
    context = gpu.tensorrt.context(engine, gpu.cuda.allocate(4096), 4096)
    for name in ("images", *OUTPUTS):
        context.set_tensor_address(name, gpu.cuda.allocate(1 << 16))
    context.set_input_shape("images", (2, HEIGHT, WIDTH, 3))
    context.execute_async_v3(stream)
    gpu.cuda.synchronise(stream)
    gpu.cuda.begin_capture(stream)
    context.execute_async_v3(stream)
    graph = gpu.cuda.end_capture(stream)
    context.set_input_shape("images", (1, HEIGHT, WIDTH, 3))
    gpu.cuda.launch(graph, stream)
    with pytest.raises(BrokenRule, match="another shape"):
        gpu.cuda.synchronise(stream)
