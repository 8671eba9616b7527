"""The config: what it reads, and that each mistake is named with its place, what is allowed and the nearest name."""

from pathlib import Path

import pytest

from watchline.engines.runtimes import NAMES
from watchline.pipeline.config import load
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.remote.places import Places
from watchline.pipeline.settings.tables import Flag
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.streams import Stream
from watchline.streams.write.mp4 import Mp4Sink

WHOLE = """
out = "annotated"
split = "10m"
latency_budget = 300

[streams.gate]
source = "gate.mp4"

[streams."back yard"]
source = "photos/*.jpg"

[streams.lane]
source = "lane.mp4"
realtime = true
loop = true

[streams.door]
source = "rtsp://door/1"
transport = "udp"

[detector]
model = "other.onnx"
runtime = "openvino"
imgsz = [640, 384]
conf = 1
classes = ["person", "car"]
workers = 2

[annotator]
line_width = 3
info = false

[video]
preset = "ultrafast"
crf = 30

[place]
detector = "tcp://gpu:5555"
key = "here.key"
peer = "gpu.pub"
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of the given text; errors call it watchline.toml."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("watchline.toml")
        path.write_text(text)
        return path

    return write


def mistakes(path: Path, *flags: Flag) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, flags)
    return str(caught.value).splitlines()


def stage(config, name):
    return {each.name: each for each in config.stages}[name]


def test_every_table_is_read(write) -> None:
    config = load(write(WHOLE))
    assert config.streams == {
        "gate": Stream("gate.mp4"),
        "back yard": Stream("photos/*.jpg"),
        "lane": Stream("lane.mp4", realtime=True, loop=True),
        "door": Stream("rtsp://door/1", transport="udp"),
    }
    assert stage(config, "detector") == Detector(
        model="other.onnx", runtime="openvino", imgsz=(640, 384), conf=1.0, classes=("person", "car"), workers=2
    )
    assert stage(config, "annotator") == Annotator(line_width=3, info=False)
    assert config.video == Mp4Sink(preset="ultrafast", crf=30)
    assert config.place == Places({"detector": "tcp://gpu:5555"}, Path("here.key"), Path("gpu.pub"))
    assert (config.out, config.split, config.latency_budget) == (Path("annotated"), 600, 0.3)


def test_what_is_not_written_is_as_the_stages_have_it(write) -> None:
    for config in (load(write("")), load(None)):
        assert (config.stages, config.video) == ([Detector(), Annotator()], Mp4Sink())
        assert (config.streams, config.out) == ({}, None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # range, type: what, got, allowed, default
        ("[detector]\nconf = 7", "[detector] conf = 7: must be at most 1 (default 0.25)"),
        ("[detector]\nconf = nan", "[detector] conf = NaN: must be at most 1 (default 0.25)"),
        ("[detector]\niou = -0.1", "[detector] iou = -0.1: must be at least 0 (default 0.45)"),
        ("[detector]\niou = '0.5'", '[detector] iou = "0.5": must be a number (default 0.45)'),
        ("[detector]\nconf = true", "[detector] conf = true: must be a number (default 0.25)"),
        ("[detector]\nevery = 0", "[detector] every = 0: must be at least 1 (default 1)"),
        ("[detector]\nevery = 1.5", "[detector] every = 1.5: must be a whole number (default 1)"),
        ("[detector]\nevery = 2024-01-01", '[detector] every = "2024-01-01": must be a whole number (default 1)'),
        ("[detector]\nmodel = 5", '[detector] model = 5: must be text (default "yolov2-lite0")'),
        ("[video]\ncrf = 52", "[video] crf = 52: must be at most 51 (default 23)"),
        ("[annotator]\ninfo = 'yes'", '[annotator] info = "yes": must be true or false (default true)'),
        # lists, and what may be one thing or the other
        ("[detector]\nclasses = 'car'", '[detector] classes = "car": must be a list'),
        ("[detector]\nclasses = ['car', 3]", '[detector] classes = ["car", 3]: must be a list with text in place 2'),
        ("[detector]\nimgsz = 'big'", '[detector] imgsz = "big": must be a whole number or a list'),
        ("[detector]\nimgsz = [64]", "[detector] imgsz = [64]: must be a whole number or a list of at least 2 values"),
        (
            "[detector]\nimgsz = [1, 2, 3]",
            "[detector] imgsz = [1, 2, 3]: must be a whole number or a list of at most 2 values",
        ),
        # names, and the nearest
        ("[detecter]", "unknown table or setting 'detecter': did you mean 'detector'?"),
        (
            "[detector]\nconfidence = 1",
            "[detector]: unknown key 'confidence': expected one of model, runtime, precision, imgsz, threads,",
        ),
        ("[detector]\nname = 'x'", "[detector]: unknown key 'name': expected one of model, "),
        ("[streams.a]\nsource = 'a'\nsorce = 'b'", "[streams.a]: unknown key 'sorce': did you mean 'source'?"),
        (
            "[detector]\nruntime = 'opnvino'",
            f"[detector] runtime = \"opnvino\": must be one of {', '.join(NAMES)}; did you mean 'openvino'?",
        ),
        # what is no table, or lacks something
        ("detector = 5", "detector = 5: must be a table, [detector]"),
        ("streams = ['a.mp4']", 'streams = ["a.mp4"]: must be a table, [streams]'),
        ("[streams]\ngate = 'a.mp4'", 'streams.gate = "a.mp4": must be a table, [streams.gate]'),
        ("[streams.a]", "[streams.a] source is missing: expected an address (rtsp://…), a camera (0, /dev/video0), "),
        ("split = 'soon'", 'split = "soon": must be a time, e.g. 45s, 10m or 1h30m'),
        ("split = -5", "split = -5: must be a time, e.g. 45s, 10m or 1h30m"),
        ("latency_budget = 0", "latency_budget = 0: must be more than 0 (default 500)"),
        (
            "[streams.a]\nsource = 'a.mp4'\ntransport = 'upd'",
            "[streams.a] transport = \"upd\": must be one of tcp, udp; did you mean 'udp'?",
        ),
        ("[streams.a]\nsource = 'a.mp4'\nloop = true", "[streams.a] loop needs realtime: only a file "),
        ("[streams.a]\nsource = 'rtsp://a/'\nrealtime = true", "[streams.a] realtime is for files: "),
        ("[streams.a]\nsource = 'rtsp://a/'\nvideo_track = 2", "[streams.a] video_track is for files: "),
        ("[streams.a]\nsource = 'rtsp://a/'\nmax_pixels = 9", "[streams.a] max_pixels is for files: "),
        ("out = 5", "out = 5: must be text"),
        (f"[streams.{'a' * 201}]\nsource = 'a'", '[streams."aaaaaaaaaa'),
        ("[streams.'../a']\nsource = 'a'", '[streams."../a"]: outputs are called after their stream: expected a name'),
        # no TOML
        ("conf 7", "no TOML: Expected '=' after a key in a key/value pair (at line 1, column 6)"),
        # the environment
        ("out = '${NOT_SET}'", 'out = "${NOT_SET}": the environment variable NOT_SET is not set'),
        ("out = '${not a name}'", 'out = "${not a name}": ${not a name} names no variable'),
    ],
)
def test_a_mistake_is_one_line(write, text: str, line: str) -> None:
    [found] = mistakes(write(text))
    assert found.startswith(f"watchline.toml: {line}")


def test_three_mistakes_are_all_named(write) -> None:
    path = write("[streams.a]\nsource = 'a.mp4'\n[detector]\nconf = 7\nevry = 2\n[video]\npreset = 'fastest'\n")
    found = mistakes(path)
    assert len(found) == 3
    assert found[0] == "watchline.toml: [detector]: unknown key 'evry': did you mean 'every'?"
    assert found[1] == "watchline.toml: [detector] conf = 7: must be at most 1 (default 0.25)"
    assert found[2].startswith('watchline.toml: [video] preset = "fastest": must be one of ultrafast, superfast, ')
    assert found[2].endswith("did you mean 'faster'? (default \"superfast\")")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "watchline.toml: there is no such file"),
        (b"\xff\xfe", "watchline.toml: byte 0 is not UTF-8"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path: Path, monkeypatch, content: bytes | None, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("watchline.toml").write_bytes(content)
    [found] = mistakes(Path("watchline.toml"))
    assert found.startswith(line)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("detector:\n  conf: 0.4\n", "YAML"),
        ("# mine\n---\nout: here\n", "YAML"),
        ("- a.mp4\n- b.mp4\n", "YAML"),
        ('{"detector": {"conf": 0.4}}\n', "JSON"),
        ("[detector\nconf = 0.4\n", None),
        ("conf = \n", None),
    ],
)
def test_another_language_is_named(write, text: str, kind: str | None) -> None:
    [found] = mistakes(write(text))
    assert found.startswith("watchline.toml: no TOML: ")
    hint = f'; it looks like {kind}: write "[detector]" and, on a line of its own, "conf = 0.4"'
    assert found.endswith(hint) if kind else "looks like" not in found


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    [found] = mistakes(tmp_path)
    assert found == f"{tmp_path}: it cannot be read (Is a directory); expected a TOML file"


def test_the_environment_is_put_in(write, monkeypatch) -> None:
    monkeypatch.setenv("CAMERA", "yard")
    monkeypatch.setenv("WORKERS", "3")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NOT_SET", raising=False)
    path = write(
        "out = '${NOT_SET:-out}/${CAMERA}'\n[streams.a]\nsource = '${EMPTY:-a.mp4}${EMPTY}'\n"
        "[detector]\nworkers = '${WORKERS}'\nconf = '${CONF:-0.5}'\nclasses = ['${CAMERA}', 'x']\nmodel = '$CAMERA'"
    )
    config = load(path)
    assert config.out == Path("out/yard")
    assert config.streams == {"a": Stream("a.mp4")}
    assert (stage(config, "detector").workers, stage(config, "detector").conf) == (3, 0.5)
    assert stage(config, "detector").classes == ("yard", "x")
    assert stage(config, "detector").model == "$CAMERA"


@pytest.mark.parametrize(
    "text",
    [
        "[detector]\nconf = '${PASSWORD}'",
        "[detector]\nruntime = '${PASSWORD}'",
        "[video]\npreset = '${PASSWORD}'\ncrf = '${PASSWORD}'",
        "[detector]\nimgsz = ['${PASSWORD}', 7]",
        "[streams.a]\nsource = 'rtsp://me:${PASSWORD}@gate/'\n[detector]\nconf = 9",
        "out = '${PASSWORD}${UNSET_PASSWORD}'",
    ],
)
def test_a_secret_is_in_no_error(write, monkeypatch, text: str) -> None:
    monkeypatch.setenv("PASSWORD", "onnxruntimo-veryfasd")
    found = "\n".join(mistakes(write(text)))
    assert "onnxruntimo" not in found
    assert "veryfasd" not in found


def test_a_secret_is_in_no_repr_and_can_be_concealed(write, monkeypatch) -> None:
    monkeypatch.setenv("PASSWORD", "s3cret")
    config = load(write("[streams.a]\nsource = 'rtsp://me:${PASSWORD}@gate/'"))
    assert config.streams["a"].source == "rtsp://me:s3cret@gate/"
    assert "s3cret" not in repr(config)
    assert config.conceal("no answer from rtsp://me:s3cret@gate/") == "no answer from rtsp://me:${PASSWORD}@gate/"


def test_a_password_in_an_address_is_in_no_error_and_concealed(write) -> None:
    lines = mistakes(write("[streams.a]\nsource = 'rtsp://me:s3cret@gate/?key=canary'\ntransport = 'tpc'\nloop = 3"))
    lines += mistakes(write("[streams.a]\nsource = ['rtsp://me:s3cret@gate/']\nout = 1"))
    lines += mistakes(write("out = 7\n[detector]\nmodel = 8\nconf = 'rtsp://me:s3cret@gate/'"))
    assert len(lines) >= 5
    assert not any("s3cret" in line or "canary" in line for line in lines)
    config = load(write("[streams.a]\nsource = 'rtsp://me:s3cret@gate/'"))
    assert "s3cret" not in config.conceal("cannot open rtsp://me:s3cret@gate/")


def test_a_number_from_the_environment_is_no_secret(write, monkeypatch) -> None:
    monkeypatch.setenv("WORKERS", "2")
    config = load(write("[detector]\nworkers = '${WORKERS}'"))
    assert config.conceal("a size of 320 x 200") == "a size of 320 x 200"


def test_flags_are_stronger_than_the_file(write) -> None:
    flags = [Flag("--conf", "detector", "conf", 0.5), Flag("--out", "", "out", "elsewhere")]
    config = load(write(WHOLE), flags)
    assert (stage(config, "detector").conf, stage(config, "detector").workers, config.out) == (
        0.5,
        2,
        Path("elsewhere"),
    )


def test_a_mistake_in_a_flag_is_named_by_the_flag(write) -> None:
    path = write("[detector]\nconf = 7\niou = 7")
    flags = [Flag("--conf", "detector", "conf", 3.0), Flag("--imgsz", "detector", "imgsz", [0, 64])]
    assert mistakes(path, *flags) == [
        "--conf 3.0: must be at most 1 (default 0.25)",
        "watchline.toml: [detector] iou = 7: must be at most 1 (default 0.45)",
        "--imgsz 0,64: must be a whole number or a list with at least 1 in place 1",
    ]


# --- settings of some streams


PER_STREAM = """
[detector]
conf = 0.3

[streams.gate]
source = "gate.mp4"

[streams.gate.detector]
conf = 0.5
classes = ["person"]
every = 2

[streams.yard]
source = "yard.mp4"

[streams.yard.annotator]
info = false
"""


def test_a_stream_may_be_looked_at_otherwise(write) -> None:
    config = load(write(PER_STREAM), [Flag("--iou", "detector", "iou", 0.6)])
    detector, annotator = stage(config, "detector"), stage(config, "annotator")
    gate, yard = detector.of("gate"), detector.of("yard")
    assert (gate.conf, gate.classes, gate.every, gate.iou) == (0.5, ("person",), 2, 0.6)
    assert (yard.conf, yard.classes, yard.every, yard.iou) == (0.3, (), 1, 0.6)
    assert (annotator.of("gate").info, annotator.of("yard").info) == (True, False)
    assert config.streams["gate"] == Stream("gate.mp4")


def test_a_flag_is_stronger_than_what_a_stream_has_for_itself(write) -> None:
    config = load(write(PER_STREAM), [Flag("--every", "detector", "every", 3)])
    gate = stage(config, "detector").of("gate")
    assert (gate.every, gate.conf) == (3, 0.5)


def test_every_nth_frame_is_meant_for_all_stages_that_can_leave_some_out(write) -> None:
    text = '[segmenter]\nevery = 5\n[captioner]\n[streams.gate]\nsource = "g.mp4"\n[streams.gate.segmenter]\nevery = 2'
    config = load(write(text), [Flag("--every", "detector", "every", 3)])
    segmenter = stage(config, "segmenter")
    assert (stage(config, "detector").every, segmenter.every, segmenter.of("gate").every) == (3, 3, 3)
    assert stage(load(write(text)), "segmenter").every == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("conf = 7", "[streams.gate.detector] conf = 7: must be at most 1 (default 0.25)"),
        ("konf = 0.5", "[streams.gate.detector]: unknown key 'konf': did you mean 'conf'?"),
        ("model = 'x'", "[streams.gate.detector]: unknown key 'model': expected one of conf, iou, classes, every"),
        ("conf = '${NOT_SET}'", 'conf = "${NOT_SET}": the environment variable NOT_SET is not set'),
    ],
)
def test_a_mistake_in_the_settings_of_a_stream_is_one_line(write, text, line) -> None:
    [found] = mistakes(write(f"[streams.gate]\nsource = 'a'\n[streams.gate.detector]\n{text}"))
    assert line in found


def test_settings_of_a_stream_that_are_no_table(write) -> None:
    [found] = mistakes(write("[streams.gate]\nsource = 'a'\ndetector = 3"))
    assert found == "watchline.toml: streams.gate.detector = 3: must be a table, [streams.gate.detector]"


# --- places


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[place]\ndetecter = 'process'", "[place]: unknown key 'detecter': did you mean 'detector'?"),
        ("[place]\ndetector = 3", "[place] detector = 3: must be text, thread, process or tcp://host:port"),
        ("[place]\nkey = 3", "[place] key = 3: must be text, file of this host's secret key, for tcp"),
        ("place = 3", "place = 3: must be a table, [place]"),
    ],
)
def test_a_mistake_in_the_places_is_one_line(write, text, line) -> None:
    assert mistakes(write(text)) == [f"watchline.toml: {line}"]


def test_a_place_for_a_stage_that_there_is_not(write) -> None:
    [found] = mistakes(write(""), Flag("--place tracker=", "place", "tracker", "process"))
    assert found == "--place tracker=…: expected one of detector, annotator"
    [found] = mistakes(write(""), Flag("--place detectr=", "place", "detectr", "process"))
    assert found.endswith("; did you mean 'detector'?")


# --- stages and sinks of one's own


OWN = """
from contextlib import contextmanager
from watchline import Sink, Stage
from watchline.settings import settings
from pydantic import Field

@settings
class Crowds(Stage):
    name = "crowds"
    most: int = Field(default=50, ge=1, description="people from which it is a crowd")

@settings
class Counts(Sink):
    name = "counts"
    path: str = Field(description="a file")

class Bare(Stage):
    name = "bare"

plain = 3
"""


@pytest.fixture
def own(write):
    Path("own_of_config.py").write_text(OWN)
    return write


def test_a_stage_of_ones_own_is_configured_and_stands_before_the_annotator(own) -> None:
    config = load(own("[stages.crowds]\nuse = 'own_of_config:Crowds'\nmost = 7"))
    assert [each.name for each in config.stages] == ["detector", "crowds", "annotator"]
    assert stage(config, "crowds").most == 7
    config = load(own("[place]\ncrowds = 'process'"), stages=["own_of_config:Crowds"])
    assert stage(config, "crowds").most == 50
    assert config.place.words == {"crowds": "process"}


def test_a_sink_of_ones_own_is_configured(own) -> None:
    [jsonl, counts] = load(
        own("[sinks.jsonl]\nfile = 'all.jsonl'\n[sinks.counts]\nuse = 'own_of_config:Counts'\npath = 'x.csv'")
    ).sinks
    assert (jsonl.file, counts.path) == (Path("all.jsonl"), "x.csv")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[stages.crowds]\nuse = 'own_of_config:Crowds'\nmost = 0", "[stages.crowds] most = 0: must be at least 1"),
        (
            "[stages.crowds]\nuse = 'own_of_config:Crowds'\nmots = 7",
            "[stages.crowds]: unknown key 'mots': did you mean",
        ),
        ("[stages.crowds]\nmost = 7", '[stages.crowds] use is missing: expected "module:Class"'),
        ("[stages.crowd]\nuse = 'own_of_config:Crowds'", "[stages.crowd] is 'crowds': expected [stages.crowds]"),
        ("[stages.x]\nuse = 'own_of_config:Gone'", "no stage 'own_of_config:Gone'"),
        ("[stages.x]\nuse = 'no_such_module:X'", "no stage 'no_such_module:X' (No module named 'no_such_module')"),
        ("[stages.x]\nuse = 'own_of_config:plain'", "'own_of_config:plain' is not a stage: expected a class below"),
        ("[stages.x]\nuse = 'own_of_config:Counts'", "'own_of_config:Counts' is not a stage"),
        ("[stages.bare]\nuse = 'own_of_config:Bare'", "'own_of_config:Bare' is not a stage: expected a class below"),
        ("stages = 3", "stages = 3: must be a table, [stages]"),
        ("[sinks.counts]\nuse = 'own_of_config:Counts'", "[sinks.counts] path is missing: expected a file"),
        ("[sinks.counts]\npath = 'x'", '[sinks.counts] use is missing: expected "module:Class"'),
        ("[sinks.jsonl]\nfiel = 'x'", "[sinks.jsonl]: unknown key 'fiel': did you mean 'file'?"),
    ],
)
def test_a_mistake_in_a_stage_or_sink_of_ones_own_is_one_line(own, text, line) -> None:
    [found] = mistakes(own(text))
    assert line in found


def test_a_stage_flag_that_leads_nowhere_is_named(own) -> None:
    with pytest.raises(ConfigError, match=r"--stage gone:X: no stage 'gone:X'"):
        load(None, stages=["gone:X"])


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "{a = " * 5000])
def test_a_config_that_is_too_deep_is_refused_in_a_line(tmp_path, text):
    (tmp_path / "watchline.toml").write_text(text)
    with pytest.raises(ConfigError) as told:
        load(tmp_path / "watchline.toml")
    assert len(str(told.value)) < 500
    assert "\n" not in str(told.value)


# --- zones and lines


DOOR = """
[streams.door]
source = "door.mp4"

[streams.door.zones.entrance]
polygon = [[0.1, 0.4], [0.6, 0.4], [0.6, 1]]
loitering = "10s"

[streams.door.lines.sill]
from = [0.2, 0.7]
to = [0.8, 0.7]

[streams.yard]
source = "yard.mp4"
"""


def test_zones_of_one_stream_put_the_stage_and_the_tracker_into_the_chain(write) -> None:
    config = load(write(DOOR))
    assert [each.name for each in config.stages] == ["detector", "tracker", "zones", "lines", "annotator"]
    zones, lines = stage(config, "zones"), stage(config, "lines")
    [entrance], [sill] = zones.of("door").zones, lines.of("door").lines
    assert (entrance.name, entrance.polygon[2], entrance.loitering) == ("entrance", (0.6, 1), 10)
    assert (sill.name, sill.start, sill.end) == ("sill", (0.2, 0.7), (0.8, 0.7))
    assert (zones.of("yard").zones, lines.of("yard").lines) == ((), ())


def test_a_stream_without_zones_of_its_own_has_those_of_all(write) -> None:
    zones = stage(load(write(DOOR + "[zones.all]\npolygon = [[0, 0], [1, 0], [1, 1]]\n")), "zones")
    assert [[zone.name for zone in zones.of(name).zones] for name in ("door", "yard")] == [["entrance"], ["all"]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("zones.a.polygon = [[0, 0], [1, 1]]", "[streams.door.zones.a] polygon has 2 corners: expected 3 or more"),
        ("zones.a.anchr = 'top'", "[streams.door.zones.a]: unknown key 'anchr': did you mean 'anchor'?"),
        ("zones.a = 3", "streams.door.zones.a = 3: must be a table, [streams.door.zones.a]"),
        ("lines.a.from = [0, 0]", "[streams.door.lines.a] to is missing: expected where it ends, [x, y]"),
        ("lines.a = {from = [0, 0], to = [0, 0]}", "[streams.door.lines.a] from and to are one point"),
        ("lines.a = {from = [0, 0], to = [1, 1], margin = 2}", "[streams.door.lines.a] margin = 2: must be at most 1"),
        ('lines."" = {from = [0, 0], to = [1, 1]}', "[streams.door.lines.] name is '': expected"),
    ],
)
def test_a_mistake_in_a_zone_or_line_is_one_line(write, text, line) -> None:
    found = mistakes(write(f"[streams.door]\nsource = 'a.mp4'\n{text}"))
    assert any(line in each for each in found), found
