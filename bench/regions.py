"""What does a photo cost R-CNN, Fast R-CNN and Faster R-CNN, with and without the search for proposals?

    python bench/regions.py PHOTO… --models rcnn.onnx fast-rcnn.onnx faster-rcnn.onnx

Processor time per photo, the median over the photos, with one thread; each model sees them one after the other. The
search includes the resizing of the photo, which is all that Faster R-CNN has there.
"""

import argparse
import statistics
import time
from pathlib import Path

from watchline import engines
from watchline.pipeline.stages.modelled import prepared
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo


def main() -> None:
    """Print a row per model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--models", type=Path, nargs="+", required=True)
    options = parser.parse_args()
    photos = [ArrayPicture(read_photo(photo).pixels) for photo in options.photos]
    print(f"{len(photos)} photos; seconds per photo")
    print(f"{'':28}{'search':>10}{'network':>10}{'both':>10}")
    for model in options.models:
        search, network = timed(model, photos)
        print(f"{model.stem:28}{search:10.3f}{network:10.3f}{search + network:10.3f}", flush=True)


def timed(model: Path, photos: list[ArrayPicture]) -> tuple[float, float]:
    """Seconds for what comes before the network, and for the network."""
    search, network = [], []
    with engines.load(model) as engine:
        engine.warm_up()
        for photo in photos:
            began = time.process_time()
            _, batch = prepared(engine, [photo])
            between = time.process_time()
            engine.infer(batch)
            search.append(between - began)
            network.append(time.process_time() - between)
    return statistics.median(search), statistics.median(network)


if __name__ == "__main__":
    main()
