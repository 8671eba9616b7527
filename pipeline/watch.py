"""Watch cameras, and files beside them: all at once through one chain, each with outputs of its own."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchline.pipeline.annotate import Annotate, Progress
from watchline.pipeline.message import End, Failure, Item, Message, State
from watchline.pipeline.outputs import LiveOutput, Output
from watchline.pipeline.pulse import Pulse
from watchline.pipeline.runner import LATENCY_BUDGET, is_live
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.source import LiveSource, Source
from watchline.streams.write.jsonl import JsonlWriter
from watchline.streams.write.mp4 import Mp4Sink
from watchline.streams.write.segments import SegmentsSink


@dataclass(frozen=True, slots=True)
class Status:
    """How a stream stands.

    Attributes:
        state: connecting, live, stalled, retrying or ended; of a file: reading or ended.
        fps: frames that were written a second, over the last seconds.
        p50_ms, p95_ms: of the time from a frame's arrival to its being written, over the last seconds.
        dropped: frames so far, by cause.
        why: what is to be said of the state, one line; empty where there is nothing.
    """

    stream: str
    state: str
    fps: float
    p50_ms: float
    p95_ms: float
    dropped: Mapping[str, int]
    why: str


class Watch(Annotate):
    """Like Annotate, but all sources at once, live ones among them.

        watch = Watch([NetworkSource(url)], Detector(), Annotator(), Path("out"), Mp4Sink(), split=600)
        for progress in watch.run(): ...

    Args:
        split: a live stream's outputs begin anew at each multiple of so many seconds by the clock; None for never.
    """

    _together = True

    def __init__(
        self,
        sources: Sequence[Source | LiveSource],
        detector: Detector,
        annotator: Annotator,
        out: Path | None,
        video: Mp4Sink | None,
        stages: Sequence[Stage] = (),
        place: Callable[[Stage], Stage] = lambda stage: stage,
        latency_budget: float = LATENCY_BUDGET,
        events: JsonlWriter | None = None,
        conceal: Callable[[str], str] = str,
        split: float | None = None,
    ) -> None:
        super().__init__(sources, detector, annotator, out, video, stages, place, latency_budget, events, conceal)
        self._segments = SegmentsSink(video, split)
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="finisher")
        self._finishing: list[Future[Progress]] = []
        self._lock = threading.Lock()
        self._streams = {
            stream: _Stream("connecting" if is_live(source) else "reading") for stream, source in self._sources.items()
        }

    def status(self) -> list[Status]:
        """How every stream stands now. Any thread may ask."""
        accounts = self._runner.ledger.accounts()
        now = time.monotonic()
        with self._lock:
            return [
                Status(
                    stream,
                    mine.state,
                    mine.pulse.fps(now),
                    mine.pulse.latency_ms(50, now),
                    mine.pulse.latency_ms(95, now),
                    accounts[stream].dropped if stream in accounts else {},
                    mine.why,
                )
                for stream, mine in self._streams.items()
            ]

    def _end(self, output: Output, message: End | Failure) -> Iterator[Progress]:
        """In a thread of its own: to finish a long video takes seconds, in which other streams go on."""
        self._finishing.append(self._finisher.submit(self._finished, output, message))
        yield from ()

    def _settle(self) -> Iterator[Progress]:
        for finishing in self._finishing:
            yield finishing.result()
        self._finisher.shutdown()

    def _take(self, output: Output, message: Message) -> None:
        super()._take(output, message)
        with self._lock:
            mine = self._streams[message.stream]
            match message:
                case Item() if output.error is None:
                    now = time.monotonic()
                    mine.pulse.beat(now, now - message.frame.arrival)
                case State(state=state, why=why):
                    mine.state, mine.why = state, self._conceal(why or "")
                case End() | Failure():
                    mine.state, mine.why = "ended", self._conceal(output.error or "")

    def _output(self, source: Source | LiveSource, settings: Mapping[str, Any]) -> Output:
        if is_live(source):
            return LiveOutput(
                source.stream, source.name, settings, self._out, self._segments, self._events, self._conceal
            )
        return super()._output(source, settings)


@dataclass(slots=True)
class _Stream:
    state: str
    why: str = ""
    pulse: Pulse = field(default_factory=Pulse)
