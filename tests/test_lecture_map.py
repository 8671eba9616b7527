"""docs/lecture.md says where each topic of the lecture is built: every row leads to something that is there."""

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = re.findall(r"`([\w/]+)\.py::([\w.]+)`", (ROOT / "docs/lecture.md").read_text())


def test_the_map_is_read() -> None:
    assert ("ops/boxes", "iou") in PLACES


@pytest.mark.parametrize(("file", "name"), sorted(set(PLACES)), ids="::".join)
def test_a_row_leads_to_documented_code(file: str, name: str) -> None:
    found = import_module(f"watchline.{file.removeprefix('watchline/').replace('/', '.')}")
    for part in name.split("."):
        found = getattr(found, part)
    assert (found.__doc__ or "").strip(), f"{file}.py::{name} says nothing of itself"
