"""What may be written where."""

import os

import pytest

from watchline.streams.errors import SinkError
from watchline.streams.write.paths import prepare


def test_an_input_is_never_overwritten(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_text("precious")
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    for path in (source, tmp_path / "link", tmp_path / "hard", tmp_path / "x" / ".." / "a.jsonl"):
        with pytest.raises(SinkError, match="is an input: the output would destroy it"):
            prepare(path, [source])
    assert not (tmp_path / "x").exists()


def test_paths_that_cannot_be_files(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        prepare(tmp_path / "folder", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="a file is where a folder"):
        prepare(tmp_path / "file" / "a", [])


def test_a_folder_that_may_not_be_made(public, as_nobody):
    (public / "mine").mkdir(mode=0o755)
    with as_nobody(), pytest.raises(SinkError, match="new may not be written"):
        prepare(public / "mine" / "new" / "a.jsonl", [])
