"""A question about one picture: the answer, and where the model looked for each word of the question."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.engines.checked import CheckedEngine
from watchline.pipeline.attention import check_attention, on_picture
from watchline.pipeline.kinds.answer import Answer
from watchline.pipeline.stages.asker import Asker
from watchline.pipeline.stages.modelled import fitted
from watchline.streams.frame import ArrayPicture, Image

_NO_MAPS = np.zeros((0, 0, 0), np.float32)


class Looked(NamedTuple):
    """Attributes:
    answer: to the question.
    words: of the question, the last of which is "?".
    unknown: those of them that the model does not know.
    maps: (T, R, Q) float32, for each word how much each place of a grid over the picture counted; each sums to at most
        1, as the places of a letterbox's padding are left out. (0, 0, 0) if nobody asked for them.
    """

    answer: Answer
    words: tuple[str, ...]
    unknown: tuple[str, ...]
    maps: NDArray[np.float32]


def ask(image: Image, asker: Asker, attention: bool = False) -> Looked:
    """Ask about one picture (H, W, 3) uint8 BGR, and see where the answer came from.

    Args:
        attention: whether the maps are asked for, which not all models have.

    Raises:
        EngineError: the model or the runtime is not to be had.
        ConfigError: the model answers no questions, does not know a choice, or has no maps that are asked for.
    """
    with asker.load() as engine:
        assert isinstance(engine, CheckedEngine), "all runtimes are"
        if attention:
            check_attention(asker)
        asked = asker.asked(engine.metadata.words)
        [place], images = fitted(engine, [ArrayPicture(image)])
        batch: dict[str, NDArray[Any]] = {"images": images, "question": asked.numbers[None]}
        outputs = engine.tensors(batch, ("scores", "attention")) if attention else engine.infer(batch)
        answer = asker.answer(outputs["scores"][0], engine.metadata.labels, 0)
        maps = on_picture(outputs["attention"][0, : len(asked.words)], place) if attention else _NO_MAPS
        return Looked(answer, asked.words, asked.unknown, maps)
