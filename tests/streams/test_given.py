"""What a caller gives becomes sources: each kind, alone and in a list, and one line for what is none."""

from pathlib import Path

import numpy as np
import pytest
from clips import picture, write_clip, write_photo

from watchline.errors import WatchlineError
from watchline.streams.errors import SourceNotFound, SourceUnreadable
from watchline.streams.file import FileSource
from watchline.streams.given import sources_of
from watchline.streams.iterator import IteratorSource
from watchline.streams.live.device import DeviceSource
from watchline.streams.live.network import NetworkSource
from watchline.streams.photos import PhotosSource
from watchline.streams.synthetic import SyntheticSource

GATE = "rtsp://user:secret@host/gate"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two clips, two photos, and a file whose name is a number."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for name in ("walk.mp4", "a/walk.mp4", "0"):
        write_clip(tmp_path / name, 2, container={}, format="mp4")
    for name in ("a/1.png", "a/2.png"):
        write_photo(tmp_path / name, picture(0))
    return tmp_path


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("walk.mp4", [(FileSource, "walk")]),
        (["walk.mp4", "a/walk.mp4"], [(FileSource, "walk"), (FileSource, "walk-2")]),
        (("a/walk.mp4",), [(FileSource, "walk")]),
        ("a", [(PhotosSource, "a"), (FileSource, "walk")]),
        ("*/*.png", [(PhotosSource, "a")]),
        (GATE, [(NetworkSource, "host-gate")]),
        (
            [GATE, GATE, "walk.mp4"],
            [(NetworkSource, "host-gate"), (NetworkSource, "host-gate-2"), (FileSource, "walk")],
        ),
        (["walk.mp4", "rtsp://walk.mp4"], [(NetworkSource, "walk.mp4"), (FileSource, "walk")]),
        ("http://host/clip.mp4", [(NetworkSource, "host-clip.mp4")]),
        (0, [(DeviceSource, "video0")]),
        (np.int64(2), [(DeviceSource, "video2")]),
        ("0", [(DeviceSource, "video0")]),
        ("/dev/video3", [(DeviceSource, "video3")]),
        ([0, "/dev/video1"], [(DeviceSource, "video0"), (DeviceSource, "video1")]),
        (picture(0), [(IteratorSource, "frames")]),
        ([picture(0), picture(1)], [(IteratorSource, "frames")]),
        ([(picture(0), 0.0), (picture(1), 1.0)], [(IteratorSource, "frames")]),
        (iter([picture(0)]), [(IteratorSource, "frames")]),
        (SyntheticSource(stream="mine"), [(SyntheticSource, "mine")]),
        (
            [SyntheticSource(stream="mine"), NetworkSource(GATE)],
            [(SyntheticSource, "mine"), (NetworkSource, "host-gate")],
        ),
    ],
    ids=lambda value: None if isinstance(value, list) else str(value)[:20],
)
def test_what_is_given_becomes_sources(given, expected, folder):
    assert [(type(source), source.stream) for source in sources_of(given)] == expected


def test_paths_are_like_words_but_never_a_cameras_number(folder):
    assert [source.stream for source in sources_of([folder / "walk.mp4", folder / "a"])] == ["walk", "a", "walk-2"]
    [source] = sources_of((folder / "0").relative_to(folder))
    assert isinstance(source, FileSource)
    assert isinstance(sources_of(Path("/dev/video0"))[0], DeviceSource)


@pytest.mark.parametrize(
    ("given", "count"), [(picture(0), 1), (np.stack([picture(i) for i in range(3)]), 3), ([picture(0)] * 2, 2)]
)
def test_arrays_are_read_as_pictures_and_stay_the_callers(given, count):
    with sources_of(given)[0].open() as reader:
        frames = list(reader)
    assert len(frames) == count
    for frame, expected in zip(frames, [given] if count == 1 else given, strict=True):
        np.testing.assert_array_equal(frame.image, expected)
    np.asarray(given[0])[:] = 7  # may be written to still


SHAPE = r"expected uint8 \(height, width, 3\), BGR"
WRONG = [
    (None, "source is of type NoneType: expected a path, an address or a number of a camera, an array"),
    (True, "source is of type bool: expected a path"),
    (2.5, "source is of type float: expected a path"),
    (-1, "source is -1: expected 0 or more as the number of a camera"),
    (b"a.mp4", "source is of type bytes: expected a path"),
    ({"a.mp4"}, "source is of type set: expected a path"),
    ({"a": 1}, "source is of type dict: expected a path"),
    ([], "source is an empty list: expected a path"),
    ([None], "source is a list of NoneType: expected a path"),
    ([[1, 2], [3, 4]], "source is a list of list: expected a path"),
    ([GATE, picture(0)], "source is a list of different things, str and, at index 1, ndarray: expected paths"),
    ((picture(0), 0.5), "source is a list of different things, ndarray and, at index 1, float: expected paths"),
    (picture(0)[:, :, 0], rf"the array is uint8 \(48, 64\): {SHAPE}"),
    (picture(0) / 255, rf"the array is float64 \(48, 64, 3\): {SHAPE}"),
    (np.zeros((48, 64, 4), np.uint8), rf"the array is uint8 \(48, 64, 4\): {SHAPE}"),
    (np.zeros((0, 64, 3), np.uint8), rf"the array is uint8 \(0, 64, 3\): {SHAPE}"),
    (np.zeros((2, 48, 64), np.uint8), rf"the array is uint8 \(2, 48, 64\): {SHAPE}"),
    (np.zeros((2, 48, 64, 1), np.uint8), rf"a picture of the array is uint8 \(48, 64, 1\): {SHAPE}"),
    (np.zeros((0, 48, 64, 3), np.uint8), r"the array is uint8 \(0, 48, 64, 3\): expected one picture or more"),
    ([picture(0), np.zeros((4, 4), np.uint8)], rf"array 1 is uint8 \(4, 4\): {SHAPE}"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[row[1][:40] for row in WRONG])
def test_what_is_no_source_is_told_in_a_line(given, message):
    with pytest.raises(TypeError, match=f"^{message}") as caught:
        sources_of(given)
    assert isinstance(caught.value, WatchlineError)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("given", ["gone.mp4", ["walk.mp4", "gone.mp4"], "gone*.mp4"])
def test_what_is_not_there_is_no_file(given, folder):
    with pytest.raises(SourceNotFound, match=r"^gone\*?\.mp4: ") as caught:
        sources_of(given)
    assert isinstance(caught.value, FileNotFoundError)


def test_an_address_that_makes_no_sense():
    with pytest.raises(SourceUnreadable, match=r"^ftp:// addresses cannot be read"):
        sources_of("ftp://host/clip.mp4")
