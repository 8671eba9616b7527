"""A tiny YOLOv2 as Darknet files: four convolutions with random weights, which find some boxes of three classes."""

from pathlib import Path

import numpy as np

LAYERS = ((8, 2), (16, 2), (16, 2))  # filters and stride, with batch normalisation and leaky ReLU
CLASSES, ANCHORS = 3, "1.0,1.0, 2.5,2.0"
SIDE = 64

CFG = "[net]\nwidth={side}\nheight={side}\nchannels=3\n"
LAYER = "[convolutional]\nbatch_normalize=1\nfilters={filters}\nsize=3\nstride={stride}\npad=1\nactivation=leaky\n"
LAST = "[convolutional]\nfilters={filters}\nsize=1\nstride=1\npad=1\nactivation=linear\n"
REGION = "[region]\nanchors={anchors}\nclasses={classes}\ncoords=4\nnum=2\nsoftmax=1\n"


def write(folder: Path, seed: int = 0) -> list[Path]:
    """Write the .cfg and the .weights. Returns their paths."""
    rng = np.random.default_rng(seed)
    rows = 2 * (5 + CLASSES)
    text = CFG.format(side=SIDE)
    numbers: list[np.ndarray] = []
    channels = 3
    for filters, stride in LAYERS:
        text += LAYER.format(filters=filters, stride=stride)
        numbers += [rng.normal(0, 0.3, filters), rng.uniform(0.7, 1.3, filters)]  # bias, scale
        numbers += [rng.normal(0, 0.3, filters), rng.uniform(0.3, 1, filters)]  # mean, variance
        numbers.append(rng.normal(0, (2 / (9 * channels)) ** 0.5, filters * channels * 9))
        channels = filters
    text += LAST.format(filters=rows) + REGION.format(anchors=ANCHORS, classes=CLASSES)
    numbers += [rng.normal(0, 0.5, rows), rng.normal(0, 0.6, rows * channels)]
    cfg, weights = folder / "net.cfg", folder / "net.weights"
    cfg.write_text(text)
    header = np.array([0, 2, 0], np.int32).tobytes() + np.array([0], np.int64).tobytes()
    weights.write_bytes(header + np.concatenate(numbers).astype(np.float32).tobytes())
    return [cfg, weights]
