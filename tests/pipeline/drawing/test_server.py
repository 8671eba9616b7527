"""The page's server: who may ask, what it writes, and what it refuses."""

import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from watchline.pipeline.config import load
from watchline.pipeline.drawing.server import MOST_BYTES, Drawing, PageServer

STILL = np.zeros((100, 200, 3), np.uint8)
TEXT = """[streams.door]
source = "door.mp4"

[streams.door.zones.entrance]
polygon = [[20, 10], [100, 10], [100, 90]]
loitering = "10s"
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "watchline.toml").write_text(TEXT)
    return tmp_path / "watchline.toml"


@pytest.fixture
def server(config):
    with PageServer(Drawing(config, "door", "door.mp4", STILL)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(address, body=None):
    """The status and the text of the answer."""
    try:
        with urllib.request.urlopen(address, body, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def shape(kind="zones", name="entrance", was=None, points=((0.1, 0.1), (0.5, 0.1), (0.5, 0.5))):
    return {"kind": kind, "name": name, "was": was, "points": points}


def save(server, *shapes):
    return ask(server.address + "save", json.dumps(shapes).encode())


def test_the_page_shows_what_is_there_in_shares(server):
    code, text = ask(server.address)
    assert code == 200
    assert "[[0.1, 0.1], [0.5, 0.1], [0.5, 0.9]]" in text
    assert "data:image/jpeg;base64," in text


def test_only_who_knows_the_address_is_answered(server):
    root = server.address.removesuffix(server.path)
    assert ask(root + "/")[0] == ask(root + "/save", b"[]")[0] == 404
    assert server.server_address[0] == "127.0.0.1"


def test_what_is_drawn_is_in_the_config_and_keeps_its_other_settings(server, config):
    sill = shape("lines", "sill", points=[[0, 0.5], [1, 0.5]])
    assert save(server, shape(name="porch", was="entrance"), sill) == (200, f"{config}: 1 zone, 1 line saved")
    stages = {stage.name: stage for stage in load(config).stages}
    [porch], [line] = stages["zones"].of("door").zones, stages["lines"].of("door").lines
    assert (porch.name, porch.loitering, porch.polygon[0]) == ("porch", 10, (0.1, 0.1))
    assert (line.start, line.end) == ((0, 0.5), (1, 0.5))


@pytest.mark.parametrize(
    ("shapes", "says"),
    [
        ([shape(points=[[0, 0], [1, 1], [1, 0], [0, 1]])], "entrance: polygon crosses itself"),
        ([shape(points=[[0, 0], [1, 1]])], "entrance: polygon has 2 corners"),
        ([shape(), shape()], "there are two zones of the name 'entrance'"),
        ([shape(name="")], "name is ''"),
        ([shape(kind="dots")], "expected the shapes of the page"),
        ([shape(kind="lines")], "expected the shapes of the page"),
        ([{"kind": "zones"}], "expected the shapes of the page"),
        (["x"], "expected the shapes of the page"),
    ],
)
def test_what_cannot_be_is_not_saved(server, config, shapes, says):
    code, text = save(server, *shapes)
    assert code == 409
    assert text.startswith("not saved: ")
    assert says in text
    assert config.read_text() == TEXT


def test_too_much_is_not_read(server, config):
    request = urllib.request.Request(server.address + "save", b"[]", {"Content-Length": str(MOST_BYTES + 1)})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request, timeout=20)
    assert config.read_text() == TEXT


def test_names_are_shown_and_never_obeyed(config):
    config.write_text('[streams.door.zones."</script><b>"]\npolygon = [[0, 0], [1, 0], [1, 1]]\n')
    text = Drawing(config, "<i>", "door.mp4", STILL).page()
    assert "<b>" not in text
    assert "<i>" not in text
