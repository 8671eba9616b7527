"""Labels cover no other text, and other boxes as little as they can."""

import numpy as np
import pytest

from watchline.ops.labels import places

W, H = 320, 180


def shared(a, b) -> int:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0)


@pytest.mark.parametrize("seed", range(30))
def test_labels_are_whole_and_cover_no_text(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, [W - 10, H - 10], (25, 2))
    boxes = np.concatenate([corners, np.minimum(corners + rng.integers(5, 90, (25, 2)), [W, H])], axis=1).tolist()
    sizes = [tuple(size) for size in rng.integers([20, 12], [90, 17], (25, 2)).tolist()]
    corner = (0, 0, 150, 17)
    found = places(sizes, boxes, [corner], W, H)
    placed = [(place, size) for place, size in zip(found, sizes, strict=True) if place is not None]
    texts = [corner, *((x, y, x + w, y + h) for (x, y), (w, h) in placed)]
    assert len(texts) > 12
    assert all(0 <= x1 and 0 <= y1 and x2 <= W and y2 <= H for x1, y1, x2, y2 in texts)
    assert not any(shared(a, b) for n, a in enumerate(texts) for b in texts[:n])


def test_the_best_has_the_usual_place_and_the_others_give_way():
    box = [100, 60, 200, 120]
    found = places([(50, 15)] * 5, [box] * 5, [], W, H)
    assert found[0] == (100, 45)  # above it
    assert found[1] == (150, 45)  # above it at its right edge
    assert set(found[2:4]) == {(100, 120), (150, 120)}  # below it
    assert found[4] == (100, 60)  # inside it
    assert places([(50, 15)], [box], [(0, 0, W, H)], W, H) == [None]


def test_a_label_covers_no_other_box_if_it_can_help_it():
    above, below = [100, 20, 200, 58], [100, 122, 200, 170]
    box = [100, 60, 200, 120]
    assert places([(50, 15)], [box], [], W, H) == [(100, 45)]
    assert places([(50, 15)] * 2, [box, above], [], W, H) == [(100, 120), (100, 5)]
    assert places([(50, 3)] * 3, [box, above, below], [], W, H)[0] == (100, 57)
