"""Every runtime that is installed gives the same numbers as NumPy and refuses the same things."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_gpu import fake_gpu
from fake_session import fake_device
from models_onnx import LABELS, about, expected, pictures, save, tiny_detector
from numpy.typing import NDArray

from watchline.engines import integers, load, metadata
from watchline.engines.engine import Engine
from watchline.engines.errors import InferenceFailed, ModelRefused, RequestRefused
from watchline.engines.nvidia.onnx_cuda import OnnxCudaEngine
from watchline.engines.nvidia.tensor_rt import TensorRtEngine
from watchline.engines.replay import Recorder
from watchline.engines.runtimes import RUNTIMES

WIDTH, HEIGHT = 64, 32
ONE, THREE = pictures(1, WIDTH, HEIGHT), pictures(3, WIDTH, HEIGHT, seed=1)
OTHERS = pictures(3, WIDTH, HEIGHT, seed=2)


def on_this_cpu() -> Iterator[Any]:
    """Every runtime of the table that needs no GPU; skipped if it is not installed."""
    for runtime in (runtime for runtime in RUNTIMES if not runtime.gpu):
        try:
            runtime.imported()
            skips = []
        except ImportError as error:
            skips = [pytest.mark.skip(reason=f"{runtime.name} is not installed: {error}")]
        yield pytest.param(runtime.name, marks=skips)


GRAPH_RUNTIMES = list(on_this_cpu())

Open = Callable[[], Engine]


@pytest.fixture(params=[*GRAPH_RUNTIMES, "replay", "cuda on the fake GPU", "tensorrt on the fake GPU"])
def open_engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Loads the tiny detector at WIDTH x HEIGHT in one of the runtimes; `replay` has the three batches on record."""
    model = save(tiny_detector(), tmp_path)
    if request.param == "cuda on the fake GPU":
        device = fake_device()
        return lambda: OnnxCudaEngine(model, (WIDTH, HEIGHT), 2, device=device)
    if request.param == "tensorrt on the fake GPU":
        monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path / "cache"))
        gpu = fake_gpu()
        return lambda: TensorRtEngine(model, (WIDTH, HEIGHT), 2, gpu)
    if request.param != "replay":
        return lambda: load(model, request.param, (WIDTH, HEIGHT))
    recording = tmp_path / "tiny.npz"
    with Recorder(load(model, size=(WIDTH, HEIGHT)), recording) as engine:
        for batch in (ONE, THREE, OTHERS):
            engine.infer(batch)
    return lambda: load(recording, size=(WIDTH, HEIGHT))


def assert_expected(outputs: dict[str, NDArray[np.float32]], batch: NDArray[np.uint8]) -> None:
    for name, want in expected(batch).items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], want, atol=1e-4)


def assert_same(outputs: dict[str, NDArray[np.float32]], others: dict[str, NDArray[np.float32]]) -> None:
    """To the bit."""
    assert outputs.keys() == others.keys()
    for name, array in outputs.items():
        other = others[name]
        assert (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes())


@pytest.mark.parametrize("batch", [ONE, THREE], ids=["one", "three"])
def test_outputs_are_what_numpy_computes(open_engine: Open, batch: NDArray[np.uint8]) -> None:
    with open_engine() as engine:
        outputs = engine.infer(batch)
    assert set(outputs) == {"boxes", "scores"}
    assert_expected(outputs, batch)
    assert outputs["scores"][0, 0].argmax() == LABELS.index("person")  # the red cell at the top left
    assert outputs["scores"][0, 0].max() > 0.99


def test_it_says_what_it_is(open_engine: Open) -> None:
    with open_engine() as engine:
        assert engine.metadata == about()
        assert engine.size == (WIDTH, HEIGHT)
        assert any(name in engine.runtime for name in ("onnxruntime 1.", "openvino 20", "tensorrt 11"))


def test_warming_up_changes_no_result(open_engine: Open) -> None:
    with open_engine() as engine:
        engine.warm_up()
        assert_expected(engine.infer(ONE), ONE)


def test_batches_of_changing_size(open_engine: Open) -> None:
    with open_engine() as engine:
        for batch in (ONE, THREE, ONE, THREE):
            assert_expected(engine.infer(batch), batch)


def test_later_runs_leave_earlier_outputs_alone(open_engine: Open) -> None:
    with open_engine() as engine:
        first = engine.infer(THREE)
        kept = {name: array.copy() for name, array in first.items()}
        engine.infer(OTHERS)
        for name, array in first.items():
            np.testing.assert_array_equal(array, kept[name])


def test_views_and_frozen_batches_are_taken(open_engine: Open) -> None:
    wide = np.zeros((*THREE.shape[:2], 2 * WIDTH, 3), np.uint8)
    view = wide[:, :, ::2]
    view[:] = THREE
    frozen = THREE.copy()
    frozen.flags.writeable = False
    with open_engine() as engine:
        assert_expected(engine.infer(view), THREE)
        assert_expected(engine.infer(frozen), THREE)
    np.testing.assert_array_equal(frozen, THREE)


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (ONE.astype(np.float32), r"float32 \(1, 32, 64, 3\)"),
        (ONE[0], r"uint8 \(32, 64, 3\)"),  # a picture without a batch around it
        (ONE.transpose(0, 3, 1, 2), r"\(1, 3, 32, 64\)"),
        (ONE.transpose(0, 2, 1, 3), r"\(1, 64, 32, 3\)"),  # width before height
        (ONE[..., :1], r"\(1, 32, 64, 1\)"),  # grey
        (ONE[:0], r"\(0, 32, 64, 3\)"),
        (np.uint8(0), "uint8"),
        (ONE.tolist(), "list"),
    ],
    ids=["float", "no batch", "planes", "swapped", "grey", "empty", "scalar", "list"],
)
def test_a_batch_that_does_not_fit_is_refused(open_engine: Open, batch: NDArray[np.uint8], got: str) -> None:
    with open_engine() as engine:
        with pytest.raises(RequestRefused, match=rf"{got}.*expected.*\(B, 32, 64, 3\) uint8 BGR"):
            engine.infer(batch)
        assert_expected(engine.infer(ONE), ONE)  # and the engine still works


def test_a_closed_engine_says_so(open_engine: Open) -> None:
    engine = open_engine()
    engine.close()
    engine.close()
    with pytest.raises(RequestRefused, match="closed"):
        engine.infer(ONE)


def test_leaving_the_context_closes(open_engine: Open) -> None:
    with pytest.raises(ZeroDivisionError), open_engine() as engine:
        raise ZeroDivisionError
    with pytest.raises(RequestRefused, match="closed"):
        engine.infer(ONE)


def test_engines_in_two_threads_do_not_disturb_each_other(open_engine: Open) -> None:
    def work(batch: NDArray[np.uint8]) -> list[dict[str, NDArray[np.float32]]]:
        with open_engine() as engine:
            return [engine.infer(batch) for _ in range(50)]

    batches = (ONE, THREE)
    with ThreadPoolExecutor(2) as pool:
        for batch, results in zip(batches, pool.map(work, batches), strict=True):
            for outputs in results:
                assert_expected(outputs, batch)


def test_a_fork_is_the_same_engine_again(open_engine: Open) -> None:
    with open_engine() as engine, engine.fork() as fork:
        assert (fork.metadata, fork.size, fork.runtime) == (engine.metadata, engine.size, engine.runtime)
        for batch in (ONE, THREE):
            assert_same(fork.infer(batch), engine.infer(batch))
        with pytest.raises(RequestRefused, match="expected"):
            fork.infer(ONE[0])


@pytest.mark.parametrize("warm", [(), (0,), (1,), (1, 0)], ids=["none", "engine", "fork", "both"])
def test_a_fork_is_warmed_up_by_itself(open_engine: Open, warm: tuple[int, ...]) -> None:
    with open_engine() as engine, engine.fork() as fork:
        for one in warm:
            (engine, fork)[one].warm_up()
        assert_expected(fork.infer(ONE), ONE)
        assert_expected(engine.infer(ONE), ONE)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_forks_are_closed_in_any_order(open_engine: Open, order: tuple[int, ...]) -> None:
    engine = open_engine()
    fork = engine.fork()
    engines = [engine, fork, fork.fork()]
    before = engine.infer(THREE)
    for n, one in enumerate(order):
        engines[one].close()
        engines[one].close()
        with pytest.raises(RequestRefused, match="closed"):
            engines[one].infer(THREE)
        with pytest.raises(RequestRefused, match="closed"):
            engines[one].fork()
        for other in order[n + 1 :]:
            assert_same(engines[other].infer(THREE), before)


def test_forks_infer_at_the_same_time(open_engine: Open) -> None:
    start = threading.Barrier(3)
    batches = [ONE, THREE, OTHERS]

    def work(engine: Engine, n: int) -> list[dict[str, NDArray[np.float32]]]:
        start.wait(10)
        return [engine.infer(batches[(n + i) % 3]) for i in range(60)]

    with open_engine() as engine, engine.fork() as second, ThreadPoolExecutor(2) as pool:
        known = [engine.infer(batch) for batch in batches]
        results = [pool.submit(work, one, n) for n, one in enumerate((engine, second))]
        start.wait(10)
        for _ in range(3):  # and a third one comes and goes
            with engine.fork() as third:
                assert_same(third.infer(THREE), known[1])
        for n, result in enumerate(results):
            for i, outputs in enumerate(result.result()):
                assert_same(outputs, known[(n + i) % 3])


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_found_out_of_the_file_is_not_looked_for_again(
    tmp_path: Path, runtime: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The metadata, and how this CPU computes the model's integers."""
    with load(save(tiny_detector(), tmp_path), runtime, (WIDTH, HEIGHT), threads) as engine:
        for name in ("sums", "is_exact", "largest_sum"):
            monkeypatch.delattr(integers, name)
        for name in ("parse", "of"):
            monkeypatch.delattr(metadata, name)
        with engine.fork() as fork:
            assert_same(fork.infer(THREE), engine.infer(THREE))


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_count_of_threads_changes_no_result(tmp_path: Path, runtime: str, threads: int) -> None:
    with load(save(tiny_detector(), tmp_path), runtime, (WIDTH, HEIGHT), threads) as engine:
        assert_expected(engine.infer(THREE), THREE)


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
@pytest.mark.parametrize("output", ["boxes", "scores"])
def test_nan_is_an_error_that_names_the_output(tmp_path: Path, runtime: str, output: str) -> None:
    with load(save(tiny_detector(nan=output), tmp_path), runtime, (WIDTH, HEIGHT)) as engine:
        engine.warm_up()
        with pytest.raises(InferenceFailed, match=f"`{output}` holds NaN or infinity in "):
            engine.infer(np.full((1, HEIGHT, WIDTH, 3), 255, np.uint8))
        assert_expected(engine.infer(ONE), ONE)


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
def test_outputs_whose_shape_shows_only_when_run(tmp_path: Path, runtime: str) -> None:
    model = tiny_detector(("a", "b"), declare=False)
    metadata.write(model, about(LABELS))
    with (
        load(save(model, tmp_path), runtime) as engine,
        pytest.raises(ModelRefused, match=r"`scores` came out as float32 \(1, 64, 2\); expected float32 \(1, 64, 3\)"),
    ):
        engine.warm_up()


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
def test_scores_without_a_sigmoid_are_refused(tmp_path: Path, runtime: str) -> None:
    with (
        load(save(tiny_detector(logits=True), tmp_path), runtime) as engine,
        pytest.raises(ModelRefused, match=r"`scores` lie in -10\.\.-10; expected 0\.\.1"),
    ):
        engine.warm_up()


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
def test_a_model_of_fixed_size_and_batch(tmp_path: Path, runtime: str) -> None:
    path = save(tiny_detector(size=(WIDTH, HEIGHT), batch=2), tmp_path)
    with load(path, runtime) as engine:
        assert engine.size == (WIDTH, HEIGHT)
        engine.warm_up()
        assert_expected(engine.infer(THREE[:2]), THREE[:2])
        with pytest.raises(RequestRefused, match=r"\(3, 32, 64, 3\); expected \(2, 32, 64, 3\)"):
            engine.infer(THREE)
    with pytest.raises(RequestRefused, match=r"asked for 64 x 64 .* fixed at 64 x 32"):
        load(path, runtime, (64, 64))


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
def test_the_model_s_own_size_is_the_default(tmp_path: Path, runtime: str) -> None:
    with load(save(tiny_detector(), tmp_path), runtime) as engine:
        assert engine.size == (64, 64)
        engine.warm_up()


@pytest.mark.parametrize("runtime", GRAPH_RUNTIMES)
def test_a_graph_that_the_runtime_does_not_take(
    tmp_path: Path, runtime: str, capfd: pytest.CaptureFixture[str]
) -> None:
    model = tiny_detector()
    model.graph.node[3].op_type = "Convolve"
    with pytest.raises(ModelRefused, match=rf"tiny\.onnx: {runtime} \d.* does not take it: ") as caught:
        load(save(model, tmp_path), runtime)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_the_runtime_raises_becomes_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with load(save(tiny_detector(fails=True), tmp_path)) as engine:
        engine.warm_up()
        with pytest.raises(InferenceFailed, match=r"onnxruntime 1\..* failed: ") as caught:
            engine.infer(np.zeros((1, 64, 64, 3), np.uint8))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")  # the line is told once, by whoever catches it
