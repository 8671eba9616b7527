"""Where a model looked for each word: a captioner for those of its caption, an answerer for those of a question."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from watchline.engines import metadata
from watchline.engines.checked import CheckedEngine
from watchline.ops.letterbox import Fit
from watchline.ops.words import END, text_of
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.modelled import Modelled, prepared
from watchline.streams.frame import ArrayPicture, Image


class Attention(NamedTuple):
    """Attributes:
    text: the caption.
    words: of it.
    maps: (T, R, Q) float32, for each word how much each place of a grid over the picture counted; each sums to at most
        1, as the places of a letterbox's padding are left out.
    """

    text: str
    words: list[str]
    maps: NDArray[np.float32]


def attention(image: Image, captioner: Captioner) -> Attention:
    """Caption one picture (H, W, 3) uint8 BGR, and tell where each word came from.

    Raises:
        EngineError: the model or the runtime is not to be had.
        ConfigError: the model does not caption, or does not tell where it looks.
    """
    with captioner.load() as engine:
        assert isinstance(engine, CheckedEngine), "all runtimes are"
        check_attention(captioner)
        [place], batch = prepared(engine, [ArrayPicture(image)])
        outputs = engine.tensors(batch, ("words", "attention"))
        words, maps = outputs["words"][0, 0], outputs["attention"][0]
        count = int(np.argmax([*words, END] == np.int32(END)))
        labels = engine.metadata.labels
        spoken = [labels[number] for number in words[:count]]
        return Attention(text_of(words, labels), spoken, on_picture(maps[:count], place))


def check_attention(stage: Modelled) -> None:
    """Raises ConfigError: the model of a stage is an ONNX file that does not tell where it looks."""
    path = stage.file
    if path.suffix.lower() == ".onnx" and "attention" not in {each.name for each in metadata.parse(path).graph.output}:
        raise ConfigError(
            f"{stage.model}: it does not tell where it looks: expected a model with attention, as Show, Attend and Tell"
        )


def on_picture(maps: NDArray[np.float32], place: Fit) -> NDArray[np.float32]:
    """The part of maps of a network's input, (T, R, Q), where the picture is: without a letterbox's padding."""
    (x, y), (width, height), (whole, high) = place.corner, place.inner, place.network
    rows, columns = maps.shape[1:]
    return maps[
        :, y * rows // high : -(-(y + height) * rows // high), x * columns // whole : -(-(x + width) * columns // whole)
    ]
