"""How near a captioner's captions are to what people wrote: BLEU, CIDEr and ROUGE-L of a split of Flickr8k.

    measured = captions(Captioner(model="show-attend-tell"), Path("flickr8k"))
    measured.bleu[3], measured.cider

What is measured is the best caption that the stage's engine gives, so resizing and runtime are part of it. The figures
are those of `pycocoevalcap`, computed by us: no Java, and both sides are split into words by `ops/words.py`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from watchline.measure.errors import DataRefused
from watchline.ops.caption_scores import Cider, bleu, rouge_l
from watchline.ops.errors import AnnotationRefused
from watchline.ops.flickr8k import read
from watchline.ops.words import text_of, words_of
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.modelled import prepared
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

SPLIT = "test"


@dataclass(frozen=True, slots=True)
class CaptionFigures:
    """What was measured, and on what.

    Attributes:
        data, split: the folder's name, and the split.
        texts: the caption of each photo, by its file's name.
        bleu: BLEU-1 to 4, 0 to 1.
        cider: CIDEr-D, about 0 to 10.
        rouge_l: 0 to 1.
        seconds: that reading and captioning took.
    """

    data: str
    split: str
    texts: dict[str, str]
    bleu: tuple[float, float, float, float]
    cider: float
    rouge_l: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "photos": len(self.texts),
            **{f"bleu_{n}": value for n, value in enumerate(self.bleu, 1)},
            "cider": self.cider,
            "rouge_l": self.rouge_l,
            "seconds": round(self.seconds, 3),
            "captions": self.texts,
        }


def captions(
    captioner: Captioner,
    data: Path,
    split: str = SPLIT,
    every: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> CaptionFigures:
    """Caption the photos of a split, one by one, and compare.

    Args:
        captioner: its model and runtime.
        data: folder in Flickr8k's layout.
        split: train, dev or test.
        every: every n-th photo only. CIDEr's weights are those of the photos that are measured.
        progress: is told how many photos are done, and of how many.

    Raises:
        DataRefused: the data set is not there.
        SourceUnreadable: a photo cannot be decoded.
        EngineError, ConfigError: the model does not load or does not run.
    """
    began = time.perf_counter()
    try:
        photos, written = read(data, split)
    except AnnotationRefused as error:
        raise DataRefused(str(error)) from error
    photos, written = photos[::every], written[::every]
    made: dict[str, str] = {}
    with captioner.load() as engine:
        for photo in photos:
            _, batch = prepared(engine, [ArrayPicture(read_photo(photo).pixels)])
            made[photo.name] = text_of(engine.infer(batch)["words"][0, 0], engine.metadata.labels)
            if progress:
                progress(len(made), len(photos))
    words = [words_of(text) for text in made.values()]
    return CaptionFigures(
        data=data.name,
        split=split,
        texts=made,
        bleu=bleu(words, written),
        cider=Cider(written).mean(words),
        rouge_l=rouge_l(words, written),
        seconds=time.perf_counter() - began,
    )
