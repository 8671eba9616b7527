"""Dimension priors: the clusters that are there are found, by 1 - IoU and not by distance."""

import numpy as np
import pytest
import reference

from watchline.ops.priors import dimension_priors, size_iou


def test_size_iou_is_iou_of_boxes_on_one_another():
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(1, 50, (n, 2)).astype(np.float32) for n in (9, 4))
    expected = [[reference.iou([0, 0, *p], [0, 0, *q]) for q in b.tolist()] for p in a.tolist()]
    np.testing.assert_allclose(size_iou(a, b), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_finds_the_clusters_smallest_first(seed):
    rng = np.random.default_rng(seed)
    truth = np.array([[10, 30], [60, 60], [200, 80]])
    sizes = (np.repeat(truth, 80, axis=0) * rng.uniform(0.9, 1.1, (240, 2))).astype(np.float32)
    found = [dimension_priors(sizes, 3, seed=k) for k in range(5)]
    best = max(found, key=lambda priors: size_iou(sizes, priors).max(1).mean())  # k-means may end in a local optimum
    np.testing.assert_allclose(best, truth, rtol=0.05)


def test_every_prior_is_the_median_of_its_boxes():
    sizes = np.random.default_rng(1).lognormal(3, 0.7, (400, 2)).astype(np.float32)
    priors = dimension_priors(sizes, 5)
    nearest = size_iou(sizes, priors).argmax(1)
    for k, prior in enumerate(priors):
        np.testing.assert_allclose(prior, np.median(sizes[nearest == k], axis=0), rtol=1e-5)
    assert (np.diff(priors.prod(1)) > 0).all()


def test_the_seed_decides():
    sizes = np.random.default_rng(2).lognormal(3, 0.7, (300, 2)).astype(np.float32)
    np.testing.assert_array_equal(dimension_priors(sizes, 6, seed=3), dimension_priors(sizes, 6, seed=3))


def test_as_many_priors_as_boxes_are_the_boxes():
    sizes = np.array([[5, 5], [10, 20], [40, 9]], np.float32)
    np.testing.assert_array_equal(dimension_priors(sizes, 3), sizes[np.argsort(sizes.prod(1))])


@pytest.mark.parametrize(("sizes", "count"), [([[1, 2]], 2), ([[1, 2], [0, 3]], 1), ([[1, 2]], 0), ([], 1)])
def test_sizes_that_give_no_priors_are_refused(sizes, count):
    with pytest.raises(ValueError, match="expected at least as many boxes as priors"):
        dimension_priors(np.array(sizes, np.float32).reshape(-1, 2), count)
