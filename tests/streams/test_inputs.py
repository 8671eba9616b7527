from pathlib import Path

import pytest
from clips import write_clip, write_photo

from watchline.streams.file import FileSource
from watchline.streams.inputs import Search, find_sources
from watchline.streams.photos import PhotosSource


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def told(found):
    return [
        (s.stream, str(s.path)) if isinstance(s, FileSource) else (s.stream, [str(p) for p in s.paths])
        for s in found.sources
    ]


@pytest.mark.parametrize(
    ("there", "words", "expected"),
    [
        pytest.param(["a.mp4"], ["a.mp4"], [("a", "a.mp4")], id="a file"),
        pytest.param(["a.dat"], ["a.dat"], [("a", "a.dat")], id="a file of any name that is named"),
        pytest.param(
            ["d/b.MKV", "d/a.mp4", "d/notes.txt", "d/.c.mp4", "d/inner/e.mp4"],
            ["d"],
            [("a", "d/a.mp4"), ("b", "d/b.MKV")],
            id="a folder, not those inside it",
        ),
        pytest.param(["a1.mkv", "a2.mkv", "b.mkv"], ["a*.mkv"], [("a1", "a1.mkv"), ("a2", "a2.mkv")], id="a glob"),
        pytest.param(["x/1.ts", "x/y/2.ts"], ["x/**/*.ts"], [("1", "x/1.ts"), ("2", "x/y/2.ts")], id="a deep glob"),
        pytest.param(["a[1].mp4"], ["a[1].mp4"], [("a[1]", "a[1].mp4")], id="a name that looks like a glob"),
        pytest.param(
            ["a/clip.mp4", "b/clip.mkv", "c/Clip.avi"],
            ["a", "b", "c"],
            [("clip", "a/clip.mp4"), ("clip-2", "b/clip.mkv"), ("Clip-3", "c/Clip.avi")],
            id="stems that clash",
        ),
        pytest.param(
            ["a/clip.mp4", "b/clip.mp4", "clip-2.mp4"],
            ["a", "b", "clip-2.mp4"],
            [("clip", "a/clip.mp4"), ("clip-3", "b/clip.mp4"), ("clip-2", "clip-2.mp4")],
            id="a number that is taken",
        ),
        pytest.param(["d/a.mp4"], ["d/a.mp4", "d", "d/../d/a.mp4"], [("a", "d/a.mp4")], id="the same file, once"),
        pytest.param(
            ["d/a.jpg", "d/b.mp4", "d/c.PNG"],
            ["d"],
            [("d", ["d/a.jpg", "d/c.PNG"]), ("b", "d/b.mp4")],
            id="a folder of both",
        ),
        pytest.param(
            ["d/a.jfif", "d/b.HEIC", "d/c.jp2", "d/e.ppm", "d/f.jpe", "d/g.avif", "d/h.cr2", "d/i.jxl", "d/j.xmp"],
            ["d"],
            [("d", [f"d/{name}" for name in "a.jfif b.HEIC c.jp2 e.ppm f.jpe g.avif h.cr2 i.jxl".split()])],
            id="a folder of every kind of photo",
        ),
        pytest.param(["a.exr"], ["a.exr"], [("a", "a.exr")], id="a picture that FFmpeg may know"),
        pytest.param(
            ["d/a.jpg", "e/b.jpg", "d/c.jpg"],
            ["d/c.jpg", "e/b.jpg", "d/a.jpg"],
            [("d", ["d/c.jpg", "d/a.jpg"]), ("b", ["e/b.jpg"])],
            id="photos that are named, by folder",
        ),
    ],
)
def test_words_lead_to_sources(here, there, words, expected):
    touch(*there)
    found = find_sources(words)
    assert told(found) == expected
    assert found.problems == []


@pytest.mark.parametrize(
    ("there", "words", "expected"),
    [
        pytest.param(
            ["d/x.mp4", "d/B/x.mp4", "d/A/x.mp4", "d/A/deep/y.mkv", "d/.hidden/z.mp4", "d/A/notes.txt"],
            ["d"],
            [("x", "d/x.mp4"), ("A/x", "d/A/x.mp4"), ("A/deep/y", "d/A/deep/y.mkv"), ("B/x", "d/B/x.mp4")],
            id="a tree",
        ),
        pytest.param(["A/x.mp4", "B/x.mp4"], ["A", "B"], [("A/x", "A/x.mp4"), ("B/x", "B/x.mp4")], id="two folders"),
        pytest.param(["A/x.mp4", "b.mp4"], ["A", "b.mp4"], [("A/x", "A/x.mp4"), ("b", "b.mp4")], id="and a file"),
        pytest.param(["A/x.mp4"], ["A/x.mp4"], [("x", "A/x.mp4")], id="a file alone"),
        pytest.param(["d/A/x.ts", "d/B/x.ts"], ["d/**/*.ts"], [("A/x", "d/A/x.ts"), ("B/x", "d/B/x.ts")], id="a glob"),
        pytest.param(["d/A/x.mp4", "d/A/x.mkv"], ["d"], [("A/x", "d/A/x.mkv"), ("A/x-2", "d/A/x.mp4")], id="one stem"),
        pytest.param(["d/A/x.mp4", "d/out/x.mp4"], ["d"], [("A/x", "d/A/x.mp4")], id="outputs are left out"),
        pytest.param(
            ["d/1.jpg", "d/A/1.jpg", "d/A/v.mp4"],
            ["d"],
            [("d", ["d/1.jpg"]), ("A/A", ["d/A/1.jpg"]), ("A/v", "d/A/v.mp4")],
            id="photos, an album a folder",
        ),
    ],
)
def test_streams_of_a_tree_are_called_after_their_path(here, there, words, expected):
    touch(*there)
    found = find_sources(words, Search(recursive=True, by_path=True, without=Path("d/out")))
    assert told(found) == expected
    assert found.problems == []


def test_a_link_to_a_folder_is_not_searched_as_it_may_lead_round_in_circles(here):
    touch("d/A/x.mp4")
    Path("d/A/again").symlink_to("..")
    assert told(find_sources(["d"], Search(recursive=True, by_path=True))) == [("A/x", "d/A/x.mp4")]


def test_a_subfolder_that_cannot_be_read_is_named(public, as_nobody, monkeypatch):
    monkeypatch.chdir(public)
    touch("d/A/x.mp4", "d/B/x.mp4")
    Path("d/B").chmod(0)
    with as_nobody():
        found = find_sources(["d"], Search(recursive=True, by_path=True))
    assert told(found) == [("A/x", "d/A/x.mp4")]
    assert [str(problem) for problem in found.problems] == [
        "d/B cannot be read: Permission denied; check its name, owner and rights"
    ]


def test_a_link_to_a_file_is_that_file(here):
    touch("a.mp4")
    Path("b.mp4").symlink_to("a.mp4")
    assert told(find_sources(["b.mp4", "a.mp4"])) == [("b", "b.mp4")]


def test_bad_words_do_not_stop_good_ones(here):
    touch("a.mp4", "empty/notes.txt")
    found = find_sources(["missing.mp4", "empty", "a.mp4", "*.mkv"])
    assert told(found) == [("a", "a.mp4")]
    assert [str(problem) for problem in found.problems] == [
        "missing.mp4: there is no such file or folder; check the spelling",
        "empty: there are no videos or photos in this folder; name another, or a file",
        "*.mkv: no file matches this pattern; check it with ls",
    ]
    assert all(isinstance(problem, FileNotFoundError) for problem in found.problems)


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("d/img%03d.jpg", "for numbered files write the pattern 'd/img*.jpg'"),
        ("shot%d.mp4", "for numbered files write the pattern 'shot*.mp4'"),
        ("shot####.png", "for numbered files write the pattern 'shot*.png'"),
        ("d/holidya.mp4", "did you mean d/holiday.mp4?"),
        ("~/a.mp4", "the shell replaces ~ only outside of quotes"),
    ],
)
def test_a_name_that_leads_nowhere_has_advice(here, word, advice):
    touch("d/holiday.mp4")
    [problem] = find_sources([word]).problems
    assert str(problem) == f"{word}: there is no such file or folder; {advice}"


def test_a_file_may_be_called_as_a_number_format(here):
    touch("img%03d.mp4")
    assert told(find_sources(["img%03d.mp4"])) == [("img%03d", "img%03d.mp4")]


@pytest.mark.parametrize("letter", ["a", "é", "\U0001f600"])
def test_the_longest_names_leave_room_for_what_is_added(here, letter):
    """No character is cut in two, and the streams have different names."""
    size = len(letter.encode())
    names = [letter * (250 // size) + ending for ending in (".mp4", ".mkv")]
    touch(*names)
    first, second = [source.stream for source in find_sources(names).sources]
    assert first == letter * (200 // size)
    assert second == f"{first}-2"


def test_a_word_that_is_too_long_does_not_stop_the_rest(here):
    touch("a.mp4")
    found = find_sources(["x" * 300, "a.mp4"])
    assert told(found) == [("a", "a.mp4")]
    assert len(found.problems) == 1


def test_a_folder_that_may_not_be_read_does_not_stop_the_rest(public, as_nobody):
    (public / "a.mp4").touch()
    (public / "secret").mkdir()
    (public / "secret" / "b.mp4").touch()
    (public / "secret").chmod(0o700)
    with as_nobody():
        found = find_sources([public / "secret", public / "secret" / "b.mp4", public / "a.mp4"])
    assert told(found) == [("a", str(public / "a.mp4"))]
    message = "cannot be read: Permission denied; check its name, owner and rights"
    assert [str(problem) for problem in found.problems] == [
        f"{public / 'secret'} {message}",
        f"{public / 'secret' / 'b.mp4'} {message}",
    ]


def test_what_is_found_opens(here):
    write_clip(here / "a.mp4", 2)
    write_photo(here / "b.jpg")
    for source in find_sources(["."]).sources:
        assert isinstance(source, FileSource | PhotosSource)
        with source.open() as reader:
            assert len(list(reader)) == reader.about.frames


def test_a_folder_with_one_photo_names_its_stream(tmp_path):
    (tmp_path / "holiday").mkdir()
    write_photo(tmp_path / "holiday" / "beach.jpg")
    assert [s.stream for s in find_sources([tmp_path / "holiday"]).sources] == ["holiday"]
    assert [s.stream for s in find_sources([tmp_path / "holiday" / "beach.jpg"]).sources] == ["beach"]
