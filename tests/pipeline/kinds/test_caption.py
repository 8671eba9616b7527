"""Captions as another process may send them: what is no caption is a ValueError."""

import pytest

from watchline.pipeline.kinds.caption import CAPTION, LONGEST, Caption

FINE = {"text": "a dog", "score": -3.5, "frame": 7, "seconds": 0.28}


def test_a_caption_is_the_same_again_after_it_was_sent():
    for more in ({}, {"age": 1.5}, {"box": (1.0, 2.0, 3.0, 4.5)}):
        caption = Caption(**FINE, **more)
        assert CAPTION.unpacked(*CAPTION.packed(caption)) == caption


@pytest.mark.parametrize(
    "wrong",
    [
        {"text": None},
        {"text": "a" * (LONGEST + 1)},
        {"score": 0.5},
        {"score": float("nan")},
        {"score": -(10**400)},
        {"score": "high"},
        {"frame": -1},
        {"frame": 10**400},
        {"frame": "x"},
        {"frame": None},
        {"seconds": float("inf")},
        {"seconds": [1]},
        {"age": -0.1},
        {"age": "old"},
        {"box": (1, 2, 3)},
        {"box": (1, 2, 3, 10**400)},
        {"box": (1, 2, 3, None)},
    ],
)
def test_what_is_no_caption(wrong):
    with pytest.raises(ValueError, match="caption"):
        Caption(**(FINE | wrong))
    words = {"age": None, "box": None} | FINE | wrong
    with pytest.raises(ValueError, match="caption"):
        CAPTION.unpacked({"words": words, "arrays": []}, ())
