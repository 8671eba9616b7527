"""How good answers to questions are: accuracy and WUPS of a split of DAQUAR.

    measured = answers(Asker(question="any", model="vqa.onnx"), Path("daquar"))
    measured.figures["accuracy of single words"]

What is measured is the likeliest answer that the stage's engine gives, so resizing and runtime are part of it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from watchline.engines.tasks import LONGEST_QUESTION
from watchline.measure.errors import DataRefused
from watchline.ops import question, wordnet, wups
from watchline.ops.daquar import read
from watchline.ops.errors import AnnotationRefused
from watchline.pipeline.stages.asker import Asker
from watchline.pipeline.stages.modelled import fitted
from watchline.streams.frame import ArrayPicture
from watchline.streams.photo import read_photo

SPLIT = "test"


@dataclass(frozen=True, slots=True)
class AnswerFigures:
    """What was measured, and on what.

    Attributes:
        data, split: the folder's name, and the split.
        answers: to each question.
        figures: of `wups.figures`, by name.
        seconds: that reading and answering took.
    """

    data: str
    split: str
    answers: list[str]
    figures: dict[str, float]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "questions": len(self.answers),
            **self.figures,
            "seconds": round(self.seconds, 3),
            "answers": self.answers,
        }


def answers(
    asker: Asker,
    data: Path,
    split: str = SPLIT,
    every: int = 1,
    progress: Callable[[int, int], object] | None = None,
) -> AnswerFigures:
    """Ask the questions of a split, one by one, and compare with what people answered.

    Args:
        asker: its model and runtime; its own question is not asked.
        data: folder in DAQUAR's layout.
        split: train or test.
        every: every n-th question only.
        progress: is told how many questions are answered, and of how many.

    Raises:
        DataRefused: the data set is not there, or WordNet's files are broken.
        SourceUnreadable: a photo cannot be decoded.
        EngineError, ConfigError: the model does not load or does not run.
    """
    began = time.perf_counter()
    try:
        asked = read(data, split)[::every]
        near = wordnet.WordNet(wordnet.FOLDER).similarity if wordnet.FOLDER.is_dir() else None
    except AnnotationRefused as error:
        raise DataRefused(str(error)) from error
    given: list[str] = []
    with asker.load() as engine:
        for photo, its in groupby(asked, key=attrgetter("photo")):
            _, images = fitted(engine, [ArrayPicture(read_photo(photo).pixels)])
            for one in its:
                row = question.row(one.question, engine.metadata.words, LONGEST_QUESTION)
                scores = engine.infer({"images": images, "question": row[None]})["scores"][0]
                given.append(engine.metadata.labels[int(scores.argmax())])
                if progress:
                    progress(len(given), len(asked))
    return AnswerFigures(
        data=data.name,
        split=split,
        answers=given,
        figures=wups.figures([[answer] for answer in given], [one.answer for one in asked], near),
        seconds=time.perf_counter() - began,
    )
