"""Zones in the text of a config: written, replaced and removed, and whatever else is there stays."""

import tomllib

import pytest

from watchline.pipeline.drawing.toml_text import tables_of, with_tables
from watchline.pipeline.errors import ConfigError

TEXT = """# what we watch
out = "recordings"   # on the large disk

[streams.door]
source = "rtsp://me:${DOOR}@door/1"

[streams.door.zones.old]
polygon = [
  [0.1, 0.4],
  [0.6, 0.4],
  [0.6, 1]
]
# about the yard
[streams.yard]
source = "yard.mp4"

[streams.yard.zones.all]
polygon = [[0, 0], [1, 0], [1, 1]]

[detector]
conf = 0.4
"""
SQUARE = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]]
TABLES = {
    "zones": {"new": {"polygon": SQUARE, "loitering": "10s"}},
    "lines": {"a sill": {"from": [0, 0.5], "to": [1, 0.5]}},
}


def test_zones_are_replaced_and_nothing_else():
    after = with_tables(TEXT, "door", "x", TABLES)
    assert tables_of(after, "door") == TABLES
    for kept in (
        'out = "recordings"   # on the large disk',
        "# about the yard\n[streams.yard]",
        "${DOOR}",
        "conf = 0.4",
    ):
        assert kept in after
    assert "old" not in after
    before, now = tomllib.loads(TEXT), tomllib.loads(after)
    assert now["streams"]["yard"] == before["streams"]["yard"]
    assert with_tables(after, "door", "x", TABLES) == after


def test_all_of_them_can_be_removed():
    after = with_tables(TEXT, "door", "x", {"zones": {}, "lines": {}})
    assert tomllib.loads(after)["streams"]["door"] == {"source": "rtsp://me:${DOOR}@door/1"}


def test_a_new_stream_gets_its_source():
    after = with_tables("", "back yard", "back yard.mp4", TABLES)
    assert after.startswith('[streams."back yard"]\nsource = "back yard.mp4"\n\n[streams."back yard".zones.new]\n')
    assert tables_of(after, "back yard") == TABLES


@pytest.mark.parametrize(
    "text",
    [
        "[streams.door]\nsource = 'a'\nzones.b.polygon = [[0, 0], [1, 0], [1, 1]]",
        "[streams]\ndoor = {source = 'a', zones = {}}",
        'text = """\n[streams.door.zones.b]\n"""',
    ],
)
def test_what_cannot_be_replaced_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected \[streams.door.zones.NAME\]"):
        with_tables(text, "door", "a", TABLES)
