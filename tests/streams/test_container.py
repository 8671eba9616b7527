"""Only containers are opened as files, whatever a file says of itself."""

import av
import pytest
from clips import write_clip, write_tone

from watchline.streams.errors import SourceUnreadable
from watchline.streams.file import FileSource

LISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:1,\n{clip}\n#EXT-X-ENDLIST\n",
    "a simple playlist": "#EXTM3U\n{clip}\n",
    "concat": "ffconcat version 1.0\nfile '{clip}'\n",
    "SDP": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
    "DASH": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1"><BaseURL>{clip}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "PLS": "[playlist]\nFile1={clip}\nNumberOfEntries=1\n",
    "ASX": '<asx version="3.0"><entry><ref href="{clip}"/></entry></asx>\n',
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list"])
def test_a_list_of_other_files_is_refused_under_any_name(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.ts", 2)
    (tmp_path / name).write_text(LISTS[kind].format(clip="clip.ts"))
    with pytest.raises(SourceUnreadable) as told, FileSource(tmp_path / name).open():
        pass
    assert str(told.value).startswith(
        f"{tmp_path / name} is a playlist, a text that names other files: expected a video"
    )
    assert "\n" not in str(told.value)


def test_a_pattern_of_names_is_not_expanded(tmp_path):
    """FFmpeg would read shot001.pcx, shot002.pcx, …"""
    write_clip(tmp_path / "shot001.pcx", 1, codec="pcx", pix_fmt="rgb24", format="image2")
    (tmp_path / "shot%03d.pcx").write_bytes(b"\0" * 100)
    with pytest.raises(SourceUnreadable), FileSource(tmp_path / "shot%03d.pcx").open():
        pass


@pytest.mark.parametrize("name", ["a:b.mp4", "a,b.mp4", "concat:a.mp4", "-dash.mp4", "a%03d.mp4", "a b?.mp4"])
def test_any_name_is_a_file_and_no_protocol(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    clip = write_clip(tmp_path / "clip.mp4", 3, container={"movflags": "frag_keyframe+empty_moov"}, options={"g": "1"})
    (tmp_path / name).write_bytes(clip.read_bytes())
    with FileSource(name).open() as reader:
        assert len(list(reader)) == 3
    (tmp_path / name).write_bytes(clip.read_bytes()[:-20])  # its complete boxes are read by another protocol
    with FileSource(name).open() as reader:
        assert reader.about.width == 64


def test_audio_is_said_to_be_audio(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w", format="mp3") as out:
        write_tone(out, out.add_stream("mp3", rate=48000), 0.2)
    with pytest.raises(SourceUnreadable, match="no video in it, only audio"), FileSource(tmp_path / "a.mp4").open():
        pass


def test_metadata_in_any_encoding(tmp_path):
    clip = write_clip(tmp_path / "a.avi", 2)
    raw = clip.read_bytes()
    title = b"INFO" + b"INAM" + (4).to_bytes(4, "little") + b"\xc4\xd6\xdc\xff"
    chunk = b"LIST" + len(title).to_bytes(4, "little") + title
    clip.write_bytes(
        raw[:4] + (int.from_bytes(raw[4:8], "little") + len(chunk)).to_bytes(4, "little") + raw[8:12] + chunk + raw[12:]
    )
    with FileSource(clip).open() as reader:
        assert len(list(reader)) == 2


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "list.txt",
            "clip.ts\nother.ts\n",
            r"is a list of names: .* give the names: xargs -d '\\n' watchline annotate < '",
        ),
        ("cams.txt", "rtsp://10.0.0.1/a\nrtsp://10.0.0.2/a\n", "is a list of addresses: expected a video"),
        ("list.csv", "name,size\nclip.ts,3\n", "is a text file: expected a video"),
        ("poem.txt", "\u6625" * 250, "is a text file: expected a video"),
        ("utf16.txt", b"\xff\xfe" + "hello".encode("utf-16-le"), "is a text file: expected a video"),
        ("run.yaml", "detector:\n  conf: 0.4\n", r"is a text file \(.yaml\): expected a video; a config is TOML, and"),
        ("run.json", "{}", r"is a text file \(.json\)"),
        ("run.toml", "[detector]\nconf = 0.4\n", "is a config: expected a video; give it with --config"),
    ],
)
def test_a_text_is_named_with_what_to_do(tmp_path, name, text, says):
    write_clip(tmp_path / "clip.ts", 2)
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SourceUnreadable, match=f"{name} {says}"), FileSource(tmp_path / name).open():
        pass
