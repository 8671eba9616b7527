"""ONNX Runtime's CUDA provider on a real GPU: the CPU's numbers, at any batch, from several workers, and given back.

Without a GPU, or with the ONNX Runtime for CPUs, these tests are skipped.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pytest
from cli.shell import watchline
from numpy.typing import NDArray

from watchline.engines import load, zoo
from watchline.engines.errors import RuntimeUnavailable
from watchline.engines.nvidia.find_cuda import Device, find_cuda
from watchline.engines.nvidia.onnx_cuda import CudaSettings, OnnxCudaEngine
from watchline.export.precision.fp16 import half

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]

MOST = 8
PIXELS, SCORES = 0.1, 2e-3  # how far FP32 of the GPU may be from FP32 of the CPU: sums in another order
LOOSE = 8.0, 0.05  # and FP16


@pytest.fixture(scope="module")
def device() -> Device:
    try:
        return find_cuda()
    except RuntimeUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def model() -> Path:
    return zoo.find(zoo.DEFAULT)


@pytest.fixture(scope="module")
def photos(bikes: Path, model: Path) -> NDArray[np.uint8]:
    """(MOST + 1, H, W, 3) real pictures at the model's own size."""
    with load(model) as engine:
        width, height = engine.size
    with av.open(str(bikes)) as clip:
        frames = [frame for frame, _ in zip(clip.decode(video=0), range(25 * (MOST + 1)), strict=False)][::25]
    return np.stack([frame.reformat(width, height).to_ndarray(format="bgr24") for frame in frames])


@pytest.fixture(scope="module")
def truth(model: Path, photos: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    with load(model, "onnxruntime") as engine:
        return engine.infer(photos)


def check(
    outputs: dict[str, NDArray[Any]],
    truth: dict[str, NDArray[Any]],
    rows: slice,
    most: tuple[float, float] = (PIXELS, SCORES),
) -> None:
    """Scores everywhere, boxes where something could be."""
    pixels, scores = most
    np.testing.assert_allclose(outputs["scores"], truth["scores"][rows], atol=scores)
    likely = truth["scores"][rows].max(axis=-1) > 0.05
    assert likely.any(), "there is something in the pictures"
    np.testing.assert_allclose(outputs["boxes"][likely], truth["boxes"][rows][likely], atol=pixels)


@pytest.mark.parametrize("graphs", [True, False])
def test_the_numbers_are_the_cpus_at_any_batch(
    device: Device, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]], graphs: bool
) -> None:
    with OnnxCudaEngine(model, None, MOST, CudaSettings(graphs=graphs)) as engine:
        engine.warm_up()
        for count in (1, 2, MOST, 3, MOST + 1, 1):
            for _ in range(3):  # what is recorded, and what is replayed
                check(engine.infer(photos[:count]), truth, slice(0, count))


def test_it_runs_on_the_gpu_and_says_so(device: Device, model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with load(model, "cuda", batch=2) as engine:
        engine.warm_up()
        assert engine.runtime.endswith(f" CUDAExecutionProvider {device.name}")
    assert caplog.messages == [], "graphs were recorded"


def test_graphs_give_the_same_bytes_each_time(device: Device, model: Path, photos: NDArray[np.uint8]) -> None:
    with load(model, "cuda", batch=MOST) as engine:
        first = {count: engine.infer(photos[:count]) for count in (1, 3, MOST)}
        for _ in range(50):
            for count, known in first.items():
                outputs = engine.infer(photos[:count])
                assert all(np.array_equal(outputs[name], array) for name, array in known.items())


@pytest.mark.parametrize("settings", [CudaSettings(), CudaSettings(nhwc=True)])
def test_fp16(
    device: Device,
    model: Path,
    photos: NDArray[np.uint8],
    truth: dict[str, NDArray[Any]],
    tmp_path: Path,
    settings: CudaSettings,
) -> None:
    onnx.save(half(onnx.load(model)), tmp_path / "half.onnx")
    with OnnxCudaEngine(tmp_path / "half.onnx", None, MOST, settings) as engine:
        check(engine.infer(photos[:MOST]), truth, slice(0, MOST), LOOSE)


def test_workers_side_by_side(
    device: Device, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]]
) -> None:
    """Each opens its own session and records graphs while the others allocate and run."""

    def work(first: int) -> None:
        for _ in range(2):
            with load(model, "cuda", batch=4) as engine:
                for n in range(20):
                    count = 1 + (first + n) % 4
                    check(engine.infer(photos[first : first + count]), truth, slice(first, first + count))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_an_engine_is_used_from_another_thread(
    device: Device, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]]
) -> None:
    with load(model, "cuda", batch=2) as engine:
        engine.warm_up()
        for _ in range(3):
            with ThreadPoolExecutor(1) as pool:
                check(pool.submit(engine.infer, photos[:2]).result(), truth, slice(0, 2))


def test_closing_gives_the_memory_back(device: Device, model: Path, photos: NDArray[np.uint8]) -> None:
    from cuda.bindings import runtime

    def free() -> int:
        code, bytes_free, _ = runtime.cudaMemGetInfo()
        assert code == runtime.cudaError_t.cudaSuccess
        return int(bytes_free)

    def once() -> None:
        with load(model, "cuda", batch=MOST) as engine:
            engine.infer(photos[:MOST])

    once()  # what CUDA, cuDNN and ONNX Runtime keep for the process
    once()
    before = free()
    for _ in range(5):
        once()
    assert before - free() < 64 << 20


def test_the_command_line_finds_the_same_things(device: Device, bikes: Path, tmp_path: Path) -> None:
    """The whole pipeline, once by each runtime."""
    found = {}
    for runtime in ("onnxruntime", "cuda"):
        out = tmp_path / runtime
        done = watchline("annotate", bikes, "--out", out, "--runtime", runtime, "--workers", "2", "--no-video")
        assert done.code == 0, done.err
        [events] = out.glob("*.jsonl")
        found[runtime] = events.read_text().count('"label"')
    assert found["cuda"] == pytest.approx(found["onnxruntime"], rel=0.01)
    assert found["cuda"] > 0
