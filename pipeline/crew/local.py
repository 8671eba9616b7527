"""A member of a crew in a process of this machine: what is said are lines of JSON, on its standard input and output.

It ends with its standard input, so it never outlives its captain; and it inherits the lock of the manifest, so that no
other job begins while it is alive.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from watchline.pipeline.crew.member import Told
from watchline.pipeline.errors import ManifestError

HUNG_UP = 130  # its exit code where the captain, or Ctrl-C, has ended it

MODULE = "watchline.cli.annotate_process"


class Started:
    """A member that begins at once.

    Args:
        words: the command line that it obeys.
        cores: that it may use; none leaves it all.
        held: descriptor of the manifest's lock, if that is of this machine.
        folder: that it writes into.

    Raises:
        ManifestError: no process can be started.
    """

    def __init__(self, words: Sequence[str], cores: Collection[int], held: int | None, folder: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                pass_fds=() if held is None else (held,),
                process_group=0,  # Ctrl-C in a terminal reaches the captain alone
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
        except OSError as error:
            raise ManifestError(f"no process can be started for the job: {error.strerror}; try fewer") from error
        self.tell({"words": [*words], "cores": [*cores], "folder": str(folder)})

    def tell(self, told: Told) -> None:
        assert self._process.stdin is not None, "asked for"
        with self._lock, suppress(OSError, ValueError):  # it has ended
            self._process.stdin.write(json.dumps(told, default=str) + "\n")
            self._process.stdin.flush()

    def hear(self) -> Iterator[Told]:
        assert self._process.stdout is not None, "asked for"
        for line in self._process.stdout:
            if line.endswith("\n"):  # the last one of a process that was killed may be torn
                yield json.loads(line)

    def end(self) -> str:
        assert self._process.stdin is not None, "asked for"
        with suppress(OSError):  # of what was told to one that was dead
            self._process.stdin.close()
        with self._process as process:  # its pipes are closed, at which it ends
            pass
        code = process.returncode
        if code > 0 and code != HUNG_UP:
            raise ManifestError(f"a process of the job ended with exit code {code}; it has said why")
        return signal.Signals(-code).name if code < 0 else "an interrupt" if code else ""
