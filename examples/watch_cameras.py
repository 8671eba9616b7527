"""Watch cameras, and react to what they show.

    python examples/watch_cameras.py rtsp://user:password@192.168.1.20/stream1 …
    python examples/watch_cameras.py clip.mp4           # a file, played as if it were a camera

Ctrl-C ends it.
"""

import signal
import sys
from pathlib import Path

import watchline
from watchline.streams.address import is_live


def main() -> None:
    """Print who comes and goes, until Ctrl-C or the end of all files."""
    if not sys.argv[1:]:
        sys.exit(__doc__)
    sources = [
        watchline.NetworkSource(word) if is_live(word) else watchline.PacedSource(watchline.FileSource(Path(word)))
        for word in sys.argv[1:]
    ]
    runner = watchline.Runner([watchline.Detector(classes=("person",))], latency_budget=0.5)
    people: dict[str, int] = {}
    signal.signal(signal.SIGINT, lambda *_: runner.stop())  # the streams end, and so does the loop
    for message in runner.run(sources):
        match message:
            case watchline.Item(frame=frame, detections=found) if found is not None:
                if people.get(frame.stream) != len(found):
                    people[frame.stream] = len(found)
                    print(f"{frame.stream}: {len(found)} people after {frame.seconds:.1f} s")
            case watchline.State(stream=stream, state=state, why=why):
                print(f"{stream}: {state}" + (f", {why}" if why else ""))
    for stream, account in runner.ledger.accounts().items():
        print(f"{stream}: {account.annotated} frames seen, {sum(account.dropped.values())} dropped {account.dropped}")


if __name__ == "__main__":
    main()
