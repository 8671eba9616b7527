"""A job: everything that a run does, as one frozen value that another process can do as well."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from watchline.pipeline.runner import LATENCY_BUDGET
from watchline.pipeline.sinks.files import Files
from watchline.pipeline.sinks.sink import Sink
from watchline.pipeline.stages.annotator import Annotator
from watchline.pipeline.stages.detector import Detector
from watchline.pipeline.stages.stage import Stage
from watchline.streams.photos import PhotosSource
from watchline.streams.source import LiveSource, Source

ANNOTATED = Path("annotated")  # where files go if nobody says


@dataclass(frozen=True)
class Job:
    """What to read, what to do with it, and where to write it.

        job = Job([FileSource(Path("clip.mp4"))], sinks=[Files(Path("out"))])

    Attributes:
        sources: what to read; no two have the same name.
        stages: the chain, in its order.
        sinks: who writes each stream.
        latency_budget: seconds after it is due until which a live frame has to be through the stages; see budget.py.
        conceal: takes secrets out of a text before it is written; picklable, e.g. a config's.
    """

    sources: Sequence[Source | LiveSource]
    stages: Sequence[Stage] = (Detector(), Annotator())
    sinks: Sequence[Sink] = (Files(ANNOTATED),)
    latency_budget: float = LATENCY_BUDGET
    conceal: Callable[[str], str] = str

    @cached_property
    def inputs(self) -> tuple[Path, ...]:
        """The files that must not be overwritten."""
        return tuple(path for source in self.sources for path in inputs_of(source))

    def album_of(self, source: Source | LiveSource) -> str | None:
        """The folder of an album's photos, where other albums of the same folder may have photos of the same name."""
        if not isinstance(source, PhotosSource):
            return None
        return source.stream if self._albums[PurePath(source.stream).parent] > 1 else None

    @cached_property
    def _albums(self) -> Counter[PurePath]:
        return Counter(PurePath(each.stream).parent for each in self.sources if isinstance(each, PhotosSource))


def inputs_of(source: Source | LiveSource) -> list[Path]:
    """The files that a source reads."""
    paths = getattr(source, "paths", None) or [getattr(source, "path", None)]
    return [Path(path) for path in paths if path is not None]


def name_of(source: Source | LiveSource) -> str:
    """What messages call a source before its reader says it."""
    return getattr(source, "name", "") or next((path.name for path in inputs_of(source)), source.stream)
