"""Subtitles through the chain: a stage that says what it sees, and the files beside and inside the video."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from clips import write_clip
from pipelines import Script

from watchline import Annotate, Files, Item, Job, Kind, Stage, Watch
from watchline.pipeline.kinds.caption import CAPTION
from watchline.pipeline.lanes import Outcome
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.stage import Process
from watchline.settings import settings
from watchline.streams.file import FileSource
from watchline.streams.photos import PhotosSource
from watchline.streams.write.mp4 import Mp4Sink

WORDS: Kind[str] = Kind("words", str, subtitle=str)
FAST = Mp4Sink(preset="ultrafast", threads=1)


@settings
class Teller(Stage):
    """Says something else from each tenth frame on, in HTML; of the first five frames, nothing."""

    name = "teller"
    gives = (WORDS,)

    @contextmanager
    def open(self) -> Iterator[Process]:
        yield lambda items: [self._told(item) for item in items]

    def _told(self, item: Item) -> Item:
        index = item.frame.index
        return item if index < 5 else item.with_result(WORDS, f"<b>{index // 10}</b>")


def run(job: Job, live: bool = False) -> Outcome:
    """What became of the one stream of a job, whose ledger is right."""
    work = Watch(job) if live else Annotate(job)
    list(work.run())
    [outcome] = work.outcomes
    [account] = work.report.streams.values()
    assert account.balances
    assert (account.in_flight, account.annotated) == (0, outcome.frames)
    return outcome


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", 25)


def texts(video: Path) -> list[str]:
    with av.open(str(video)) as container:
        return [bytes(packet)[2:].decode() for packet in container.demux(subtitles=0) if packet.size > 2]


def job(clip: Path, out: Path, *stages: Stage, **options: object) -> Job:
    return Job([FileSource(clip)], [*stages, Annotator()], [Files(out, **{"video": FAST, **options})])


@pytest.mark.parametrize("name", ["out", "annotated.mp4"])
def test_a_file_has_them(clip: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    outcome = run(job(clip, out, Teller()))
    video = out if out.suffix else out / "clip.mp4"
    assert (outcome.error, outcome.frames, outcome.notes) == (None, 25, ())
    assert outcome.outputs == (video, video.with_suffix(".vtt"), video.parent / "clip.jsonl")
    assert texts(video) == ["<b>0</b>", "<b>1</b>", "<b>2</b>"]
    assert video.with_suffix(".vtt").read_text() == (
        "WEBVTT\n\n"
        "00:00:00.200 --> 00:00:00.400\n&lt;b&gt;0&lt;/b&gt;\n\n"
        "00:00:00.400 --> 00:00:00.800\n&lt;b&gt;1&lt;/b&gt;\n\n"
        "00:00:00.800 --> 00:00:01.000\n&lt;b&gt;2&lt;/b&gt;\n"
    )


def test_without_such_a_stage_or_a_video_there_are_none(clip: Path, tmp_path: Path) -> None:
    run(job(clip, tmp_path / "a"))
    run(job(clip, tmp_path / "b", Teller(), video=None))
    assert not list(tmp_path.glob("*/*.vtt"))
    with av.open(str(tmp_path / "a" / "clip.mp4")) as container:
        assert not container.streams.subtitles


def test_photos_have_none(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.jpg", 1, codec="mjpeg", pix_fmt="yuvj420p", format="image2")
    photo = PhotosSource((tmp_path / "a.jpg",))
    outcome = run(Job([photo], [Teller(), Annotator()], [Files(tmp_path / "out", FAST)]))
    assert (outcome.error, outcome.frames) == (None, 1)
    assert not list((tmp_path / "out").rglob("*.vtt"))


def test_what_is_there_stays(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "clip.vtt"
    old.write_text("mine")
    outcome = run(job(clip, tmp_path / "out", Teller()))
    assert "clip.vtt is there already: --overwrite replaces it" in str(outcome.error)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip.vtt"]
    run(job(clip, tmp_path / "out"))
    assert old.read_text() == "mine"
    run(job(clip, tmp_path / "out", Teller(), overwrite=True))
    assert old.read_text().startswith("WEBVTT")


def test_a_video_is_not_replaced_below_its_old_subtitles(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(job(clip, out, Teller()))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    outcome = run(job(clip, out, overwrite=True))
    assert "clip.vtt has the subtitles of the video that would be replaced: remove it first" in str(outcome.error)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_recording_has_them(tmp_path: Path) -> None:
    camera = Script("gate", [[0.02, 1] * 30], ends=True)
    outcome = run(Job([camera], [Teller(), Annotator()], [Files(tmp_path, FAST)]), live=True)
    [video] = tmp_path.glob("gate-*.mp4")
    assert texts(video)[-1] == "<b>2</b>"
    assert "&lt;b&gt;2&lt;/b&gt;" in video.with_suffix(".vtt").read_text()
    assert video.with_suffix(".vtt") in outcome.outputs


def test_captions_are_subtitles() -> None:
    assert CAPTION.subtitle is not None
