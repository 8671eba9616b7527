"""People who walk through a picture, with a detector that misses some, jitters, and sees some who are not there."""

import numpy as np

from watchline.ops.detections import Detections
from watchline.ops.track_scores import Tracked

WIDTH, HEIGHT = 768, 576


class Walk:
    """Args: seed; rate, frames per second; people, who walk in from a side, stop for a while, turn a little, and leave.

    Attributes:
        rate: as given.
    """

    def __init__(self, seed=0, rate=10, people=14):
        rng = np.random.default_rng(seed)
        self.rate, self.seed = rate, seed
        self._begin = rng.uniform(0, 20, people)
        self._height = rng.uniform(60, 120, people)
        self._lane = rng.uniform(180, HEIGHT - 10, people)
        self._speed = self._height * rng.uniform(0.5, 0.9, people) * rng.choice([-1, 1], people)
        self._drift = rng.uniform(-12, 12, people)
        self._pause = rng.uniform(1, 6, people), rng.uniform(0, 3, people)  # when, after it began, and for how long

    def at(self, index):
        """Who is in the picture at a frame: the true tracks."""
        age = index / self.rate - self._begin
        at, long = self._pause
        walked = np.where(age < at, age, np.maximum(at, age - long))
        x = np.where(self._speed > 0, 0, WIDTH) + self._speed * walked
        feet, half = self._lane + self._drift * walked, self._height * 0.2
        there = (age >= 0) & (x > 0) & (x < WIDTH) & (feet < HEIGHT + 20)
        boxes = np.stack([x - half, feet - self._height, x + half, feet], axis=1).astype(np.float32)
        return Tracked(np.flatnonzero(there).astype(np.int64), boxes[there])


def detections(walk, index, missed, moved, false):
    """What a detector sees. Args: share missed; standard deviation of every edge, in pixels; false boxes a frame."""
    rng = np.random.default_rng((walk.seed, index))
    boxes = walk.at(index).boxes
    boxes = boxes[rng.random(len(boxes)) >= missed]
    boxes = boxes + rng.normal(0, moved, boxes.shape)
    many = rng.poisson(false)
    corner, size = rng.uniform(0, (WIDTH - 50, HEIGHT - 100), (many, 2)), rng.uniform((20, 60), (50, 100), (many, 2))
    boxes = np.concatenate([boxes, np.concatenate([corner, corner + size], axis=1)]).astype(np.float32)
    scores = rng.uniform(0.7, 0.95, len(boxes)).astype(np.float32)
    return Detections(boxes, scores, np.zeros(len(boxes), np.int64), ("person",))
