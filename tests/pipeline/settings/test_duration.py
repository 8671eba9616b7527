"""Times as people write them."""

import pytest
from cli.shell import within
from clips import write_clip
from pydantic import TypeAdapter, ValidationError

from watchline.pipeline.config import Flag, load
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.settings.duration import Milliseconds, Seconds, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", 0.5),
        ("1530ms", 1.53),
        ("0.5ms", 0.0005),
        ("45s", 45),
        ("1.5s", 1.5),
        ("10m", 600),
        ("90 m", 5400),
        ("1h", 3600),
        ("0.5h", 1800),
        ("7d", 604_800),
        ("1h30m", 5400),
        ("1d 2h 3m 4s 5ms", 93_784.005),
        ("1m500ms", 60.5),
        ("10", 10),
        ("2.5", 2.5),
        ("1m30", 90),
        (" 10M ", 600),
    ],
)
def test_what_is_a_time(text, value):
    assert seconds(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", ["", "0", "0s", "0ms", "-5", "soon", "5x", "10s5m", "1m1m", "1,5s", "ms", "1e3"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match="a time, e\\.g\\. 45s, 10m or 1h30m"):
        seconds(text)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Seconds, 10, 10),
        (Seconds, "10", 10),
        (Seconds, "500ms", 0.5),
        (Seconds, "7d", 604_800),
        (Milliseconds, 300, 300),
        (Milliseconds, "300", 300),
        (Milliseconds, "12.5", 12.5),
        (Milliseconds, "500ms", 500),
        (Milliseconds, "0.5s", 500),
        (Milliseconds, "1m", 60_000),
        (Milliseconds, "1m30", 90_000),
    ],
)
def test_a_bare_number_is_what_the_setting_says(kind, given, value):
    assert TypeAdapter(kind).validate_python(given) == pytest.approx(value)


@pytest.mark.parametrize("given", ["soon", "", "0ms", "0", "-1", True, None, [500]])
def test_what_is_no_time_of_milliseconds(given):
    with pytest.raises(ValidationError):
        TypeAdapter(Milliseconds).validate_python(given, strict=True)


@pytest.mark.parametrize("text", ["500ms", "0.5s", "500", 500])
def test_every_setting_and_flag_of_a_time_takes_words(tmp_path, text):
    path = tmp_path / "watchline.toml"
    shown = text if isinstance(text, int) else f'"{text}"'
    path.write_text(f'latency_budget = {shown}\nsplit = "7d"\n[streams.a]\nsource = "rtsp://a/"\ntimeout = "1500ms"\n')
    config = load(path)
    assert (config.latency_budget, config.split, config.streams["a"].timeout) == (0.5, 604_800, 1.5)
    flags = [Flag("--latency-budget", "", "latency_budget", "250ms"), Flag("--split", "", "split", "1h")]
    config = load(path, flags)
    assert (config.latency_budget, config.split) == (0.25, 3600)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('latency_budget = "soon"', 'latency_budget = "soon": must be a time, e.g. 500ms or 2s (default 500)'),
        ("latency_budget = 0", "latency_budget = 0: must be more than 0 (default 500)"),
        ('split = "500ms"', 'split = "500ms": must be at least 1 (default 3600)'),
    ],
)
def test_a_mistake_is_named(tmp_path, line, said):
    path = tmp_path / "watchline.toml"
    path.write_text(line)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: {said}"


def test_the_command_takes_them(tmp_path):
    write_clip(tmp_path / "a.mp4", 3)
    done = within(tmp_path, "run", "a.mp4", "--realtime", "--no-video", "--latency-budget", "20s", "--split", "7d")
    assert done.code == 0, done.err
    done = within(tmp_path, "run", "a.mp4", "--latency-budget", "soon")
    assert done.err[-1] == "watchline: --latency-budget soon: must be a time, e.g. 500ms or 2s (default 500)"
    assert done.code == 2
