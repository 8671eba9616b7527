"""Captions as a loop: frames in, those with a new caption out."""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TypedDict, Unpack

from watchline.engines.zoo import Precision
from watchline.pipeline.kinds.caption import CAPTION, Caption
from watchline.pipeline.looking import checked_budget, finder_of, looked_at, stage_of
from watchline.pipeline.message import Item
from watchline.pipeline.stages.captioner import Captioner
from watchline.pipeline.stages.detector import Detector
from watchline.streams.frame import Frame
from watchline.streams.given import Given, sources_of


class CaptionerSettings(TypedDict, total=False):
    """The fields of Captioner, which says what they mean."""

    model: str | Path
    runtime: str | None
    precision: Precision
    imgsz: int | tuple[int, int] | None
    on_change: bool
    interval: float | str | None
    objects: Sequence[str]
    engines: int
    threads: int


def caption(
    source: Given,
    captioner: Captioner | None = None,
    *,
    detector: Detector | None = None,
    latency_budget: float = 0.5,
    **settings: Unpack[CaptionerSettings],
) -> Generator[tuple[Frame, Caption]]:
    """Say what a source shows, decoding and captioning in threads of their own.

        for frame, caption in watchline.caption("clip.mp4"):
            print(frame.seconds, caption.text)

    Args:
        source, latency_budget: as `watchline.detect` takes them.
        captioner: its settings, in place of single ones.
        detector: who finds the `objects` that are described, if not the shipped one.
        settings: of the captioner, e.g. `interval`, `objects`, `model`: the fields of Captioner.

    Returns:
        an iterator over the frames from which on there is a new caption. Of a camera, that is some frames after the one
        that it was made from, which `caption.frame` names.

    Raises:
        as `watchline.detect`.
    """
    budget = checked_budget(latency_budget)
    stage = stage_of(Captioner, captioner, settings)
    before = finder_of(stage.objects, detector)
    return looked_at(sources_of(source), [*before, stage], _Newest(), budget)


class _Newest:
    """The caption of a frame, if it is another one than that of the frame before in its stream."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int | None, int]] = {}

    def __call__(self, item: Item) -> Caption | None:
        caption = item.result(CAPTION)
        made = None if caption is None else (item.frame.epoch, caption.frame)
        if made is None or made == self._last.get(item.stream):
            return None
        self._last[item.stream] = made
        return caption
