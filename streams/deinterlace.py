"""Interlaced pictures made whole: FFmpeg's bwdif turns each into one picture without combs.

An interlaced picture has two fields, of odd and of even rows, from two moments. What moves has combs, which a detector
does not know, and which scaling makes worse.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
import av.error
from av.filter import Graph
from av.filter.context import FilterContext

# One picture for each; pictures that are not interlaced pass as they are.
SETTINGS = "mode=send_frame:deint=interlaced"
UNUSED = Fraction(1, 1000)  # time base of the filter: the frames get their own times back


class Deinterlacer:
    """Deinterlaces a stream's frames, in order. Nothing happens to them before the first interlaced one.

    Attributes:
        deinterlaced: how many frames so far were interlaced.
    """

    def __init__(self) -> None:
        self.deinterlaced = 0
        self._graph: Graph | None = None
        self._shape: tuple[int, int, str] | None = None
        self._times: deque[tuple[int | None, int | None]] = deque()  # of the frames in the filter

    def whole(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        """The frames with their times, as many as before. Frames that the filter does not take pass as they are."""
        for frame in frames:
            shape = frame.width, frame.height, frame.format.name
            if self._graph is not None and shape != self._shape:
                yield from self._through(None)
            if self._graph is None and frame.interlaced_frame and shape != self._shape:
                self._graph, self._shape = _graph(frame), shape
            if self._graph is None:
                yield frame
            else:
                self.deinterlaced += frame.interlaced_frame
                yield from self._through(frame)
        if self._graph is not None:
            yield from self._through(None)

    def _through(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """What comes out of the filter for a frame; with None, the rest, and the filter is gone."""
        assert self._graph is not None
        if frame is not None:
            self._times.append((frame.pts, frame.dts))
        self._graph.vpush(frame)
        with suppress(av.error.BlockingIOError, av.error.EOFError):
            while True:
                made = self._graph.vpull()
                made.pts, made.dts = self._times.popleft()
                yield made
        if frame is None:
            self._graph, self._shape = None, None


def _graph(frame: av.VideoFrame) -> Graph | None:
    """A filter for frames like this one; None if FFmpeg's build has none, or the frame is too small."""
    graph = Graph()
    try:
        source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=UNUSED)
        nodes: list[FilterContext] = [source, graph.add("bwdif", SETTINGS), graph.add("buffersink")]
        nodes[0].link_to(nodes[1])
        nodes[1].link_to(nodes[2])
        graph.configure()
    except (av.error.FFmpegError, ValueError):
        return None
    return graph
