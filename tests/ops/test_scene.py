"""Changes of the scene: the score against a loop; scripted changes of synthetic pictures, seen once or not at all."""

import time
from functools import cache

import cv2
import numpy as np
import pytest

from watchline.ops.scene import GRID, LEAST_WEIGHT, NOISE, THUMBNAIL, SceneWatch, difference, look

WIDTH, HEIGHT = THUMBNAIL
STEP = 0.1  # seconds


@cache
def scene(seed: int, width: int = WIDTH):
    """Blobs of all sizes, as a street has them: (72, width) uint8."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT, width))
    blobs = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 5, 12))
    return np.asarray(np.clip(110 + 45 * blobs / blobs.std(), 0, 255), np.uint8)


def with_noise(picture, index: int, sigma: float = 4):
    noise = np.random.default_rng(index).normal(0, sigma, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def changes(at, seconds: float, watch: SceneWatch | None = None) -> list[float]:
    """When a watch sees a change in the pictures `at(seconds)`; without the first picture."""
    watch = watch or SceneWatch()
    times = np.arange(0, seconds, STEP)
    seen = [float(when) for index, when in enumerate(times) if watch.changed(with_noise(at(when), index), when)]
    assert seen[0] == 0
    return seen[1:]


def difference_by_loops(one, other) -> float:
    """The definition, place by place."""
    a, b = (np.pad(cv2.resize(p, GRID, interpolation=cv2.INTER_AREA).astype(float), 2, "reflect") for p in (one, other))
    apart = whole = 0.0
    for y in range(GRID[1]):
        for x in range(GRID[0]):
            p, q = a[y : y + 5, x : x + 5], b[y : y + 5, x : x + 5]
            apart += np.var(p - q) / (np.var(p) + np.var(q) + NOISE)
            whole += max((np.var(p) + np.var(q)) / (np.var(p) + np.var(q) + NOISE), LEAST_WEIGHT)
    light = abs(np.log2(a[2:-2, 2:-2].mean() + 16) - np.log2(b[2:-2, 2:-2].mean() + 16)) / 2
    return max(apart / whole, light)


@pytest.mark.parametrize("other", [scene(1), scene(0), scene(0) // 5, np.full((HEIGHT, WIDTH), 9, np.uint8)])
def test_the_score_is_its_definition(other):
    assert difference(look(scene(0)), look(other)) == pytest.approx(difference_by_loops(scene(0), other), abs=1e-3)


def test_the_score_of_what_is_known():
    one, other = look(scene(0)), look(scene(1))
    assert difference(one, one) == 0
    assert difference(one, other) == difference(other, one) > 0.8
    assert difference(one, look(with_noise(scene(0), 0, 12))) < 0.1
    brighter = cv2.convertScaleAbs(scene(0), alpha=1.4)
    assert difference(one, look(brighter)) < 0.3
    assert difference(one, look(cv2.cvtColor(scene(0), cv2.COLOR_GRAY2BGR))) == 0


def test_nothing_is_seen_in_the_dark():
    dark = np.full((HEIGHT, WIDTH, 3), 6, np.uint8)
    assert changes(lambda _: dark, 20) == []


def test_a_cut_is_one_change_as_soon_as_it_stays():
    (seen,) = changes(lambda when: scene(0 if when < 5 else 1), 15)
    assert seen == pytest.approx(6, abs=0.11)


def test_a_cut_back_is_a_change_too():
    assert len(changes(lambda when: scene(int(5 <= when < 10)), 15)) == 2


@pytest.mark.parametrize("length", [1.0, 3.0])
def test_a_fade_is_one_change_and_ends_in_the_new_scene(length):
    def at(when):
        part = float(np.clip((when - 5) / length, 0, 1))
        return cv2.addWeighted(scene(0), 1 - part, scene(1), part, 0)

    watch = SceneWatch()
    assert len(changes(at, 15, watch)) == 1
    assert not watch.changed(scene(1), 15)


@pytest.mark.parametrize("length", [1.0, 60.0])
def test_a_camera_that_is_turned_ends_in_the_new_scene(length):
    street = scene(2, 2 * WIDTH)

    def at(when):
        x = round(WIDTH * float(np.clip((when - 5) / length, 0, 1)))
        return street[:, x : x + WIDTH]

    seen = changes(at, length + 15)
    assert 5 < seen[-1] < 5 + length + 3
    assert len(seen) == 1 or length > 10


def test_a_camera_that_is_covered_and_light_that_is_switched():
    cover = np.full((HEIGHT, WIDTH), 12, np.uint8)
    assert len(changes(lambda when: cover if 5 <= when < 12 else scene(0), 20)) == 2
    assert len(changes(lambda when: scene(0) // 7 if 5 <= when < 12 else scene(0), 20)) == 2
    wall = cv2.convertScaleAbs(scene(0), alpha=0.05, beta=120)  # no structure: the light alone tells
    assert len(changes(lambda when: wall // 7 if 5 <= when < 12 else wall, 20)) == 2


def test_what_passes_is_no_change():
    def at(when):
        picture = scene(0).copy()
        x = round((when % 10 - 3) / 2 * (WIDTH + 50)) - 50  # 40 % of the width, in 2 s
        left, right = max(x, 0), min(x + 50, WIDTH)
        if left < right:
            picture[:, left:right] = scene(1)[:, left - x : right - x]
        return picture

    assert changes(at, 40) == []
    cover = np.full((HEIGHT, WIDTH), 12, np.uint8)
    assert changes(lambda when: cover if when % 5 < 0.7 and when > 1 else scene(0), 40) == []


def test_auto_exposure_is_no_change():
    def at(when):
        return cv2.convertScaleAbs(scene(0), alpha=(1 + 0.3 * np.sin(when / 3)) * (1.2 if when % 7 < 3 else 1))

    assert changes(at, 60) == []


def test_what_never_rests_is_a_change_now_and_then():
    street = scene(3, 40 * WIDTH)
    seen = changes(lambda when: street[:, round(when * 150) : round(when * 150) + WIDTH], 30)
    assert np.diff(seen) == pytest.approx(3, abs=0.5)


def test_what_was_described_for_another_reason_is_the_scene():
    watch = SceneWatch()
    assert watch.changed(scene(0), 0)
    watch.settle(scene(1))
    assert not any(watch.changed(scene(1), when) for when in (1, 3, 5))


def test_few_pictures_are_enough():
    watch = SceneWatch()
    assert [watch.changed(scene(int(when >= 10)), when) for when in (0, 5, 10, 15, 20)] == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_it_costs_next_to_nothing():
    watch, picture = SceneWatch(), cv2.cvtColor(scene(0), cv2.COLOR_GRAY2BGR)
    took = []
    for index in range(50):
        start = time.thread_time()
        watch.changed(picture, index)
        took.append(time.thread_time() - start)
    assert min(took) < 1e-3  # 0.1 ms; a busy machine is slower
