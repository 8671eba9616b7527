import av
import pytest
from clips import write_clip
from tracks import write_programmes, write_tracks

from watchline.streams.errors import SourceUnreadable
from watchline.streams.file import FileSource
from watchline.streams.tracks import sounds_of, video_of

SMALL, LARGE = (64, 48), (128, 96)


def chosen(path, track=None):
    """Size of the pictures, how many there are, and the notes."""
    with FileSource(path, track=track).open() as reader:
        count = sum(1 for _ in reader)
        return (reader.about.width, reader.about.height), count, reader.notes


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
@pytest.mark.parametrize(
    ("videos", "still", "size"),
    [
        pytest.param([(LARGE, 10, False), (SMALL, 25, True)], False, SMALL, id="the default"),
        pytest.param([(SMALL, 10, True), (LARGE, 25, True)], False, LARGE, id="two defaults: the largest"),
        pytest.param([(SMALL, 25, True)], True, SMALL, id="the default, after a still"),
    ],
)
def test_the_default_track_or_the_largest_is_taken_and_said(tmp_path, name, videos, still, size):
    clip = write_tracks(tmp_path / name, videos, still=still)
    assert chosen(clip)[0] == size
    [note] = chosen(clip)[2]
    assert f"({size[0]} x {size[1]}) was taken; --video-track takes another: " in note
    assert chosen(clip, 1)[2] == []


def test_a_still_is_not_taken_for_the_video(tmp_path):
    clip = write_tracks(tmp_path / "a.mp4", [(SMALL, 25, False)], still=True)  # the muxer marks the first one
    assert chosen(clip)[:2] == (SMALL, 25)
    assert chosen(clip, 1)[:2] == ((640, 480), 1)


def test_a_preview_is_not_taken_for_the_video(tmp_path):
    clip = write_tracks(tmp_path / "a.mkv", [(LARGE, 5, False), (SMALL, 100, False)])
    assert chosen(clip)[:2] == (SMALL, 100)


def test_a_track_that_is_not_there(tmp_path):
    with pytest.raises(SourceUnreadable, match=r"a.mp4: there is no video track 2: expected 1 to 1"):
        chosen(write_clip(tmp_path / "a.mp4", 2), 2)


def test_one_video_needs_no_word(tmp_path):
    assert chosen(write_clip(tmp_path / "a.mp4", 2, audio="aac"))[2] == []


def test_sound_is_that_of_the_programme(tmp_path):
    path = write_programmes(tmp_path / "a.ts", (SMALL, "aac"), (LARGE, "mp2"), ((32, 32), None))
    assert chosen(path)[:2] == (LARGE, 25)
    with av.open(str(path)) as container:
        assert len(container.streams.audio) == 2
        names = {
            number: [s.codec.canonical_name for s in sounds_of(container, video_of(path, container, number))]
            for number in (None, 1, 2, 3)
        }
    assert names == {None: ["mp2"], 1: ["aac"], 2: ["mp2"], 3: []}
