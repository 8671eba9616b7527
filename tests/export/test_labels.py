"""Files of class names: what is read, and what is refused in one line."""

from pathlib import Path

import pytest

from watchline.export import labels
from watchline.export.errors import ExportRefused


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"person\nbicycle\n", ("person", "bicycle")),
        (b"person\r\ntraffic light\r\n\r\n", ("person", "traffic light")),  # from Windows, empty lines at the end
        (b"\xef\xbb\xbfperson", ("person",)),  # with a byte order mark
        ("Fußgänger\n".encode(), ("Fußgänger",)),
    ],
)
def test_names_are_read(tmp_path: Path, content: bytes, names: tuple[str, ...]) -> None:
    (tmp_path / "a.names").write_bytes(content)
    assert labels.read(tmp_path / "a.names") == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file"),
        (b"", "it holds no names"),
        (b"\n\n", "it holds no names"),
        (b"person\n\ncar\n", "line 2 is ''; expected a class name"),
        (b"person\ncar\nperson\n", "lines 1 and 3 are both 'person'"),
        (b"\xff\xfe\x00", "it is no UTF-8 text"),
        (b"per\x00son\n", "line 1 is 'per"),
        (b"name\n" * 300_000, "more than 1048576 bytes"),
    ],
    ids=["missing", "empty", "blank", "hole", "twice", "binary", "zero", "huge"],
)
def test_what_is_no_list_of_names_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.names").write_bytes(content)
    with pytest.raises(ExportRefused, match=rf"a\.names: .*{message}"):
        labels.read(tmp_path / "a.names")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match=r"cannot be read .Is a directory"):
        labels.read(tmp_path)
