"""Sliding-window segmentation against one pass: equal class maps, and what each costs.

    python bench/sliding_window.py --data CAMVID --net window.pt --steps 1200 --every 4

Trains a small window classifier on CamVid's train pictures (`train/windows.py`), unless it is there already. Then it
segments test pictures twice, at every sixteenth pixel: window after window, and with the same network fully
convolutional. Then the segmenter that ships does it, at the same pixels. Times are the processor's, of one core, so a
busy machine changes them little.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from watchline.models.sliding_window import STRIDE, WindowNet, at_once, by_windows
from watchline.ops.camvid import CAMVID
from watchline.ops.mean_iou import confusion, mean_iou
from watchline.pipeline.stages.modelled import Engines
from watchline.pipeline.stages.segmenter import Segmenter
from watchline.streams.frame import ArrayPicture
from watchline.train import camvid, checkpoint
from watchline.train.camvid import Scene
from watchline.train.windows import halved, tensor_of, train

Maps = list[NDArray[np.uint8]]
EVERY = 2 * STRIDE  # pixels of the picture between those that are classified


def main() -> None:
    """Train, run each way, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", type=Path, required=True, help="the classifier's file")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--every", type=int, default=4, help="every n-th test picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = classifier(options)
    scenes = camvid.read(options.data, "test")[:: options.every]
    pictures = [tensor_of(halved(scene)) for scene in scenes]
    model.requires_grad_(False)
    slow, fast = ([way(model, picture) for picture in pictures] for way in (by_windows, at_once))
    print(
        f"largest difference of scores {max(float((a - b).abs().max()) for a, b in zip(slow, fast, strict=True)):.1e}"
    )
    with Segmenter(workers=1).opened(1) as engines:
        rows = {
            "window after window": lambda i: by_windows(model, pictures[i]).argmax(0).numpy(),
            "the same network at once": lambda i: at_once(model, pictures[i]).argmax(0).numpy(),
            **shipped(scenes, engines),
        }
        print(f"{'':28}{'mean IoU':>9}{'s per picture':>15}")
        for name, way in rows.items():
            figure, seconds = measured(scenes, way)
            print(f"{name:28}{figure:9.4f}{seconds:15.4f}")


def classifier(options: argparse.Namespace) -> WindowNet:
    """The trained network: that in the file, or a new one."""
    model = WindowNet(len(CAMVID))
    if not options.net.is_file():
        began, losses = time.process_time(), []
        for model, loss in train(camvid.read(options.data, "train"), options.steps):  # noqa: B007  # the last counts
            losses.append(loss)
            if len(losses) % 100 == 0:
                print(f"step {len(losses)}/{options.steps}  loss {np.mean(losses[-100:]):.3f}", flush=True)
        print(f"trained in {time.process_time() - began:.0f} s of one core")
        checkpoint.write(options.net, {"model": model.state_dict()})
    model.load_state_dict(checkpoint.read(options.net)["model"])
    return model.eval()


def shipped(scenes: Sequence[Scene], engines: Engines) -> dict[str, Callable[[int], NDArray[np.uint8]]]:
    """The segmenter that ships, as a function of a picture's number."""
    same = np.arange(256, dtype=np.uint8)

    def way(i: int) -> NDArray[np.uint8]:
        image = scenes[i].image
        [outputs] = engines.infer([ArrayPicture(image)])
        return outputs.class_map(same).scaled(image.shape[1], image.shape[0])[::EVERY, ::EVERY]

    return {"the segmenter that ships": way}


def measured(scenes: Sequence[Scene], way: Callable[[int], NDArray[np.integer]]) -> tuple[float, float]:
    """Mean IoU at every sixteenth pixel, and seconds a picture."""
    counts = np.zeros((len(CAMVID), len(CAMVID)), np.int64)
    seconds = 0.0
    for i, scene in enumerate(scenes):
        began = time.process_time()
        with torch.no_grad():
            found = way(i)
        seconds += time.process_time() - began
        counts += confusion(found, scene.classes[::EVERY, ::EVERY], len(CAMVID))
    return mean_iou(counts), seconds / len(scenes)


if __name__ == "__main__":
    main()
