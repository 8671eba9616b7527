import numpy as np
import pytest
from pictures import picture

from watchline.train.pictures import MOST, repeat_factors, weights

SHARES = (0.5, 0.2, 0.1)


def test_common_classes_count_once_and_rare_ones_by_the_root():
    classes = [{1}] * 98 + [{1, 2}] * 2  # class 2 is in 2 % of the pictures
    factors = repeat_factors(classes)
    assert factors[:98] == pytest.approx(1)
    assert factors[98:] == pytest.approx((0.2 / 0.02) ** 0.5)


def test_the_rarest_is_bounded_and_empty_pictures_count_once():
    factors = repeat_factors([set()] * 9999 + [{3}])
    assert factors[0] == 1
    assert factors[-1] == MOST


def test_groups_have_their_shares_and_inside_them_some_are_drawn_more_often():
    pictures = [
        picture(boxes=(), group=g, often=o, share=SHARES[g]) for g, o in ((0, 1), (0, 3), (1, 1), (1, 1), (2, 1))
    ]
    chances = weights(pictures)
    assert chances.sum() == pytest.approx(1)
    assert [chances[:2].sum(), chances[2:4].sum(), chances[4]] == pytest.approx(np.array(SHARES) / 0.8)
    assert chances[1] == pytest.approx(3 * chances[0])


def test_a_group_without_pictures_leaves_its_share_to_the_others():
    chances = weights([picture(boxes=(), group=g, share=SHARES[g]) for g in (0, 2)])
    assert chances == pytest.approx(np.array([SHARES[0], SHARES[2]]) / (SHARES[0] + SHARES[2]))
