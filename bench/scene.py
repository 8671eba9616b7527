"""Is a change of the scene seen, and nothing else? Changes that are scripted from clips of fixed cameras.

    python bench/scene.py CLIP CLIP … [--rate 25] [--hours 1]

A CLIP is a video or a folder of photos (`--rate` of them per second). The pictures of a clip are played forwards and
backwards without end, ten per second, so that they never jump by themselves. Scripted are cuts and fades between two
clips, a camera that is turned (a crop of half the width moves by its own width), covered, and used with and without
light; and what is no change: somebody who passes so close that 40 % of the picture are covered for a while, a hand
before the lens, and the clips themselves, by the hour, as they are, with noise, with auto exposure that hunts, and
shaken by the wind.

A change is caught if three seconds after its end the watch compares with a picture that is nearer to the new scene than
to the old one. Prints tables, and what a look costs.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tables import Table, TableReport

from watchline.ops.scene import THUMBNAIL, Look, SceneWatch, difference, look
from watchline.streams.file import FileSource
from watchline.streams.frame import Image
from watchline.streams.photos import PhotosSource

SIZE = 256, 144  # width, height of the pictures that scripts are made of
STEP = 0.1  # seconds
CALM = 8.0  # seconds before and after a change
GRACE = 3.0  # seconds after its end in which it may be seen
OFFSETS = (0.0, 11.0, 23.0)  # seconds at which scripts begin in their clips
At = Callable[[float], Image]


@dataclass(frozen=True)
class Clip:
    """The pictures of a fixed camera, (144, 256, 3) uint8 BGR."""

    name: str
    pictures: list[Image]
    rate: float

    def at(self, seconds: float) -> Image:
        """The picture at a time; forwards and backwards without end."""
        index, last = int(seconds * self.rate), len(self.pictures) - 1
        return self.pictures[last - abs(index % (2 * last) - last)]


@dataclass(frozen=True)
class Script:
    """Pictures by time, and the changes of the scene in them, each from its begin to its end in seconds."""

    at: At
    seconds: float
    changes: tuple[tuple[float, float], ...] = ()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--rate", type=float, default=25, help="photos per second (default %(default)s)")
    parser.add_argument("--hours", type=float, default=1, help="of each clip as it is (default %(default)s)")
    options = parser.parse_args()
    clips = [_load(path, options.rate) for path in options.clips]
    report = TableReport(None)
    report.add(_changes(clips))
    report.add(_still(clips, options.hours * 3600))
    _print_cost(options.clips[0], clips)


def _load(path: Path, rate: float) -> Clip:
    with (PhotosSource((path,)) if path.is_dir() else FileSource(path)).open() as reader:
        pictures = [frame.picture.scaled(*SIZE) for frame in reader]
        return Clip(path.stem, pictures, rate if path.is_dir() else float(reader.about.rate or rate))


def _changes(clips: list[Clip]) -> Table:
    table = Table(
        "Scripted changes",
        ("change", "scripts", "changes", "caught", "s from its begin, median", "worst", "captions per change"),
    )
    for name, scripts in _scripts(clips):
        caught, delays, captions = 0, [], 0
        for script in scripts:
            seen = _seen(script)
            captions += len(seen)
            for begin, end in script.changes:
                mine = [(when, found) for when, found in seen if begin <= when <= end + GRACE]
                if mine and _is_of_the_new(mine[-1][1], script, begin, end):
                    caught += 1
                    delays.append(mine[0][0] - begin)
        changes = sum(len(script.changes) for script in scripts)
        table.add(
            name,
            len(scripts),
            changes,
            caught,
            statistics.median(delays) if delays else None,
            max(delays, default=None),
            captions / changes if changes else f"{captions} in {len(scripts)}",
        )
    return table


def _still(clips: list[Clip], seconds: float) -> Table:
    table = Table("Captions per hour where nothing changes", ("clip", "length, s", *(name for name, _ in DISTURBANCES)))
    for clip in clips:
        counts = [len(_seen(Script(disturb(clip.at), seconds))) / seconds * 3600 for _, disturb in DISTURBANCES]
        table.add(clip.name, len(clip.pictures) / clip.rate, *counts)
    return table


def _is_of_the_new(found: Look, script: Script, begin: float, end: float) -> bool:
    before, after = _look(script.at(begin - STEP)), _look(script.at(end + GRACE))
    return difference(found, after) < difference(found, before)


def _seen(script: Script) -> list[tuple[float, Look]]:
    """The changes that a watch sees, but for the first picture, and what it saw then."""
    watch, seen = SceneWatch(), []
    for index in range(round(script.seconds / STEP)):
        seconds = index * STEP
        picture = _thumbnail(script.at(seconds))
        if watch.changed(picture, seconds) and index:
            seen.append((seconds, look(picture)))
    return seen


def _thumbnail(picture: Image) -> Image:
    return np.asarray(cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_LINEAR), np.uint8)


def _look(picture: Image) -> Look:
    return look(_thumbnail(picture))


def _scripts(clips: list[Clip]) -> Iterator[tuple[str, list[Script]]]:
    pairs = [
        (_from(one, offset), _from(other, offset + 5))
        for one, other in itertools.permutations(clips, 2)
        for offset in OFFSETS
    ]
    alone = [_from(clip, offset) for clip in clips for offset in OFFSETS]
    for name, length in (("cut", 0.0), ("fade of 1 s", 1.0), ("fade of 3 s", 3.0)):
        yield name, [_faded(one, other, length) for one, other in pairs]
    for length in (1.0, 4.0, 15.0, 60.0):
        yield f"camera turned in {length:.0f} s", [_turned(at, length) for at in alone]
    yield "camera covered, and again free", [_twice(at, _cloth) for at in alone]
    yield "light off, and on", [_twice(at, _darkened) for at in alone]
    yield "none: somebody passes close by in 2 s", [_passed(one, other, 2.0) for one, other in pairs]
    yield "none: in 4 s", [_passed(one, other, 4.0) for one, other in pairs]
    yield "none: a hand before the lens for 0.6 s", [_twice(at, _cloth, 0.6, counts=False) for at in alone]


def _from(clip: Clip, offset: float) -> At:
    return lambda seconds: clip.at(seconds + offset)


def _faded(one: At, other: At, length: float) -> Script:
    def at(seconds: float) -> Image:
        part = (seconds - CALM) / length if length else float(seconds >= CALM)
        return _blend(one, other, seconds, float(np.clip(part, 0, 1)))

    return Script(at, 2 * CALM + length, ((CALM, CALM + length),))


def _blend(one: At, other: At, seconds: float, part: float) -> Image:
    if part in (0, 1):
        return other(seconds) if part else one(seconds)
    return np.asarray(cv2.addWeighted(one(seconds), 1 - part, other(seconds), part, 0), np.uint8)


def _turned(camera: At, length: float) -> Script:
    half = SIZE[0] // 2

    def at(seconds: float) -> Image:
        x = round(half * float(np.clip((seconds - CALM) / length, 0, 1)))
        return camera(seconds)[:, x : x + half]

    return Script(at, 2 * CALM + length, ((CALM, CALM + length),))


def _twice(camera: At, change: Callable[[Image, float], Image], length: float = CALM, counts: bool = True) -> Script:
    """What a change makes of the pictures for some seconds, in 0.2 s there and back."""
    ramp, end = 0.2, CALM + length

    def at(seconds: float) -> Image:
        part = np.clip(min((seconds - CALM) / ramp, (end + ramp - seconds) / ramp), 0, 1)
        if part == 0:
            return camera(seconds)
        return _blend(camera, lambda when: change(camera(when), when), seconds, float(part))

    return Script(at, end + CALM, ((CALM, CALM + ramp), (end, end + ramp)) if counts else ())


def _cloth(picture: Image, seconds: float) -> Image:
    """Something before the lens: dark, without structure, with the sensor's noise."""
    light = cv2.GaussianBlur(picture, (0, 0), 40).astype(np.float32) * 0.08 + 8
    return _noisy(light, seconds, 3)


def _darkened(picture: Image, seconds: float) -> Image:
    return _noisy(picture.astype(np.float32) * 0.15, seconds, 3)


def _passed(camera: At, other: At, length: float) -> Script:
    """A part of another clip, 40 % of the width and as high as the picture, passes from left to right."""
    width = SIZE[0]
    wide = int(width * 0.4)

    def at(seconds: float) -> Image:
        picture = camera(seconds).copy()
        x = round((seconds - CALM) / length * (width + wide)) - wide
        left, right = max(x, 0), min(x + wide, width)
        if left < right:
            picture[:, left:right] = other(0)[:, left - x : right - x]
        return picture

    return Script(at, 2 * CALM + length)


def _noisy(picture: Image, seconds: float, sigma: float) -> Image:
    noise = np.random.default_rng(round(seconds / STEP)).normal(0, sigma, picture.shape)
    return np.asarray(np.clip(picture + noise, 0, 255), np.uint8)


def _with_noise(camera: At) -> At:
    fields = [np.random.default_rng(seed).normal(0, 12, (SIZE[1], SIZE[0], 3)) for seed in range(7)]

    def at(seconds: float) -> Image:
        return np.asarray(np.clip(camera(seconds) + fields[round(seconds / STEP) % 7], 0, 255), np.uint8)

    return at


def _with_exposure(camera: At) -> At:
    """A slow swing of 30 %, and steps of 20 % every few seconds."""

    def at(seconds: float) -> Image:
        gain = (1 + 0.3 * np.sin(2 * np.pi * seconds / 20)) * (1.2 if seconds % 7 < 3 else 1)
        return np.asarray(cv2.convertScaleAbs(camera(seconds), alpha=gain), np.uint8)

    return at


def _shaken(camera: At) -> At:
    """By up to 1.2 % of the width each way."""
    steps = np.random.default_rng(0).integers(-3, 4, (997, 2))

    def at(seconds: float) -> Image:
        x, y = steps[round(seconds / STEP) % 997]
        return camera(seconds)[3 + y : SIZE[1] - 3 + y, 3 + x : SIZE[0] - 3 + x]

    return at


DISTURBANCES: tuple[tuple[str, Callable[[At], At]], ...] = (
    ("as it is", lambda camera: camera),
    ("noise", _with_noise),
    ("auto exposure", _with_exposure),
    ("shaken", _shaken),
)


def _print_cost(path: Path, clips: list[Clip]) -> None:
    with (PhotosSource((path,)) if path.is_dir() else FileSource(path)).open() as reader:
        frames = [frame for frame, _ in zip(reader, range(100), strict=False)]
    watch = SceneWatch()
    watch.settle(_thumbnail(clips[-1].at(0)))
    scaling, watching = [], []
    for frame in frames:
        start = time.perf_counter()
        thumbnail = frame.picture.scaled(*THUMBNAIL)
        middle = time.perf_counter()
        watch.changed(thumbnail, frame.seconds)
        scaling.append(middle - start)
        watching.append(time.perf_counter() - middle)
    size = f"{frames[0].width} x {frames[0].height}"
    print(
        f"median of {len(frames)} frames of {path.name}, {size}: scaled in {statistics.median(scaling) * 1e3:.3f} ms, "
        f"watched in {statistics.median(watching) * 1e3:.3f} ms"
    )


if __name__ == "__main__":
    main()
