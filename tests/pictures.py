"""Labelled pictures of coloured blots, in the form for training."""

import cv2
import numpy as np

from watchline.train.pictures import LabelledPicture


def picture(seed=0, height=60, width=80, boxes=((10, 20, 50, 45),), opened=(), classes=20, **more):
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    return LabelledPicture(
        cv2.imencode(".jpg", image)[1].reshape(-1),
        boxes,
        np.arange(count) % classes,
        np.full(count, 0.5, np.float32),
        np.zeros(count, bool),
        np.isin(np.arange(classes), opened),
        **{"group": 0, **more},
    )
