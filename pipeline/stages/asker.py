"""The asker stage: one question about the pictures of a stream, again and again.

Of a file, an answer belongs to the frame that it is made from, which waits for it. Of a camera, it is made in a thread
of low priority beside the chain, and no frame waits: each has the newest answer that is there, with its age.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from watchline.engines import zoo
from watchline.engines.tasks import LONGEST_QUESTION
from watchline.errors import unknown
from watchline.ops.question import Read, best, read
from watchline.pipeline.errors import one_line
from watchline.pipeline.kinds.answer import ANSWER, LONGEST, Answer
from watchline.pipeline.message import Event, Item
from watchline.pipeline.settings.duration import Seconds
from watchline.pipeline.stages.beside import Beside
from watchline.pipeline.stages.modelled import Engines, Modelled
from watchline.pipeline.stages.stage import Work
from watchline.settings import Threads, flag, settings
from watchline.streams.frame import Frame
from watchline.streams.source import About

NEARLY = 1e-6  # seconds: times are sums of fractions

log = logging.getLogger(__name__)


@settings
class Asker(Modelled):
    """Settings of the asker stage.

    Raises:
        SettingsError (a ValueError): there is no such setting, or it cannot be; all mistakes are named.
    """

    name = "asker"
    gives = (ANSWER,)
    advice = "a longer interval, another runtime or a GPU would help"
    workers = 2  # one for cameras, and one for files, whose frames wait for their answers
    per_stream = ("question", "choices", "interval")
    tasks = ("answer",)

    question: str = Field(
        default="",
        max_length=LONGEST,
        description="a question about the pictures, asked every 5 seconds",
        json_schema_extra=flag("QUESTION", "ask"),
    )
    model: str = Field(default=zoo.ANSWERER, description="a model that answers, one of `watchline models` or a file")
    choices: tuple[str, ...] = Field(default=(), description="answers to choose from; all that the model knows without")
    interval: Seconds = Field(default=5.0, gt=0, description="how often to ask")
    engines: Threads = Field(default=1, description="answers that are made at once")

    def __post_init__(self) -> None:
        Modelled.__post_init__(self)
        try:
            read(self.question, "?", LONGEST_QUESTION)
        except ValueError as error:
            raise ValueError(f"question is {self.question[:40]!r}, {error}") from None

    def mistakes(self, labels: Sequence[str]) -> list[str]:
        some = [self, *map(self.of, self.streams)]
        wrong = [choice for own in some for choice in own.choices if _label(choice) not in labels]
        return [f"choices: {unknown('answer', choice, labels)} (of {self.model})" for choice in wrong]

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Load and warm up the engines. Raises what `load` raises."""
        with self.opened(self.engines) as engines, Beside[_Given](self.engines) as beside:
            yield Asking(self, engines, beside)

    def recorded(self) -> dict[str, Any]:
        """What decides the answers."""
        return {"question": self.question, "choices": list(self.choices), "interval": self.interval}

    def asked(self, words: Sequence[str]) -> Read:
        """The question as a model with these words reads it."""
        return read(self.question, words, LONGEST_QUESTION)

    def answer(self, scores: NDArray[np.float32], labels: Sequence[str], frame: int) -> Answer:
        """The answer to the question. Args: scores (A,), of the labels; frame, that was looked at."""
        number, score = best(scores, [labels.index(_label(choice)) for choice in self.choices])
        return Answer(self.question, labels[number].replace("_", " "), score, frame)


def unheard(words: Sequence[str]) -> str:
    """A line on words of a question that the model does not know."""
    return f"the model does not know {', '.join(map(repr, words))}: it hears the question without"


def _label(choice: str) -> str:
    """A choice as models have it: `night_stand`."""
    return choice.strip().lower().replace(" ", "_")


class _Given(NamedTuple):
    """Attributes: time, when the frame that was looked at arrived, of a live stream."""

    answer: Answer
    time: float | None


@dataclass(eq=False)
class _Stream:
    """Attributes:
    asked: the question as the model reads it.
    wanted_at: seconds of the frame that was asked about last.
    current: the answer that stands.
    """

    settings: Asker
    asked: Read
    wanted_at: float = -math.inf
    current: _Given | None = None

    def is_due(self, frame: Frame) -> bool:
        """Whether a frame is asked about; each photo is."""
        due = frame.file is not None or frame.seconds - self.wanted_at > self.settings.interval - NEARLY
        if due:
            self.wanted_at = frame.seconds
        return due


class Asking(Work):
    """Asks about the pictures of several streams."""

    def __init__(self, settings: Asker, engines: Engines, beside: "Beside[_Given]") -> None:
        self._settings = settings
        self._engines = engines
        self._beside = beside
        self._streams: dict[str, _Stream] = {}
        self.about = {"model": engines.about}

    def begin(self, stream: str, about: About, epoch: int | None) -> None:
        self._begin(stream)

    def _begin(self, stream: str) -> None:
        settings = self._settings.of(stream)
        asked = settings.asked(self._engines.words)
        if asked.unknown:
            log.warning("%s: %s", stream, unheard(asked.unknown))
        self._streams[stream] = _Stream(settings, asked)

    def end(self, stream: str) -> Sequence[Event]:
        self._beside.forget(self._streams.pop(stream, None))
        return ()

    def __call__(self, items: Sequence[Item]) -> list[Item]:
        return [self._answered(item) for item in items]

    def _answered(self, item: Item) -> Item:
        frame = item.frame
        if item.stream not in self._streams:  # nobody has said that it begins: it is called as a function
            self._begin(item.stream)
        stream = self._streams[item.stream]
        job = self._job(stream, frame) if stream.is_due(frame) else None
        if frame.epoch is None:
            stream.current = job() if job else stream.current
        else:
            if job:
                self._beside.put(stream, job)
            stream.current = self._given(item.stream, stream) or stream.current
        if stream.current is None:
            return item
        answer, time = stream.current
        age = None if frame.time is None or time is None else max(0.0, frame.time - time)
        return item.with_result(ANSWER, replace(answer, age=age))

    def _given(self, name: str, stream: _Stream) -> _Given | None:
        """What has been answered beside the chain since the last frame."""
        try:
            return self._beside.taken(stream)
        except Exception as error:  # it costs no frame: the answer before stands on
            log.warning("%s: an answer failed: %s", name, one_line(error))
            return None

    def _job(self, stream: _Stream, frame: Frame) -> Callable[[], _Given]:
        """What makes an answer; the frame's pixels are valid only now."""
        _, images = self._engines.fitted([frame.picture])
        return partial(self._answer, stream, images, frame.index, frame.time)

    def _answer(self, stream: _Stream, images: NDArray[np.uint8], frame: int, time: float | None) -> _Given:
        scores = self._engines.run({"images": images, "question": stream.asked.numbers[None]})["scores"][0]
        return _Given(stream.settings.answer(scores, self._engines.labels, frame), time)
