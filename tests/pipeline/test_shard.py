"""Shards: every file is in exactly one, stays there when others come, and none has all the work."""

import pytest

from watchline.pipeline.manifest import all_in, opened
from watchline.pipeline.shard import Shard, shard


def test_every_stream_is_in_exactly_one_part_of_nearly_equal_size():
    names = [f"2026/{day}/cam{camera}" for day in range(100) for camera in range(100)]
    parts = [Shard(number, 16) for number in range(1, 17)]
    homes = [[part.number for part in parts if part.has(name)] for name in names]
    assert all(len(home) == 1 for home in homes)
    counts = [sum(home == [part.number] for home in homes) for part in parts]
    assert max(counts) < 1.25 * min(counts)


def test_names_that_are_no_utf_8_have_a_part_too():
    assert sum(Shard(number, 3).has("v\udce9") for number in (1, 2, 3)) == 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", "01/4", " 1/4"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match="expected K/N, part K of N"):
        shard(text)


def test_each_part_has_a_manifest_which_needs_no_memory_that_processes_share(tmp_path):
    """SQLite's index of the write-ahead log is shared memory (`-shm`): a network's file systems have none."""
    with opened(tmp_path, shard=shard("2/12")), opened(tmp_path, shard=shard("11/12")):
        assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".db", ".lock")) == [
            "watchline-11-of-12.db",
            "watchline-11-of-12.lock",
            "watchline-2-of-12.db",
            "watchline-2-of-12.lock",
        ]
        assert not list(tmp_path.glob("*-shm"))
    assert all_in(tmp_path) == [Shard(2, 12), Shard(11, 12)]
