"""A job is a value: frozen, picklable, and done in another process it gives the same bytes."""

import pickle
import shutil
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path

import onnx
import pytest
from clips import write_clip, write_photo
from models_onnx import tiny_detector

from watchline import (
    Annotate,
    Annotator,
    Detector,
    DeviceSource,
    Files,
    FileSource,
    Job,
    Jsonl,
    NetworkSource,
    PacedSource,
    find_sources,
)
from watchline.pipeline import config
from watchline.pipeline.remote.placed import place_of, placed
from watchline.streams.photos import PhotosSource
from watchline.streams.write.mp4 import Mp4Sink

OUTSIDE = Path(__file__).parents[1] / "outside"
DO = """
import pickle, sys
from watchline import Annotate
work = Annotate(pickle.loads(sys.stdin.buffer.read()))
ends = [(progress.stream, progress.frames, progress.error) for progress in work.run() if progress.ended]
sys.stdout.buffer.write(pickle.dumps((ends, work.outcomes, work.report.as_dict()["streams"])))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clip, photos, a model, a stage and a sink of one's own, in the folder that we work in."""
    write_clip(tmp_path / "a.mp4", 12, draw=None)
    (tmp_path / "photos").mkdir()
    write_photo(tmp_path / "photos" / "b.png")
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    for name in ("crowds.py", "mine.py"):
        shutil.copy(OUTSIDE / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("crowds", "mine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


@pytest.fixture
def job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """All that a config can say, of files."""
    monkeypatch.setenv("SECRET", "swordfish")
    (folder / "watchline.toml").write_text(
        '[detector]\nmodel = "tiny.onnx"\nimgsz = 64\nworkers = 2\n'
        '[annotator]\nline_width = 3\n[stages.crowds]\nuse = "crowds:Crowds"\n'
        '[streams.a]\nsource = "${NOT_THERE:-a.mp4}"\n[streams.a.detector]\nevery = 3\n'
        '[sinks.jsonl]\nfile = "all-${SECRET}.jsonl"\n[sinks.mine]\nuse = "mine:Mine"\nfolder = "."\n'
        '[place]\ncrowds = "process"\nannotator = "process"\n'
    )
    settings = config.load(folder / "watchline.toml")
    sources = find_sources([folder / "a.mp4", folder / "photos"]).sources
    sinks = [Files(folder / "out", settings.video), *settings.sinks]
    return Job(sources, settings.chain(sinks), sinks, conceal=settings.conceal)


def test_nothing_of_a_job_can_be_changed(job: Job) -> None:
    for value in (job, *job.sources, *job.stages, *job.sinks):
        assert is_dataclass(value)
        for field in fields(value):
            with pytest.raises(FrozenInstanceError):
                setattr(value, field.name, None)


@pytest.mark.parametrize(
    "part",
    [
        FileSource(Path("a.mp4"), "a"),
        PacedSource(FileSource(Path("a.mp4")), loop=True),
        PhotosSource((Path("b.png"),), "b"),
        NetworkSource("rtsp://user:password@host/path"),
        DeviceSource("0"),
        Detector(conf=0.4, classes=("person",), streams={"gate": {"every": 2}}),
        Annotator(line_width=2, streams={"gate": {"info": False}}),
        placed(Detector(), place_of("process")),
        placed(Annotator(), place_of("tcp://127.0.0.1:5555?pixels=jpeg:80"), [Detector()]),
        Files(Path("out"), None, 600),
        Files(Path("out"), Mp4Sink(preset="fast")),
        Jsonl(Path("a.jsonl")),
        Jsonl(),
    ],
    ids=repr,
)
def test_all_of_ours_can_be_pickled(part: object) -> None:
    assert pickle.loads(pickle.dumps(part)) == part


def test_a_job_can_be_pickled(job: Job) -> None:
    again = pickle.loads(pickle.dumps(job))
    assert (again.sources, again.stages, again.sinks, again.latency_budget) == (
        (job.sources, job.stages, job.sinks, job.latency_budget)
    )
    assert again.inputs == job.inputs
    assert again.conceal("no swordfish") == "no ${SECRET}"


def written(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_process_does_the_same(job: Job, folder: Path) -> None:
    inputs = written(folder).keys()
    here = Annotate(job)
    ends = [(progress.stream, progress.frames, progress.error) for progress in here.run() if progress.ended]
    assert ends == [("a", 12, None), ("photos", 1, None)]
    first = {name: data for name, data in written(folder).items() if name not in inputs and "pycache" not in name}
    assert {"out/a.mp4", "out/a.jsonl", "out/b.png", "out/photos.jsonl", "all-swordfish.jsonl", "a.txt"} <= first.keys()
    for name in first:
        (folder / name).unlink()
    done = subprocess.run([sys.executable, "-c", DO], input=pickle.dumps(job), capture_output=True, cwd=folder)
    assert done.stderr == b""
    assert pickle.loads(done.stdout) == (ends, here.outcomes, here.report.as_dict()["streams"])
    second = {name: data for name, data in written(folder).items() if name not in inputs and "pycache" not in name}
    assert second.keys() == first.keys()
    for name, data in first.items():
        assert second[name] == data, name
