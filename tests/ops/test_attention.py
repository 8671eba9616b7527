import numpy as np
import pytest

from watchline.ops.attention import GAP, STRIP, attention_picture

PHOTO = np.full((120, 240, 3), 200, np.uint8)


def looks(count: int) -> np.ndarray:
    """Each word looks at one place of a 4 x 4 grid: the first at the top left, the second right of it, and so on."""
    return np.eye(16, dtype=np.float32)[:count].reshape(count, 4, 4)


def test_each_word_has_a_tile_that_is_light_where_it_looked():
    sheet = attention_picture(PHOTO, ["a", "dog"], looks(5))
    tile = (120 + STRIP, 240)
    assert sheet.shape == (tile[0] + 2 * GAP, 3 * tile[1] + 4 * GAP, 3)
    first, second = (sheet[GAP : GAP + 120, GAP + i * (240 + GAP) :][:, :240].mean(axis=2) for i in (1, 2))
    plain = sheet[GAP : GAP + 120, GAP : GAP + 240]
    assert (plain == 200).all()
    assert first[10, 10] > 190
    assert first[100, 200] == pytest.approx(50, abs=1)
    assert second.argmax() % 240 in range(60, 120)


def test_words_are_written_below_and_rows_are_filled():
    sheet = attention_picture(PHOTO, ["a", "dog", "extraordinarily-long-hyphenated-word"], looks(3), columns=2)
    height = 120 + STRIP
    assert sheet.shape == (2 * height + 3 * GAP, 2 * 240 + 3 * GAP, 3)
    strips = [
        sheet[GAP + r * (height + GAP) + 120 :][:STRIP, GAP + c * (240 + GAP) :][:, :240] for r, c in np.ndindex(2, 2)
    ]
    assert [bool((strip < 100).any()) for strip in strips] == [False, True, True, True]


def test_tall_and_tiny_photos_are_shown():
    assert attention_picture(np.zeros((400, 2, 3), np.uint8), ["a"], looks(1)).shape[0] == 240 + STRIP + 2 * GAP


@pytest.mark.parametrize(
    ("photo", "words", "maps"),
    [
        (PHOTO[..., 0], ["a"], looks(1)),
        (PHOTO[:0], ["a"], looks(1)),
        (PHOTO, ["a", "dog"], looks(1)),
        (PHOTO, [], looks(1)[0]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(photo, words, maps):
    with pytest.raises(ValueError, match="expected"):
        attention_picture(photo, words, maps)
