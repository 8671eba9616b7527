"""The recipe of sliding-window segmentation: windows of street scenes, and the classes of their central pixels.

Pictures are halved, so that a window of 67 pixels shows 134 of them. For every second window, the class of the central
pixel is drawn first, and a picture that has it is looked for; the others are drawn anywhere.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from watchline.models.efficientnet_lite import normalise
from watchline.models.sliding_window import WINDOW, WindowNet
from watchline.ops.camvid import CAMVID, VOID
from watchline.train.camvid import Scene

HALF = WINDOW // 2
BATCH = 64  # windows per step
RATE = 2e-3  # of Adam, falling linearly to 0


def halved(scene: Scene) -> Scene:
    """The scene at half of its size; each pixel has the class of one of its four."""
    image = cv2.resize(scene.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Scene(scene.name, np.asarray(image, np.uint8), scene.classes[::2, ::2])


def tensor_of(scene: Scene) -> Tensor:
    """(3, H, W) RGB, normalised."""
    return normalise(torch.from_numpy(scene.image[..., ::-1].transpose(2, 0, 1).copy()))


def windows_of(scenes: Sequence[Scene], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Random windows (count, 3, 67, 67), half of them mirrored, and the classes of their central pixels (count,)."""
    windows: list[NDArray[np.uint8]] = []
    classes: list[int] = []
    while len(windows) < count:
        scene = scenes[int(rng.integers(len(scenes)))]
        wanted = scene.classes != VOID if len(windows) % 2 else scene.classes == rng.integers(len(CAMVID))
        places = np.argwhere(wanted)
        if not len(places):
            continue
        y, x = places[rng.integers(len(places))]
        window = window_at(scene.image, int(y), int(x))
        windows.append(window[:, ::-1] if rng.random() < 0.5 else window)
        classes.append(int(scene.classes[y, x]))
    rgb = np.stack(windows)[..., ::-1].transpose(0, 3, 1, 2)
    return normalise(torch.from_numpy(rgb.copy())), torch.tensor(classes)


def window_at(image: NDArray[np.uint8], y: int, x: int) -> NDArray[np.uint8]:
    """The window around a pixel; beyond the picture it mirrors it, as `sliding_window.framed` does."""
    height, width = image.shape[:2]
    rows = np.arange(y - HALF, y + HALF + 1)
    columns = np.arange(x - HALF, x + HALF + 1)
    return image[_mirrored(rows, height)][:, _mirrored(columns, width)]


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices within 0..size - 1, mirrored at both ends without repeating the edge."""
    index = np.abs(index)
    return np.where(index >= size, 2 * size - 2 - index, index)


def train(scenes: Sequence[Scene], steps: int, seed: int = 0) -> Iterator[tuple[WindowNet, float]]:
    """Train a window classifier. Yields it and its loss, after each step."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    small = [halved(scene) for scene in scenes]
    model = WindowNet(len(CAMVID))
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        windows, classes = windows_of(small, BATCH, rng)
        loss = F.cross_entropy(model.train()(windows).flatten(1), classes)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield model, float(loss.detach())
