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


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data.yaml", "train: images\nnc: 3\nnames: ['cat', 'no', '3']\n"),
        ("data.yaml", "names:\n  - cat\n  - no\n  - 3\n"),
        ("data.yml", "path: x\nnames:\n  0: cat\n  1: no\n  2: 3  # a number\nnc: 3\n"),
        ("a.names", "names: [cat, no, 3]\n"),  # known by what is in it
        ("a.json", '["cat", "no", "3"]'),
        ("a.json", '{"0": "cat", "1": "no", "2": "3"}'),
        ("a.json", '{"cat": 0, "no": 1, "3": 2}'),
        ("config.json", '{"id2label": {"1": "no", "0": "cat", "2": "3"}, "model_type": "rt_detr"}'),
        ("a.json", '{"categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "no"}, {"id": 5, "name": "3"}]}'),
    ],
)
def test_names_are_read_as_trainings_write_them(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    assert labels.read(tmp_path / file) == ("cat", "no", "3")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("data.yaml", "names: [cat, cat]\n", "classes 0 and 1 are both 'cat'; name each class once, e.g. 'cat 2'"),
        ("data.yaml", "nc: 3\ntrain: x\n", "class 0 is None|no class names are under `names`"),
        ("data.yaml", "names: [cat\nnc: {", "it is no YAML"),
        ("a.json", '{"0": "cat", "2": "dog"}', "class 1 is None"),
        ("a.json", "[" * 100_000, "it is no JSON"),
        ("data.yaml", "names: " + "[" * 100_000, "it is no YAML"),
        ("a.json", '[["cat"]]', r"class 0 is None"),
    ],
)
def test_what_holds_no_names_is_refused(tmp_path: Path, file: str, content: str, message: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(ExportRefused, match=message) as caught:
        labels.read(tmp_path / file)
    assert len(str(caught.value)) < 500


def test_known_data_sets_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (len(labels.read(Path("coco"))), len(labels.read(Path("voc")))) == (80, 20)
    Path("coco").write_text("mine\n")
    assert labels.read(Path("coco")) == ("mine",)


def test_classes_may_be_called_by_numbers_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "digits.json").write_text('{"names": {"0": "1", "1": "2", "2": "0"}}')
    assert labels.read(tmp_path / "digits.json") == ("1", "2", "0")


def test_a_bomb_of_aliases_is_not_unfolded(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (tmp_path / "data.yaml").write_text("\n".join([*rows, "names: {0: *a29}"]))
    with pytest.raises(ExportRefused, match="class 0 is None"):
        labels.read(tmp_path / "data.yaml")
