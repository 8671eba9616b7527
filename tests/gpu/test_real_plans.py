"""TensorRT on a real GPU: `make test-gpu`. Builds real plans, which takes minutes, and prints what it measured.

Nothing here has a stand-in: without a GPU these tests are skipped, and what they would show has not been shown.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cli.shell import watchline
from numpy.typing import NDArray

from watchline.engines import load, zoo
from watchline.engines.errors import ModelRefused
from watchline.engines.nvidia import plan, plan_file
from watchline.engines.nvidia.interface import BuildProgress, Gpu
from watchline.engines.nvidia.tensor_rt import TensorRtEngine

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1200)]

MOST = 8
PIXELS, SCORES = 0.1, 2e-3  # how far FP32 of TensorRT may be from FP32 of ONNX Runtime: sums in another order


@pytest.fixture(scope="session")
def model() -> Path:
    return zoo.find(zoo.DEFAULT)


@pytest.fixture(scope="session")
def photos(bikes: Path, model: Path) -> NDArray[np.uint8]:
    """(MOST + 1, H, W, 3) real pictures at the model's own size."""
    with load(model) as engine:
        width, height = engine.size
    with av.open(str(bikes)) as clip:
        frames = [frame for frame, _ in zip(clip.decode(video=0), range(25 * (MOST + 1)), strict=False)][::25]
    return np.stack([frame.reformat(width, height).to_ndarray(format="bgr24") for frame in frames])


@pytest.fixture(scope="session")
def truth(model: Path, photos: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    with load(model, "onnxruntime") as engine:
        return engine.infer(photos)


def check(outputs: dict[str, NDArray[Any]], truth: dict[str, NDArray[Any]], rows: slice) -> None:
    """Scores everywhere, boxes where something could be."""
    np.testing.assert_allclose(outputs["scores"], truth["scores"][rows], atol=SCORES)
    likely = truth["scores"][rows].max(axis=-1) > 0.05
    assert likely.any(), "there is something in the pictures"
    np.testing.assert_allclose(outputs["boxes"][likely], truth["boxes"][rows][likely], atol=PIXELS)


@pytest.mark.parametrize("count", [1, 2, MOST, MOST + 1])
def test_the_numbers_are_those_of_onnx_runtime(
    gpu: Gpu, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]], count: int
) -> None:
    with load(model, "tensorrt", batch=MOST) as engine:
        assert engine.runtime == f"tensorrt {gpu.tensorrt.version} {gpu.name}"
        engine.warm_up()
        for _ in range(3):  # the plain run, then the graph
            check(engine.infer(photos[:count]), truth, slice(0, count))


def test_graphs_give_the_same_bytes_each_time(gpu: Gpu, model: Path, photos: NDArray[np.uint8]) -> None:
    with load(model, "tensorrt", batch=MOST) as engine:
        first = {count: engine.infer(photos[:count]) for count in (1, 3, MOST)}
        for _ in range(50):
            for count, known in first.items():
                outputs = engine.infer(photos[:count])
                assert all(np.array_equal(outputs[name], array) for name, array in known.items())


def test_workers_side_by_side(gpu: Gpu, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]]) -> None:
    """They share the plan; each captures its graphs while the others allocate and run."""

    def work(first: int) -> None:
        for _ in range(3):
            with load(model, "tensorrt", batch=MOST) as engine:
                for n in range(30):
                    count = 1 + (first + n) % 4
                    check(engine.infer(photos[first : first + count]), truth, slice(first, first + count))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_closing_gives_the_memory_back(gpu: Gpu, model: Path, photos: NDArray[np.uint8]) -> None:
    from cuda.bindings import runtime

    def free() -> int:
        code, bytes_free, _ = runtime.cudaMemGetInfo()
        assert code == runtime.cudaError_t.cudaSuccess
        return int(bytes_free)

    def once() -> None:
        with load(model, "tensorrt", batch=MOST) as engine:
            engine.infer(photos[:MOST])

    once()  # what CUDA and TensorRT keep for the process
    before = free()
    for _ in range(10):
        once()
    assert before - free() < 32 << 20


def test_the_second_start_builds_nothing(gpu: Gpu, model: Path) -> None:
    with load(model, "tensorrt", batch=MOST):
        pass
    heard: list[BuildProgress] = []
    started = time.monotonic()
    with TensorRtEngine(model, batch=MOST, gpu=gpu, progress=heard.append):
        assert heard == []
        assert time.monotonic() - started < 15


def test_a_build_tells_how_far_it_is_and_the_file_runs(
    gpu: Gpu, model: Path, photos: NDArray[np.uint8], truth: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    heard: list[BuildProgress] = []
    file = tmp_path / "model.engine"
    plan.build(model, file, 2, heard.append)
    assert len(heard) > 10
    assert all(0 <= progress.done <= progress.total for progress in heard)
    with load(file) as engine:
        check(engine.infer(photos[:3]), truth, slice(0, 3))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelRefused, match="its sha256 is not the one"):
        load(file)


def test_a_plan_of_another_gpu_is_built_here(gpu: Gpu, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.engine"
    with TensorRtEngine(model, batch=1, gpu=gpu):
        pass
    kept = plan.from_model(model, None, 1, gpu)
    key = plan_file.Key(**{**_fields(kept.sidecar.key), "gpu": "NVIDIA Another"})
    plan_file.write(file, kept.content, key, model, kept.sidecar.metadata)
    with load(file) as engine:
        assert engine.runtime.endswith(gpu.name)


def _fields(key: plan_file.Key) -> dict[str, Any]:
    return {name: getattr(key, name) for name in plan_file.Key.__dataclass_fields__}


def test_a_build_can_be_stopped(gpu: Gpu, model: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from watchline.engines.nvidia import plan\n"
        "plan.build(Path(sys.argv[1]), Path(sys.argv[2]), 3)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(model), str(tmp_path / "model.engine")],
        env=os.environ | {"WATCHLINE_CACHE": str(tmp_path)},
        start_new_session=True,
    )
    time.sleep(8)
    started = time.monotonic()
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait(30) != 0
    assert time.monotonic() - started < 20
    assert list(tmp_path.glob("*.engine")) == []


def test_the_command_line_finds_the_same_things(gpu: Gpu, bikes: Path, tmp_path: Path) -> None:
    """The whole pipeline, once by each runtime."""
    found = {}
    for runtime in ("onnxruntime", "tensorrt"):
        out = tmp_path / runtime
        done = watchline("annotate", bikes, "--out", out, "--runtime", runtime, "--no-video")
        assert done.code == 0, done.err
        lines = [json.loads(line) for file in out.glob("*.jsonl") for line in file.read_text().splitlines()]
        found[runtime] = [len(line["detections"]) for line in lines if "detections" in line]
    ours, theirs = found["tensorrt"], found["onnxruntime"]
    assert len(ours) == len(theirs) > 100
    assert sum(ours) == pytest.approx(sum(theirs), rel=0.01)


@pytest.mark.parametrize("count", [1, 4, MOST])
def test_how_fast_it_is(gpu: Gpu, model: Path, photos: NDArray[np.uint8], table: list[str], count: int) -> None:
    with load(model, "tensorrt", batch=count) as engine:
        engine.warm_up()
        times = []
        for _ in range(200):
            started = time.perf_counter()
            engine.infer(photos[:count])
            times.append(time.perf_counter() - started)
        median = statistics.median(times[20:])
        width, height = engine.size
        table.append(
            f"| {engine.metadata.name} | {width} x {height} | {count} | {median * 1e3:.2f} | {count / median:.0f} |"
        )
