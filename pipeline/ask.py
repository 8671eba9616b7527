"""A question about one picture: the answer, and where the model looked for each word of the question."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.kinds.answer import Answer
from watchline.pipeline.stages.asker import Asker
from watchline.pipeline.stages.modelled import fitted
from watchline.streams.frame import ArrayPicture, Image


class Looked(NamedTuple):
    """Attributes:
    answer: to the question.
    words: of the question, the last of which is "?".
    unknown: those of them that the model does not know.
    maps: (T, R, Q) float32, for each word how much each place of a grid over the picture counted; each sums to 1.
    """

    answer: Answer
    words: tuple[str, ...]
    unknown: tuple[str, ...]
    maps: NDArray[np.float32]


def ask(image: Image, asker: Asker) -> Looked:
    """Ask about one picture (H, W, 3) uint8 BGR, and see where the answer came from.

    Raises:
        EngineError: the model or the runtime is not to be had.
        ConfigError: the model answers no questions, does not know a choice, or does not tell where it looks.
    """
    with asker.load() as engine:
        assert isinstance(engine, CheckedEngine), "all runtimes are"
        path = asker.file
        if path.suffix == ".onnx" and "attention" not in {each.name for each in metadata.parse(path).graph.output}:
            raise ConfigError(f"{asker.model}: it does not tell where it looks: expected a model with attention")
        asked = asker.asked(engine.metadata.words)
        _, images = fitted(engine, [ArrayPicture(image)])
        outputs = engine.tensors({"images": images, "question": asked.numbers[None]}, ("scores", "attention"))
        answer = asker.answer(outputs["scores"][0], engine.metadata.labels, 0)
        return Looked(answer, asked.words, asked.unknown, outputs["attention"][0, : len(asked.words)])
