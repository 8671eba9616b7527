"""Watch cameras, and react to what they show.

    python examples/watch_cameras.py rtsp://user:password@192.168.1.20/stream1 …
    python examples/watch_cameras.py clip.mp4           # a file, played as if it were a camera

A sink hears what each camera shows, and how its connection changes.
"""

import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from watchline import Detector, FileSource, Item, Job, Message, NetworkSource, Opening, PacedSource, Sink, State, Watch
from watchline.settings import settings
from watchline.streams.address import is_live


@settings
class Changes(Sink):
    """Prints who comes and goes. Each camera is written in a thread of its own: a slow one holds up no other."""

    name = "changes"

    def open(self, opening: Opening) -> nullcontext["_Printed"]:
        return nullcontext(_Printed())


class _Printed:
    people = 0  # the number that was printed last

    def take(self, message: Message, lines: Sequence[bytes]) -> None:
        match message:
            case Item(frame=frame, detections=found) if found is not None and len(found) != self.people:
                self.people = len(found)
                print(f"{frame.stream}: {self.people} people after {frame.seconds:.1f} s")
            case State(stream=stream, state=state, why=why):
                print(f"{stream}: {state}" + (f", {why}" if why else ""))


if __name__ == "__main__":
    if len(sys.argv) < 2 or "--help" in sys.argv:
        print(__doc__)
        sys.exit("--help" not in sys.argv)
    words = sys.argv[1:]
    sources = [NetworkSource(word) if is_live(word) else PacedSource(FileSource(Path(word))) for word in words]
    # Files(Path("recordings")) as another sink would record them as well
    watch = Watch(Job(sources, [Detector(classes=("person",))], [Changes()]))
    signal.signal(signal.SIGINT, lambda *_: watch.stop())  # Ctrl-C: the streams end, and so does the loop
    for _ in watch.run():  # the progress of all, if it is wanted
        pass
    print(watch.report.as_text())
