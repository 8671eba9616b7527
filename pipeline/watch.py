"""Watch cameras and files: all at once through one chain, each with outputs of its own."""

from watchline.pipeline.annotate import Annotate
from watchline.pipeline.errors import ConfigError
from watchline.pipeline.intake import is_live
from watchline.pipeline.job import Job
from watchline.pipeline.lanes import Status
from watchline.streams.source import LiveSource, Source


class Watch(Annotate):
    """Like Annotate, but all sources at once, live ones among them. Streams may come and go while it runs.

        watch = Watch(Job([NetworkSource(url)], sinks=[Files(Path("out"), split=600)]))
        for progress in watch.run(): ...

    Args:
        is_kept: go on while there is no stream, until `stop`.
    """

    _together = True

    def __init__(self, job: Job, is_kept: bool = False) -> None:
        super().__init__(job)
        self._is_kept = is_kept

    def add(self, source: Source | LiveSource) -> None:
        """Take a source on, while it runs or before. For any thread.

        Raises:
            ConfigError: there is a stream of this name whose files are not finished yet, or the job is over.
        """
        stream = source.stream
        with self._lock:
            lane, before = self._lanes.get(stream), self._sources.get(stream)
            if before is not None and (lane is None or lane.outcome is None):
                raise ConfigError(f"there is a stream {stream!r} already: remove it before, or name them apart")
            self._sources[stream] = source
        try:
            self._runner.add(source)
        except ConfigError:
            with self._lock:
                if before is None:
                    del self._sources[stream]
                else:
                    self._sources[stream] = before
            raise

    def remove(self, stream: str) -> None:
        """End a stream: what was decoded of it is written, its files are finished. For any thread.

        Raises:
            ConfigError: there is no such stream.
        """
        self._runner.remove(stream)

    def status(self) -> list[Status]:
        """How every stream stands now. Any thread may ask."""
        accounts, trouble = self._runner.ledger.accounts(), self._runner.control.budget.trouble()
        with self._lock:
            sources, lanes = dict(self._sources), dict(self._lanes)
        return [
            lanes[stream].status(accounts[stream].dropped if stream in accounts else {}, trouble)
            if stream in lanes
            else Status(stream, "connecting" if is_live(source) else "reading", 0, 0, 0, {}, "")
            for stream, source in sources.items()
        ]
