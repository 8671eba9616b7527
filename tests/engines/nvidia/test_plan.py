"""Plans as files: the cache and its key, sidecars, rebuilding, one build for many workers."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnx
import pytest
from fake_gpu import FakeGpu, FakeTensorRt, fake_gpu
from models_onnx import about, save, tiny_detector
from onnx.external_data_helper import convert_model_to_external_data

from watchline.engines.cache_folder import cache_folder
from watchline.engines.errors import (
    InferenceFailed,
    ModelNotFound,
    ModelRefused,
    RequestRefused,
    RuntimeUnavailable,
)
from watchline.engines.nvidia import cuda_driver, find_gpu, plan, plan_file
from watchline.engines.nvidia.interface import BuildProgress, BuildRequest, OnProgress


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tiny_detector(), tmp_path)


@pytest.fixture
def gpu() -> FakeGpu:
    return fake_gpu()


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder("plans") == tmp_path / "cache" / "plans"
    assert (tmp_path / "cache" / "plans").stat().st_mode & 0o777 == 0o700  # native code: its owner's alone
    monkeypatch.delenv("WATCHLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "watchline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("plans") == tmp_path / "home" / ".cache" / "watchline" / "plans"
    (tmp_path / "file").touch()
    monkeypatch.setenv("WATCHLINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(RequestRefused, match=r"file/plans: the cache folder cannot be made .* by WATCHLINE_CACHE"):
        cache_folder("plans")


def test_a_plan_is_built_once_and_found_again(model: Path, gpu: FakeGpu, cache: Path) -> None:
    first = plan.from_model(model, None, 4, gpu)
    again = plan.from_model(model, None, 4, gpu)
    assert gpu.tensorrt.builds == [BuildRequest(model, (64, 64), (1, 4))]
    assert first.content == again.content
    assert first.sidecar == again.sidecar
    assert first.sidecar.metadata == about()
    assert sorted(p.suffix for p in (cache / "plans").iterdir()) == [".cache", ".engine", ".json", ".lock"]


def changed_model(model: Path, gpu: FakeGpu) -> tuple[Path, tuple[int, int], int, FakeGpu]:
    return save(tiny_detector(("a", "b")), model.parent), (64, 64), 4, gpu


def other_version(model: Path, gpu: FakeGpu) -> tuple[Path, tuple[int, int], int, FakeGpu]:
    return model, (64, 64), 4, fake_gpu(version="11.1.fake")


def other_gpu(model: Path, gpu: FakeGpu) -> tuple[Path, tuple[int, int], int, FakeGpu]:
    return model, (64, 64), 4, fake_gpu("Another GPU")


def other_batch(model: Path, gpu: FakeGpu) -> tuple[Path, tuple[int, int], int, FakeGpu]:
    return model, (64, 64), 8, gpu


def other_size(model: Path, gpu: FakeGpu) -> tuple[Path, tuple[int, int], int, FakeGpu]:
    return model, (64, 32), 4, gpu


@pytest.mark.parametrize("change", [changed_model, other_version, other_gpu, other_batch, other_size])
def test_each_part_of_the_key_asks_for_another_plan(model: Path, gpu: FakeGpu, cache: Path, change: Any) -> None:
    plan.from_model(model, (64, 64), 4, gpu)
    for _ in range(2):
        plan.from_model(*change(model, gpu))
    assert len(list((cache / "plans").glob("*.engine"))) == 2


def test_how_the_builder_computes_is_part_of_the_key(
    model: Path, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan.from_model(model, None, 1, gpu)
    monkeypatch.setattr(plan_file, "PRECISION", "otherwise")
    plan.from_model(model, None, 1, gpu)
    assert len(gpu.tensorrt.builds) == 2


def test_weights_outside_the_file_count(tmp_path: Path, gpu: FakeGpu) -> None:
    graph = tiny_detector()
    convert_model_to_external_data(graph, location="weights", size_threshold=100)
    onnx.save(graph, tmp_path / "external.onnx")
    before = plan_file.sha256_of_model(tmp_path / "external.onnx")
    content = bytearray((tmp_path / "weights").read_bytes())
    content[0] ^= 1
    (tmp_path / "weights").write_bytes(content)
    assert plan_file.sha256_of_model(tmp_path / "external.onnx") != before


def test_weights_outside_the_file_that_are_missing(tmp_path: Path, gpu: FakeGpu) -> None:
    graph = tiny_detector()
    convert_model_to_external_data(graph, location="weights", size_threshold=100)
    onnx.save(graph, tmp_path / "external.onnx")
    (tmp_path / "weights").unlink()
    with pytest.raises(ModelRefused, match=r"external\.onnx: its weights in weights cannot be read \(No such file"):
        plan.from_model(tmp_path / "external.onnx", None, 1, gpu)


def test_a_fixed_batch_is_the_profile(tmp_path: Path, gpu: FakeGpu) -> None:
    model = save(tiny_detector(batch=2), tmp_path)
    assert plan.from_model(model, None, 8, gpu).sidecar.key.batch == (2, 2)


@pytest.mark.parametrize("batch", [0, -1, 257])
def test_batches_that_cannot_be(model: Path, gpu: FakeGpu, batch: int) -> None:
    with pytest.raises(RequestRefused, match=rf"a batch of {batch} pictures; expected 1\.\.256"):
        plan.from_model(model, None, batch, gpu)


def plan_cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def json_cut_short(file: Path) -> None:
    sidecar = plan_file.sidecar_of(file)
    sidecar.write_bytes(sidecar.read_bytes()[:-30])


def json_gone(file: Path) -> None:
    plan_file.sidecar_of(file).unlink()


def plan_gone(file: Path) -> None:
    file.unlink()


def of_another_build(file: Path) -> None:
    """As after a crash between the plan and its JSON."""
    file.write_bytes(b"watchline fake plan {}\n")


@pytest.mark.parametrize("harm", [plan_cut_short, json_cut_short, json_gone, plan_gone, of_another_build])
def test_what_is_harmed_in_the_cache_is_built_again(model: Path, gpu: FakeGpu, cache: Path, harm: Any) -> None:
    good = plan.from_model(model, None, 1, gpu)
    [file] = (cache / "plans").glob("*.engine")
    harm(file)
    assert plan.from_model(model, None, 1, gpu).content == good.content
    assert len(gpu.tensorrt.builds) == 2
    assert plan.from_model(model, None, 1, gpu).content == good.content
    assert len(gpu.tensorrt.builds) == 2


def test_many_workers_build_once(model: Path, gpu: FakeGpu) -> None:
    with ThreadPoolExecutor(4) as pool:
        plans = list(pool.map(lambda _: plan.from_model(model, None, 1, gpu), range(4)))
    assert len(gpu.tensorrt.builds) == 1
    assert len({p.content for p in plans}) == 1


def test_processes_build_once(model: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from watchline.engines.nvidia import plan\n"
        "sys.path.append(sys.argv[2]); import fake_gpu\n"
        "gpu = fake_gpu.fake_gpu()\n"
        "plan.from_model(Path(sys.argv[1]), None, 1, gpu)\n"
        "print(len(gpu.tensorrt.builds))"
    )
    command = [sys.executable, "-c", code, str(model), str(Path(__file__).parents[2])]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(process.communicate(timeout=60)[0].strip() for process in processes) == ["0", "0", "1"]


class Failing(FakeTensorRt):
    """Builds nothing."""

    def build(self, order: BuildRequest, timing: Path, report: OnProgress) -> bytes:
        raise InferenceFailed("the build was stopped")


def test_a_failed_build_leaves_nothing_and_the_next_one_may_try(model: Path, gpu: FakeGpu, cache: Path) -> None:
    failing = FakeGpu(gpu.name, gpu.cuda, Failing(gpu.cuda, gpu.tensorrt.version, True))
    with pytest.raises(InferenceFailed, match="stopped"):
        plan.from_model(model, None, 1, failing)
    assert [p.suffix for p in (cache / "plans").iterdir()] == [".lock"]
    plan.from_model(model, None, 1, gpu)
    assert len(gpu.tensorrt.builds) == 1


def test_progress_is_reported(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    heard: list[BuildProgress] = []
    plan.build(model, tmp_path / "tiny.engine", 2, heard.append, gpu=gpu)
    assert heard == [BuildProgress("Building", n, 3) for n in (1, 2, 3)]


def test_a_built_file_runs_by_its_path_alone(model: Path, gpu: FakeGpu, tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "tiny.engine"
    plan.build(model, file, 4, size=(64, 32), gpu=gpu)
    model.unlink()
    found = plan.from_file(file, gpu)
    assert (found.sidecar.key.size, found.sidecar.key.batch) == ((64, 32), (1, 4))
    assert found.sidecar.metadata == about()
    assert len(gpu.tensorrt.builds) == 1
    assert json.loads(plan_file.sidecar_of(file).read_text())["key"]["gpu"] == "Fake GPU"


@pytest.mark.parametrize("other", [fake_gpu("Another GPU"), fake_gpu(version="11.1.fake")], ids=["gpu", "version"])
@pytest.mark.parametrize("moved", [False, True], ids=["where it was", "both moved"])
def test_a_plan_of_another_machine_is_built_here_from_its_onnx(
    model: Path, gpu: FakeGpu, tmp_path: Path, other: FakeGpu, moved: bool, caplog: pytest.LogCaptureFixture
) -> None:
    other.tensorrt.builds.clear()
    file = tmp_path / "tiny.engine"
    plan.build(model, file, 4, size=(64, 32), gpu=gpu)
    content = file.read_bytes()
    if moved:
        (tmp_path / "there").mkdir()
        for each in (file, plan_file.sidecar_of(file), model):
            each.rename(tmp_path / "there" / each.name)
        file = tmp_path / "there" / file.name
    found = plan.from_file(file, other)
    assert [(order.size, order.batch) for order in other.tensorrt.builds] == [((64, 32), (1, 4))]
    assert found.sidecar.key.gpu == other.name
    assert file.read_bytes() == content  # still good where it was built
    assert "it was built by TensorRT 11.0.fake for Fake GPU, this machine has" in caplog.text
    plan.from_file(file, other)
    assert len(other.tensorrt.builds) == 1


def test_a_plan_of_another_machine_without_its_onnx(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    file = tmp_path / "tiny.engine"
    plan.build(model, file, gpu=gpu)
    save(tiny_detector(("another",)), tmp_path)  # under the same name
    with pytest.raises(
        ModelRefused,
        match=r"tiny.engine: it was built by TensorRT 11.0.fake for Fake GPU, this machine has TensorRT 11.0.fake and "
        r"Another GPU, and the ONNX file it was built from \(tiny.onnx\) is not in its folder; put it there, or run",
    ):
        plan.from_file(file, fake_gpu("Another GPU"))


def test_a_plan_of_another_machine_with_a_broken_onnx(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    file = tmp_path / "tiny.engine"
    plan.build(model, file, gpu=gpu)
    model.write_bytes(b"\x08\x08garbage")
    with pytest.raises(ModelRefused, match=r"tiny\.onnx: it is broken, cut short or no ONNX at all"):
        plan.from_file(file, fake_gpu("Another GPU"))


def changed(file: Path, path: tuple[str, ...], value: object) -> None:
    sidecar = plan_file.sidecar_of(file)
    content = json.loads(sidecar.read_text())
    *folders, last = path
    inner = content
    for name in folders:
        inner = inner[name]
    inner[last] = value
    sidecar.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("plan",), "0" * 64, "tiny.engine: its sha256 is not the one in tiny.engine.json.*native code"),
        (("schema",), 2, "has schema 2, this Watchline reads 1; build the plan again"),
        (("key", "size"), [64], "tiny.engine.json: broken"),
        (("key", "batch"), [0, 4], "tiny.engine.json: broken"),
        (("key", "gpu"), 7, "tiny.engine.json: broken"),
        (("key", "more"), 1, "tiny.engine.json: broken"),
        (("key",), [], "tiny.engine.json: broken"),
        (("metadata",), {}, "its metadata lacks watchline.schema"),
        (("metadata", "watchline.task"), "cook", "task is 'cook'"),
        (("model",), 3, "tiny.engine.json: broken"),
    ],
)
def test_a_sidecar_is_checked(
    model: Path, gpu: FakeGpu, tmp_path: Path, path: tuple[str, ...], value: object, message: str
) -> None:
    file = tmp_path / "tiny.engine"
    plan.build(model, file, gpu=gpu)
    changed(file, path, value)
    with pytest.raises(ModelRefused, match=message) as caught:
        plan.from_file(file, gpu)
    assert "\n" not in str(caught.value)


def test_a_plan_alone_is_refused(tmp_path: Path, gpu: FakeGpu) -> None:
    file = tmp_path / "from-the-net.engine"
    file.write_bytes(b"code")
    with pytest.raises(ModelRefused, match=r"from-the-net.engine.json is missing.*load only those that you have"):
        plan.from_file(file, gpu)
    with pytest.raises(ModelNotFound, match=r"none.engine: there is no such file"):
        plan.from_file(tmp_path / "none.engine", gpu)
    with pytest.raises(FileNotFoundError):
        plan.from_file(tmp_path / "none.engine", gpu)


@pytest.mark.parametrize("name", ["tiny.plan", "none/tiny.engine"])
def test_where_a_plan_cannot_be_written(model: Path, gpu: FakeGpu, tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestRefused, match=r"expected the name of a plan, \*\.engine, in a folder that exists"):
        plan.build(model, tmp_path / name, gpu=gpu)
    assert gpu.tensorrt.builds == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours(model: Path, gpu: FakeGpu, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(0o500)
    with pytest.raises(RequestRefused, match=r"the plan cannot be written .* write it elsewhere"):
        plan.build(model, tmp_path / "theirs" / "tiny.engine", gpu=gpu)


def test_a_full_disk_is_an_error_with_advice(
    model: Path, gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plan_file, "write_complete", full)
    with pytest.raises(RequestRefused, match=r"cannot be written \(No space left on device\); .*WATCHLINE_CACHE"):
        plan.from_model(model, None, 1, gpu)


def test_without_a_gpu_the_error_says_what_to_do_instead(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> cuda_driver.Driver:
        raise cuda_driver.NoDriver("there is no NVIDIA driver (libcuda.so.1)")

    monkeypatch.setattr(find_gpu, "ask", none)
    with pytest.raises(
        RuntimeUnavailable,
        match=r"^a plan is built on the machine that will run it, and this one cannot: TensorRT needs an NVIDIA GPU: "
        r"there is no NVIDIA driver \(libcuda.so.1\)\. Export by --to tensorrt to an \.onnx, .* "
        r"the plan is built on its first run$",
    ):
        plan.build(model, tmp_path / "tiny.engine")
