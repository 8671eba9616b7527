"""docs/files.md tells of every file, and of no other."""

from file_list import ROOT, page


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "files.md").read_text() == page(), "python tests/file_list.py writes it anew"
