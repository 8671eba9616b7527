import pytest
from clips import write_clip

from watchline.streams.wholeness import missing_bytes

FRAGMENTED = {"movflags": "frag_keyframe+delay_moov"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("a.mp4", {}, id="index at the end"),
        pytest.param("a.mp4", {"container": {"movflags": "faststart"}}, id="index in front"),
        pytest.param("a.mp4", {"container": FRAGMENTED, "options": {"g": "5"}}, id="fragments"),
        pytest.param("a.mov", {}, id="mov"),
        pytest.param("a.mkv", {}, id="mkv"),
        pytest.param("a.webm", {"codec": "libvpx"}, id="webm"),
        pytest.param("a.avi", {"codec": "mpeg4"}, id="avi"),
    ],
)
def test_bytes_that_a_cut_took_are_counted(tmp_path, name, settings):
    clip = write_clip(tmp_path / name, 20, **settings)
    whole = clip.read_bytes()
    assert missing_bytes(clip) == 0
    clip.write_bytes(whole + b"what a careless tool added at the end")
    assert missing_bytes(clip) == 0
    clip.write_bytes(whole[: len(whole) * 6 // 10])
    assert 0 < missing_bytes(clip) <= len(whole) * 4 // 10 + 1


@pytest.mark.parametrize("name", ["a.ts", "a.h264"])
def test_formats_that_declare_no_size_lack_nothing(tmp_path, name):
    clip = write_clip(tmp_path / name, 20)
    clip.write_bytes(clip.read_bytes()[:-500])
    assert missing_bytes(clip) == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x9f",
        b"RIFF",
        b"\0\0\0\0ftyp",
        b"\0\0\0\1mdat",
        b"text" * 9,
        b"\0" * 64,
    ],
)
def test_stubs_and_rubbish_lack_nothing(tmp_path, content):
    path = tmp_path / "stub"
    path.write_bytes(content)
    assert missing_bytes(path) == 0


def test_a_live_matroska_of_unknown_size_lacks_nothing(tmp_path):
    clip = write_clip(tmp_path / "a.mkv", 20, container={"live": "1"})
    clip.write_bytes(clip.read_bytes()[:-500])
    assert missing_bytes(clip) == 0
