"""Settings that nobody knows are refused in Python as in TOML, by every stage, source and sink, in our words."""

import inspect
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import pytest
from pydantic import Field, TypeAdapter, ValidationError

import watchline
from watchline.errors import SettingsError, WatchlineError
from watchline.pipeline.config import Run
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.sinks.hourly import Hourly
from watchline.pipeline.sinks.jsonl import Jsonl
from watchline.pipeline.sinks.mot import Mot
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.registry import STAGES
from watchline.pipeline.streams import Stream
from watchline.settings import settings
from watchline.streams.file import FileSource
from watchline.streams.iterator import IteratorSource
from watchline.streams.live.device import DeviceSource
from watchline.streams.live.network import NetworkSource
from watchline.streams.live.paced import PacedSource
from watchline.streams.photos import PhotosSource
from watchline.streams.synthetic import SyntheticSource
from watchline.streams.write.mp4 import Mp4Sink
from watchline.streams.write.photo_files import PhotoFilesSink
from watchline.streams.write.segments import SegmentsSink

ROOT = Path(__file__).parents[1]
NEEDED = {  # what has no default
    Files: {"out": "out"},
    FileSource: {"path": "a.mp4"},
    Hourly: {"file": "counts.csv"},
    IteratorSource: {"frames": []},
    Mot: {"folder": "tracks"},
    NetworkSource: {"url": "rtsp://me:swordfish@gate/1"},
    PacedSource: {"file": FileSource("a.mp4")},
    PhotosSource: {"paths": ["photos"]},
    Stream: {"source": "a.mp4"},
}
KINDS = [Files, Hourly, Jsonl, Mot, Run, Stream, *STAGES]
KINDS += [DeviceSource, FileSource, IteratorSource, Mp4Sink, NetworkSource, PacedSource, PhotoFilesSink]
KINDS += [PhotosSource, SegmentsSink, SyntheticSource]
KINDS = list(dict.fromkeys(KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_that_nobody_knows_is_refused(kind):
    with pytest.raises(SettingsError) as caught:
        kind(**NEEDED.get(kind, {}), nosuch=1)
    known = [field.name for field in fields(kind) if field.init]
    assert str(caught.value) == f"{kind.__name__}: unknown setting 'nosuch': expected one of {', '.join(known)}"
    assert isinstance(caught.value, WatchlineError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Detector(imgz=416), "Detector: unknown setting 'imgz': did you mean 'imgsz'?"),
        (
            lambda: watchline.Annotator(label=True, inf=False),
            "Annotator: unknown setting 'label': did you mean 'labels'?; unknown setting 'inf': did you mean 'info'?",
        ),
        (lambda: Mp4Sink(presett="fast"), "Mp4Sink: unknown setting 'presett': did you mean 'preset'?"),
        (lambda: replace(Detector(), thread=2), "Detector: unknown setting 'thread': did you mean 'threads'?"),
        (lambda: NetworkSource("rtsp://a/", transprt="udp"), "unknown setting 'transprt': did you mean 'transport'?"),
    ],
)
def test_the_nearest_name_is_suggested(make, said):
    with pytest.raises(SettingsError) as caught:
        make()
    assert str(caught.value).endswith(said)


def test_what_an_address_holds_is_in_no_error():
    for wrong in ({"nosuch": 1}, {"read_timeout": -1}, {"transport": "upd"}):
        with pytest.raises(ValueError, match=r"nosuch|read_timeout|transport") as caught:
            NetworkSource("rtsp://me:swordfish@gate/1", **wrong)
        assert "swordfish" not in str(caught.value)


def test_settings_are_what_a_dataclass_is():
    detector = Detector(conf=0.5, classes=["person"])
    assert (detector, hash(detector)) == (Detector(conf=0.5, classes=("person",)), hash(replace(detector)))
    assert pickle.loads(pickle.dumps(detector)) == detector
    assert list(inspect.signature(Detector).parameters)[:2] == ["model", "runtime"]
    with pytest.raises(FrozenInstanceError):
        detector.conf = 0.1
    with pytest.raises(SettingsError, match="Detector: conf is 7: expected less than or equal to 1"):
        Detector(conf=7)


def test_what_is_read_into_settings_by_pydantic_is_refused_as_well():
    with pytest.raises(ValidationError, match="nosuch"):
        TypeAdapter(Annotator).validate_python({"nosuch": 1})


def test_a_class_of_ones_own_is_as_strict():
    @settings
    class Blur:
        strength: int = Field(default=3, ge=1)

    assert Blur(5).strength == 5
    with pytest.raises(SettingsError, match="Blur: unknown setting 'strenght': did you mean 'strength'"):
        Blur(strenght=5)


def test_no_stage_source_or_sink_of_ours_is_forgotten():
    """Whoever opens is one."""
    opened = set()
    for folder in ("pipeline", "streams"):
        for file in (ROOT / folder).rglob("*.py"):
            module = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            for kind in vars(__import__(f"watchline.{module}", fromlist=["*"])).values():
                ours = inspect.isclass(kind) and kind.__module__ == f"watchline.{module}"
                if ours and hasattr(kind, "open") and hasattr(kind, "__dataclass_fields__"):
                    opened.add(kind.__name__)
    nobody_configures = {"EachFrame", "Modelled", "Placed", "Sink", "Stage"}
    assert opened - {kind.__name__ for kind in KINDS} == nobody_configures
