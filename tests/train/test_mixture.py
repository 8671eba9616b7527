import numpy as np
import pytest

from watchline.train.datasets import Sample
from watchline.train.mixture import MOST, SHARES, Mixture, repeat_factors


def picture(*classes, ignore=False):
    return Sample(
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((len(classes), 4), np.float32),
        np.array(classes, np.int64),
        np.full(len(classes), ignore),
    )


def test_common_classes_count_once_and_rare_ones_by_the_root():
    classes = [{1}] * 98 + [{1, 2}] * 2  # class 2 is in 2 % of the pictures
    factors = repeat_factors(classes)
    assert factors[:98] == pytest.approx(1)
    assert factors[98:] == pytest.approx((0.2 / 0.02) ** 0.5)


def test_the_rarest_is_bounded_and_empty_pictures_count_once():
    factors = repeat_factors([set()] * 9999 + [{3}])
    assert factors[0] == 1
    assert factors[-1] == MOST


def test_groups_are_drawn_by_their_shares_and_pictures_by_their_factors():
    common, rare, empty = picture(14), picture(1), picture()
    data = Mixture([common] * 99 + [rare], [empty] * 5, [picture(2, ignore=True)] * 7)
    rng = np.random.default_rng(0)
    drawn = [data.draw(rng) for _ in range(4000)]
    shares = [np.mean([any(d is s for s in group) for d in drawn]) for group in data.groups]
    assert shares == pytest.approx(SHARES, abs=0.03)
    photos = [d for d in drawn if d is common or d is rare]
    factor = repeat_factors([{14}] * 99 + [{1}] + [set()] * 12)[99]
    assert np.mean([d is rare for d in photos]) == pytest.approx(factor / (99 + factor), abs=0.02)
