"""The sources of a run: each camera is read in a thread of its own, files in up to four.

Sources may come while the run is going on, from any thread.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from watchline.pipeline.admission import WAIT, Put
from watchline.pipeline.camera import Camera
from watchline.pipeline.control import Control
from watchline.pipeline.errors import one_line
from watchline.pipeline.link import Stopped
from watchline.pipeline.message import DECODER, Begin, End, Failure, Item
from watchline.streams.frame import Frame
from watchline.streams.source import LiveSource, Reader, Source

if TYPE_CHECKING:
    from typing_extensions import TypeIs

log = logging.getLogger(__name__)

FILES_AT_ONCE = 4  # that are read at once
PATIENCE = 2.0  # seconds that a source has to answer when a run is stopped or left
LOOK = 0.25  # seconds between looks at the cameras


class Intake:
    """Reads sources into the admission.

    Args:
        control: of the run.
        files_at_once: how many files are read at once.
        guard: runs a thread's job; what the job raises ends the run.
    """

    def __init__(self, control: Control, files_at_once: int, guard: Callable[[Callable[[], None]], None]) -> None:
        self._control = control
        self._files_at_once = files_at_once
        self._guard = guard
        self._lock = threading.Lock()
        self._files: deque[Source] = deque()
        self._readers = 0  # threads that read files
        self._threads: list[threading.Thread] = []
        self._halted = 0.0

    def add(self, source: Source | LiveSource) -> None:
        """Begin to read a source, or put it behind the files that wait."""
        self._control.register(source.stream, is_live(source))
        if is_live(source):
            self._control.admission.depth = 1
            camera = Camera(source, self._control.budget.seconds, self._control.meter)
            self._control.cameras[source.stream] = camera
            if self._control.is_closed(source.stream):
                camera.stop()
            self._start(lambda: self._film(camera))
            return
        with self._lock:
            self._files.append(source)
            enough = self._readers >= self._files_at_once
            self._readers += not enough
        if not enough:
            self._start(self._read_files)

    def stop(self) -> None:
        """Read no further, of any source."""
        if not self._halted:
            self._halted = time.monotonic()
        self._control.halt.set()
        for camera in list(self._control.cameras.values()):
            camera.stop()

    def watch(self) -> None:
        """Look at the cameras, whose readers may be stuck, until the run is left."""
        while not self._control.abort.wait(LOOK):
            for camera in list(self._control.cameras.values()):
                camera.look()
            self._control.warn_of_budget()

    def leave(self) -> None:
        """Wait for the readers, for one that does not answer no longer than PATIENCE; then close the admission."""
        until = max(self._halted + PATIENCE, time.monotonic() + 2 * WAIT)  # who waits at the admission notices by then
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        stuck = [thread for thread in self._threads if thread.is_alive()]
        if not stuck:
            self._control.admission.close()
            return
        log.warning("%d sources do not answer; their threads end when they do", len(stuck))
        threading.Thread(target=_close_after, args=(stuck, self._control), daemon=True).start()

    def _start(self, job: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._guard, args=(job,), name=DECODER, daemon=True)
        thread.start()
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()]  # a run may last for months
            self._threads.append(thread)
            self._control.meter.use(DECODER, len(self._threads))

    def _film(self, camera: Camera) -> None:
        with self._control.admission.entrance(camera.stream, live=True) as put:
            camera.run(put)

    def _read_files(self) -> None:
        while True:
            with self._lock:
                if not self._files:
                    self._readers -= 1
                    return
                source = self._files.popleft()
            with self._control.admission.entrance(source.stream, live=False) as put:
                self._read_file(source, put)

    def _read_file(self, source: Source, put: Put) -> None:
        stream = source.stream
        if self._control.is_closed(stream):
            put(End(stream, whole=False))
            return
        try:
            with source.open() as reader:
                put(Begin(stream, reader.about))
                for frame in self._frames(reader, stream):
                    put(Item(frame))
                end = End(stream, not self._control.is_closed(stream), tuple(getattr(reader, "notes", ())))
        except Stopped:
            raise
        except Exception as error:  # whatever a source raises ends its own stream only
            log.debug("%s failed", stream, exc_info=True)
            put(Failure(stream, DECODER, one_line(error)))
        else:
            put(end)

    def _frames(self, reader: Reader, stream: str) -> Iterator[Frame]:
        """The frames of a reader as long as they are wanted; the meter sees how long each took."""
        frames = iter(reader)
        while not self._control.is_closed(stream) and not self._control.is_given_up(stream):
            started = time.monotonic()
            frame = next(frames, None)
            if frame is None:
                return
            self._control.meter.worked(DECODER, 1, [], time.monotonic() - started)
            if frame.stream != stream:
                raise ValueError(f"the source {stream!r} gave a frame of {frame.stream!r}: expected its own stream")
            yield frame


def is_live(source: Source | LiveSource) -> "TypeIs[LiveSource]":
    """Whether its frames come when they come."""
    return getattr(source, "live", False)


def _close_after(threads: Sequence[threading.Thread], control: Control) -> None:
    for thread in threads:
        thread.join()
    control.admission.close()
