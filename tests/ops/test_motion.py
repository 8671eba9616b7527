"""Motion: what moves is seen, noise and what stands is not, and light that changes is."""

import numpy as np
import pytest

from watchline.ops.motion import FINE, MEAN, WIDE, Background, size_of

SIZE = size_of(1280, 720)
STEP = 1 / 15  # seconds
CELLS = SIZE[0] * SIZE[1] // FINE**2


def street(seed=0):
    """(h, w) uint8: a wall of stones."""
    rng = np.random.default_rng(seed)
    stones = rng.integers(40, 200, (SIZE[1] // 12, SIZE[0] // 16))
    return np.kron(stones, np.ones((12, 16))).astype(np.uint8)


def noisy(picture, index, sigma=4):
    noise = np.random.default_rng(index).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def moves(pictures, background=None, step=STEP):
    background = background or Background()
    return [background.has_moved(picture, index * step) for index, picture in enumerate(pictures)]


def test_a_grid_has_the_picture_s_shape():
    assert size_of(1280, 720) == (FINE * WIDE, FINE * 90)
    assert size_of(768, 576) == (FINE * WIDE, FINE * 120)
    assert size_of(720, 1280) == (FINE * WIDE, FINE * 284)
    assert size_of(10_000, 1) == (FINE * WIDE, FINE)


def test_the_first_picture_is_all_new_and_noise_is_no_motion():
    assert moves(noisy(street(), index) for index in range(60)) == [True] + [False] * 59


def test_who_walks_is_seen_as_long_as_he_walks_and_the_mean_takes_in_who_stands():
    """A person of 16 x 36 pixels walks for two seconds, and stands for eight."""

    def at(index):
        picture, left = street().copy(), 40 + 2 * min(index, 30)
        picture[100:136, left : left + 16] = 230
        return noisy(picture, index)

    found = moves([street(), *map(at, range(150))])
    assert all(found[1:31])
    assert not any(found[-15:])


@pytest.mark.parametrize(("cells", "seen"), [(49, True), (50, True), (51, False), (66, False)])
def test_the_largest_piece_counts(cells, seen):
    """Two of 20 x 10 and 8 x 8 pixels: 50 and 16 cells, which do not hang together."""
    picture = np.full(SIZE[::-1], 100, np.uint8)
    moved = picture.copy()
    moved[20:30, 40:60] = moved[100:108, 200:208] = 180
    assert moves([picture, moved], Background(area=cells / CELLS))[1] is seen


@pytest.mark.parametrize("step", [1 / 30, 1 / 5])
def test_time_counts_and_not_frames(step):
    """Something stands in the picture: it becomes background after the same time at any rate."""
    picture = np.full(SIZE[::-1], 100, np.uint8)
    stands = picture.copy()
    stands[50:80, 50:80] = 160
    found = moves([picture] * 5 + [stands] * round(10 / step), step=step)[5:]
    until = step * found.index(False)
    assert until == pytest.approx(MEAN * np.log(60 / 12), abs=2 * step)


def test_light_that_changes_is_seen_until_it_is_usual():
    darker = (street() * 0.7).astype(np.uint8)
    found = moves([street()] * 15 + [darker] * 150)
    assert (found[14], found[15], found[-1]) == (False, True, False)


def test_what_does_not_count_is_not_seen():
    counts = np.ones((SIZE[1] // FINE, SIZE[0] // FINE), np.bool_)
    counts[:, :40] = False
    picture = np.full(SIZE[::-1], 100, np.uint8)
    left, right = picture.copy(), picture.copy()
    left[50:80, 20:50] = right[50:80, 120:150] = 200
    background = Background(counts=counts)
    assert [background.has_moved(p, 0) for p in (picture, left, picture, right)] == [True, False, False, True]


def test_a_clock_that_goes_back_does_no_harm():
    background = Background()
    assert [background.has_moved(street(), seconds) for seconds in (5, 3, 3, 9)] == [True, False, False, False]
