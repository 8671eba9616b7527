"""A member of a crew: it does the files that its captain hands it, and writes them into a folder of its own. What they
say to each other, JSON can hold.

The captain says

    {"row": …}                      a file to do, as the manifest has it
    {"twin": NAME or None}          the answer to a question
    {"end": True}                   there are no more files
    {"stop": True}                  finish what is begun

and the member

    {"ready": True}                 its stages have begun
    {"finished": ID, "state": …, "figures": …, "why": …, "outputs": […]}
    {"released": ID}
    {"twin": ID, "content": HASH}   is there another file of this content?
    {"stream": NAME, "frames": N}   what is being worked on, and how many frames were written until now
    {"frames": N, "meter": …, "accounts": …}    at its end
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from watchline.pipeline.batch import LOOK, Batch
from watchline.pipeline.manifest import FAILED, Figures, Output, Row

Told = Mapping[str, Any]
T = TypeVar("T")
SHORT = 0.02  # seconds between looks at whether the stages have begun
PAUSE = 0.2  # seconds between what is said of the progress


class Handed:
    """What a member has in place of the manifest.

    Args:
        folder: the member's own.
        say: tells the captain.

    Attributes:
        is_open: whether the stages have begun; before, there is no room for a file.
        check: raises what ends the wait for a file.
    """

    left: Sequence[Row] = ()

    def __init__(self, folder: Path, say: Callable[[Told], None]) -> None:
        self.folder = folder
        self.is_open: Callable[[], bool] = lambda: True
        self.check: Callable[[], None] = lambda: None
        self._is_ready = False
        self._say = say
        self._rows: queue.Queue[Row | None] = queue.Queue()
        self._answers: queue.Queue[str | None] = queue.Queue()

    def hear(self, told: Told) -> None:
        """What the captain has said."""
        if "row" in told:
            self._rows.put(Row(**told["row"]))
        elif "twin" in told:
            self._answers.put(told["twin"])
        else:
            self._rows.put(None)

    def claim(self, refuse: Callable[[Row], str]) -> Row | None:
        if not self._is_ready:
            while not self.is_open():
                self.check()
                time.sleep(SHORT)
            self._is_ready = True
            self._say({"ready": True})
        while (row := self._waited(self._rows)) is not None:
            why = refuse(row)
            if not why:
                return row
            self.finish(row, FAILED, Figures(), why)
        return None

    def twin(self, row: Row, content: str) -> str | None:
        self._say({"twin": row.id, "content": content})
        return self._waited(self._answers)

    def finish(
        self, row: Row, state: str, figures: Figures, why: str | None = None, outputs: Sequence[Output] | None = None
    ) -> None:
        its = None if outputs is None else [{**asdict(each), "path": str(each.path)} for each in outputs]
        self._say({"finished": row.id, "state": state, "figures": asdict(figures), "why": why, "outputs": its})

    def release(self, row: Row) -> None:
        self._say({"released": row.id})

    def outputs(self, row: Row) -> list[Output]:
        return []

    def counts(self) -> dict[str, tuple[int, int]]:
        return {}

    def _waited(self, answers: "queue.Queue[T]") -> "T":
        while True:
            self.check()
            try:
                return answers.get(timeout=LOOK)
            except queue.Empty:
                continue


def outputs_of(told: Told) -> list[Output]:
    """The outputs in what was said."""
    return [Output(Path(each["path"]), each["bytes"], each["sha256"]) for each in told["outputs"]]


def work(batch: Batch, handed: Handed, heard: Iterable[Told], say: Callable[[Told], None]) -> None:
    """Do what is handed until the captain says that it was all.

    Args:
        batch: with `handed` in place of a manifest.
        heard: what the captain says, as it comes; its end means that there is no captain any more.
        say: tells the captain.

    Raises:
        EngineError, ConfigError, …: a stage cannot start, or the settings are not those of the plan.
    """
    handed.check, handed.is_open = batch.check, lambda: batch.is_open

    def listen() -> None:
        for told in heard:
            if "stop" in told:
                batch.stop()
            handed.hear(told)

    threading.Thread(target=listen, name="listener", daemon=True).start()
    said = 0.0
    for progress in batch.run():
        if (now := time.monotonic()) - said >= PAUSE:
            said = now
            say({"stream": progress.stream, "frames": batch.standing().frames})
    accounts = {name: asdict(account) for name, account in batch.report.streams.items()}
    say({"frames": batch.standing().frames, "meter": batch.meter.as_dict(), "accounts": accounts})
