import numpy as np
import pytest
from pictures import picture

from watchline.models.errors import DatasetError
from watchline.train import pack


def test_what_was_packed_is_read_again_and_parts_keep_their_limit(tmp_path):
    pictures = [
        picture(i, boxes=[(1, 2, 30 + i, 40)] * (i % 3), opened=[i % 20], often=0.5, squashed=0.1) for i in range(12)
    ]
    most = 3 * max(len(p.jpeg) for p in pictures) + 8192
    files = list(pack.write(pictures, tmp_path / "parts", most))
    assert len(files) > 2
    assert all(f.stat().st_size <= most for f in files)
    again = pack.read(files)
    assert len(again) == 12
    for a, b in zip(pictures, again, strict=True):
        for name in ("jpeg", "boxes", "classes", "sure", "ignore", "open"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
        assert (b.group, b.often) == (a.group, a.often)
        assert b.squashed == pytest.approx(0.1)


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_what_is_no_part_is_named(content, tmp_path):
    file = tmp_path / "part-00.npz"
    if content:
        file.write_bytes(content)
    with pytest.raises(DatasetError, match="is missing, or not a file of"):
        pack.read([file])
