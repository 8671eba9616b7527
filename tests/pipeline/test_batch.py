"""A job of many files from Python: what becomes of it when it is stopped, or cannot go on."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from clips import write_clip
from killed_jobs import hashes
from models_onnx import tiny_detector

from watchline import Annotator, Detector, Files, Job, find_sources
from watchline.pipeline import batch
from watchline.pipeline.batch import Batch, planned
from watchline.pipeline.errors import ConfigError, ManifestError
from watchline.pipeline.fingerprint import content_of, models_of
from watchline.pipeline.manifest import DONE, WAITING, Figures, Manifest, Output, opened

FILES = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(FILES):
        write_clip(made(tmp_path, "in") / f"{number}.mp4", frames=20 + number)
    onnx.save(tiny_detector(), tmp_path / "tiny.onnx")
    return tmp_path


def batch_of(folder: Path, manifest: Manifest, **settings: object) -> Batch:
    detector = Detector(model=str(folder / "tiny.onnx"), imgsz=(64, 48), workers=2, **settings)
    job = Job((), [detector, Annotator()], [Files(manifest.folder, overwrite=True)])
    sources = find_sources([folder / "in"]).sources
    manifest.plan(planned(sources, job, models_of(job.stages)), retry=False, once=False)
    return Batch(job, manifest)


def states(manifest: Manifest) -> dict[str, int]:
    return {state: count for state, (count, _) in manifest.counts().items()}


def made(folder: Path, name: str) -> Path:
    (folder / name).mkdir(exist_ok=True)
    return folder / name


def test_a_job_that_is_stopped_goes_on_to_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(made(folder, "expected")) as manifest:
        job = batch_of(folder, manifest)
        list(job.run())
        assert states(manifest) == {DONE: FILES}
        assert (job.standing().files, job.standing().frames) == (FILES, sum(20 + n for n in range(FILES)))
        assert job.report.streams["all files"].annotated == job.standing().frames, "an account a file was kept"
        assert job._claimed == job._sources == {}
    with opened(made(folder, "out")) as manifest:
        job = batch_of(folder, manifest)
        finish = manifest.finish
        monkeypatch.setattr(manifest, "finish", lambda *each: (finish(*each), job.stop()))
        list(job.run())
        assert states(manifest) == {DONE: 1, WAITING: FILES - 1}
    with opened(folder / "out") as manifest:
        list(batch_of(folder, manifest).run())
        assert states(manifest) == {DONE: FILES}
    assert hashes(folder / "out") == hashes(folder / "expected")


def test_a_job_whose_stage_cannot_start_leaves_its_files_waiting(folder: Path) -> None:
    with opened(made(folder, "out")) as manifest:
        with pytest.raises(ConfigError, match="unknown class 'persn'"):
            list(batch_of(folder, manifest, classes=("persn",)).run())
        assert states(manifest) == {WAITING: FILES}


def test_a_process_whose_settings_are_not_those_of_the_plan_does_nothing(folder: Path) -> None:
    """A config or a model that is changed while a job of several processes runs must not go into its outputs."""
    with opened(made(folder, "out")) as manifest:
        job = batch_of(folder, manifest, conf=0.3)._job
        other = replace(job, stages=(replace(job.stages[0], conf=0.4), *job.stages[1:]))
        for one, model in ((other, models_of(job.stages)), (job, "another")):
            with pytest.raises(ConfigError, match="have changed since the job began"):
                list(Batch(one, manifest, model=model).run())
        assert states(manifest) == {WAITING: FILES}
        list(Batch(job, manifest, model=models_of(job.stages)).run())
        assert states(manifest) == {DONE: FILES}


def test_a_job_ends_where_its_manifest_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise ManifestError("database or disk is full")

    with opened(made(folder, "out")) as manifest:
        job = batch_of(folder, manifest)
        monkeypatch.setattr(manifest, "finish", full)
        with pytest.raises(ManifestError, match="disk is full"):
            list(job.run())
    with opened(folder / "out") as manifest:
        assert len(manifest.left) == 0
        list(batch_of(folder, manifest).run())
        assert states(manifest) == {DONE: FILES}


def test_a_file_that_is_written_while_it_is_read_is_not_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(paths: list[Path], check: Callable[[], None]) -> str:
        content = content_of(paths, check)
        if paths[0].name == "0.mp4":
            os.utime(paths[0])
        return content

    monkeypatch.setattr(batch, "content_of", hashed)
    with opened(made(folder, "out")) as manifest:
        list(batch_of(folder, manifest).run())
        [row] = manifest.rows("failed")
        assert row.why == "0.mp4: it was changed while it was read: start the job again when it is complete"


def test_a_manifest_of_anybody_leads_to_no_file_elsewhere(folder: Path) -> None:
    (folder / "precious").write_text("precious")
    with opened(made(folder, "out")) as manifest:
        job = batch_of(folder, manifest)
        row = manifest.claim(lambda row: "")
        assert row is not None
        manifest.finish(row, WAITING, Figures(), outputs=[Output(Path("../precious"), 1, "")])
        list(job.run())
        assert states(manifest) == {DONE: FILES}
    assert (folder / "precious").read_text() == "precious"
