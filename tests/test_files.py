"""Files that appear complete or not at all, and files that one at a time may use."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from watchline import files
from watchline.files import PartialFile, locked, part_of, replacing, shortened, write_complete


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as part:
        assert part.parent == tmp_path
        assert part.suffix == ".part"
        part.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    write_complete(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert names(tmp_path) == ["a.bin"]


def test_a_file_of_the_longest_name(tmp_path: Path) -> None:
    write_complete(tmp_path / ("a" * 255), b"new")
    assert names(tmp_path) == ["a" * 255]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("abc", "abc"), ("abcdefg", "abcd"), ("ééé", "éé"), ("aéé", "aé"), ("a\udce9bcde", "abc"), ("é\udce9", "é\udce9")],
)
def test_a_name_is_cut_between_characters(name: str, expected: str) -> None:
    assert shortened(name, 4) == expected


def test_a_link_stays_one_and_a_device_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a.bin")
    write_complete(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a.bin").read_bytes() == b"x"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_complete(tmp_path / "pipe", b"x")
    assert os.read(reader, 9) == b"x"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_long_name_has_room_for_its_partial_file(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".bin")
    write_complete(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_partial_file_is_of_one_writer_and_appears_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    part_of(path).write_bytes(b"left by a killed process")
    file = PartialFile(path)
    with pytest.raises(BlockingIOError):
        PartialFile(path)
    file.make_room(1 << 20)
    file.write(b"new")
    assert (file.size, part_of(path).read_bytes(), path.exists()) == (3, b"new", False)
    file.finish()
    assert names(tmp_path) == ["a.bin"]
    assert path.read_bytes() == b"new"
    assert path.stat().st_blocks * 512 <= 1 << 16, "what was reserved was not given back"
    PartialFile(path).discard()
    assert path.read_bytes() == b"new"


def test_room_that_the_disk_does_not_have_is_refused_and_what_it_has_is_kept(small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("256k")
    file = PartialFile(folder / "a.bin")
    with pytest.raises(OSError, match="No space"):
        file.make_room(1 << 20)
    file.make_room(100_000)
    with pytest.raises(OSError, match="No space"):
        (folder / "other").write_bytes(bytes(1 << 20))  # all that is left
    file.write(bytes(100_000))
    file.truncate(99_999)
    file.finish()
    assert (folder / "a.bin").stat().st_size == 99_999


def test_a_file_system_that_cannot_reserve_is_asked_what_is_free(
    small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ext2 and NFS."""

    monkeypatch.setattr(files, "_fallocate", lambda file, end: errno.EOPNOTSUPP)
    file = PartialFile(small_disk("256k") / "a.bin")
    file.make_room(100_000)
    with pytest.raises(OSError, match="No space"):
        file.make_room(1 << 20)
    file.discard()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_write_that_is_interrupted_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as part:
        part.write_bytes(b"ne")
        raise error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("write", [lambda path: write_complete(path, b"x"), lambda path: write_nothing(path)])
def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path, write: object) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(OSError, match=r"a\.bin"):
        write(tmp_path / "a.bin")  # type: ignore[operator]
    assert names(tmp_path) == ["a.bin"]


def write_nothing(path: Path) -> None:
    with replacing(path):
        pass


def test_threads_write_the_same_file_without_mixing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"

    def work(byte: bytes) -> None:
        for _ in range(20):
            write_complete(path, byte * 100_000)

    threads = [threading.Thread(target=work, args=(byte,)) for byte in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(path.read_bytes())) == 1
    assert names(tmp_path) == ["a.bin"]


def test_threads_have_a_locked_file_in_turns(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work(n: int) -> None:
        for _ in range(20):
            with locked(tmp_path / "a.lock"):
                inside.append(n)
                most.append(len(inside))
                inside.remove(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 80


HOLD = """
import sys
from pathlib import Path
from watchline import files
from watchline.files import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["lets go", "is killed"])
def test_another_process_is_waited_for_however_it_ends(tmp_path: Path, how: str) -> None:
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        end = other.stdin.close if how == "lets go" else other.kill
        with locked(path, on_wait=end) as file:
            file.write(b"mine")
        assert path.read_bytes() == b"mine"


def test_a_file_that_was_renamed_meanwhile_is_not_the_one_that_is_locked(tmp_path: Path) -> None:
    path, final = tmp_path / "a.part", tmp_path / "a"
    waiting = threading.Event()

    def second() -> None:
        with locked(path, on_wait=waiting.set) as file:
            file.write(b"second")

    with locked(path) as file:
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        file.write(b"first")
        file.flush()
        path.rename(final)
    thread.join(10)
    assert (final.read_bytes(), path.read_bytes()) == (b"first", b"second")
