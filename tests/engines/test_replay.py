"""Recording an engine's outputs and playing them back."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from models_onnx import about, pictures, save, tiny_detector

from watchline.engines import load
from watchline.engines.errors import EngineError, InferenceFailed, ModelNotFound, ModelRefused, RequestRefused
from watchline.engines.replay import Recorder, Replay

BATCH = pictures(2, 64, 64)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.npz"
    with Recorder(load(save(tiny_detector(), tmp_path)), path) as engine:
        engine.infer(BATCH)
    return path


def test_a_recording_gives_back_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    with Recorder(load(save(tiny_detector(), tmp_path)), path) as recorder:
        assert recorder.metadata == about()
        assert recorder.size == (64, 64)
        recorder.warm_up()
        recorded = recorder.infer(BATCH)
        runtime = recorder.runtime
    with load(path) as replay:
        assert replay.runtime == f"replay of {runtime}"
        played = replay.infer(BATCH)
    for name in ("boxes", "scores"):
        np.testing.assert_array_equal(played[name], recorded[name])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_forks_of_a_recorder_share_a_recording(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = tmp_path / "run.npz"
    recorder = Recorder(load(save(tiny_detector(), tmp_path)), path)
    both = (recorder, recorder.fork())
    recorded = [one.infer(BATCH[n : n + 1]) for n, one in enumerate(both)]
    both[order[0]].close()
    assert not path.exists()
    both[order[1]].close()
    with load(path) as replay:
        for n, outputs in enumerate(recorded):
            np.testing.assert_array_equal(replay.infer(BATCH[n : n + 1])["boxes"], outputs["boxes"])


def test_a_batch_that_was_not_recorded(recording: Path) -> None:
    with load(recording) as engine:
        engine.warm_up()
        with pytest.raises(InferenceFailed, match=r"no outputs for this batch \(1, 64, 64, 3\).* only for 1 others"):
            engine.infer(BATCH[:1])
        changed = BATCH.copy()
        changed[0, 0, 0, 0] ^= 1
        with pytest.raises(InferenceFailed, match="no outputs for this batch"):
            engine.infer(changed)
        engine.infer(BATCH)


def test_a_failing_batch_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    with Recorder(load(save(tiny_detector(nan="boxes"), tmp_path)), path) as engine:
        with pytest.raises(InferenceFailed, match="NaN"):
            engine.infer(np.full_like(BATCH, 255))
        engine.infer(BATCH)
    with np.load(path) as file:
        assert sum(name.endswith(".boxes") for name in file) == 1


def test_stored_numbers_are_checked_like_any(recording: Path) -> None:
    with np.load(recording) as file:
        arrays = dict(file)
    name = next(name for name in arrays if name.endswith(".boxes"))
    arrays[name] = np.full_like(arrays[name], np.inf)
    np.savez(recording, **arrays)
    with load(recording) as engine, pytest.raises(InferenceFailed, match="`boxes` holds NaN or infinity in 512 of 512"):
        engine.infer(BATCH)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (32, 32)}, "asked for 32 x 32, but it was recorded at 64 x 64"),
        ({"runtime": "openvino"}, "only played back, openvino cannot run it"),
    ],
)
def test_what_a_recording_cannot_do(recording: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(RequestRefused, match=message):
        load(recording, **options)  # type: ignore[arg-type]


def _array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, metadata=np.array([{"a": 1}], object))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), "broken or no recording"),
        (lambda path: path.write_bytes(b"text\n" * 100), "broken or no recording"),
        (lambda path: path.write_bytes(path.read_bytes()[:300]), "broken or no recording"),
        (lambda path: path.write_bytes(path.read_bytes()[:-300]), "broken or no recording"),
        (lambda path: np.savez(path, other=np.zeros(3)), "broken or no recording"),
        (lambda path: np.savez(path, metadata=np.array("[1]")), "broken or no recording|no Watchline model"),
        (lambda path: np.savez(path, metadata=np.array("{}")), "lacks watchline.schema"),
        (_array, "broken or no recording"),
        (_pickle, "broken or no recording"),
    ],
    ids=["empty", "text", "head", "tail cut", "other arrays", "other json", "no keys", "npy", "pickle"],
)
def test_broken_recordings(recording: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(recording)
    with pytest.raises(ModelRefused, match=rf"run\.npz: .*({message})"):
        load(recording)


def _header(shape: tuple[int, ...]) -> bytes:
    """An array of a few bytes that declares a shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(16)


def test_a_bomb_is_refused_by_its_header(recording: Path, tmp_path: Path) -> None:
    """The file has 1 KB; as arrays it would have 4 GB."""
    bomb = tmp_path / "bomb.npz"
    for spoiled in ("metadata", ".boxes"):
        with zipfile.ZipFile(recording) as whole, zipfile.ZipFile(bomb, "w") as file:
            for name in whole.namelist():
                data = _header((1 << 20, 1 << 10)) if name.endswith(f"{spoiled}.npy") else whole.read(name)
                file.writestr(name, data)
        with (
            pytest.raises(EngineError, match="declares 4294967296 bytes: expected 536870912 at most"),
            load(bomb) as engine,
        ):
            engine.infer(BATCH)
    bomb.write_bytes(_header((1 << 20, 1 << 10)))
    with pytest.raises(ModelRefused, match="broken or no recording"):
        load(bomb)
    with pytest.raises(ModelRefused, match="expected 7 at most"):
        Replay(recording, max_bytes=7)


def test_a_recording_that_is_damaged_in_the_middle(recording: Path) -> None:
    data = bytearray(recording.read_bytes())
    name = data.index(b".boxes.npy") + len(b".boxes.npy")
    data[name + 200 : name + 260] = bytes(60)
    recording.write_bytes(data)
    with load(recording) as engine, pytest.raises(InferenceFailed, match=r"replay of .* failed: "):
        engine.infer(BATCH)


@pytest.mark.parametrize("name", ["run.onnx", "run", "nowhere/run.npz"])
def test_where_no_recording_can_be_written(tmp_path: Path, name: str) -> None:
    with load(save(tiny_detector(), tmp_path)) as engine, pytest.raises(RequestRefused, match=r"\.npz in a folder"):
        Recorder(engine, tmp_path / name)


def test_nothing_is_left_of_a_recording_that_cannot_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.npz").mkdir()  # a folder stands where the file should go
    engine = load(save(tiny_detector(), tmp_path))
    recorder = Recorder(engine, folder / "run.npz")
    with pytest.raises(OSError, match=r"run\.npz"):
        recorder.close()
    assert [path.name for path in folder.iterdir()] == ["run.npz"]
    with pytest.raises(EngineError, match="closed"):
        engine.infer(BATCH)


def test_a_recording_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"none\.npz"):
        load(tmp_path / "none.npz")
