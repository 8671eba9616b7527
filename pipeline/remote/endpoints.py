"""Where a placed stage is: in a child process that the hub starts, or on a host where somebody else started it."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

from watchline.pipeline.remote.channel import Keys
from watchline.pipeline.remote.ring import Ring

log = logging.getLogger(__name__)

PATIENCE = 3.0  # seconds that a child has to end by itself


class Way(Protocol):
    """How to get at a stage elsewhere."""

    @property
    def what(self) -> str:
        """As log lines and errors call it."""
        ...

    @property
    def again(self) -> str:
        """What is done after it was lost, for the log line."""
        ...

    @property
    def silence(self) -> tuple[float, float]:
        """Seconds without a word after which it is lost: while it opens, and later."""
        ...

    @property
    def keys(self) -> Keys | None:
        """To talk to it with."""
        ...

    @property
    def ring(self) -> Ring | None:
        """Memory that is shared with it."""
        ...

    @property
    def descriptor(self) -> int | None:
        """Where something is to be read when it ends."""
        ...

    def start(self) -> str:
        """Have it ready to be connected to. Returns its address. Raises OSError: that cannot be."""
        ...

    def ended(self) -> str:
        """How it ended, "" while there is no sign of that."""
        ...

    def opened(self) -> None:
        """It is open now, and connected."""
        ...

    def stop(self, at_once: bool) -> None:
        """Have it end, if it is ours. For good, once `start` is not called again."""
        ...


class Host:
    """Another host, or another process that we did not start."""

    again = "connecting again"
    silence = (10.0, 3.0)
    ring = None
    descriptor = None

    def __init__(self, name: str, address: str, keys: Keys | None) -> None:
        self.what = f"{name} at {address}"
        self.keys: Keys | None = keys
        self._address = address

    def start(self) -> str:
        return self._address

    def ended(self) -> str:
        return ""

    def opened(self) -> None:
        return

    def stop(self, at_once: bool) -> None:
        return


class Child:
    """A process of ours: `python -m watchline stage WORD`. It ends when its standard input does: it never outlives us.

    Args:
        name: of the stage, for people.
        word: of the stage, for the command: see `stages.name_of`.
        slots: how many requests may be under way.
    """

    again = "starting it again"
    silence = (60.0, 10.0)  # a library that loads may hold the interpreter's lock for long
    keys = None

    def __init__(self, name: str, word: str, slots: int) -> None:
        self.what = f"the {name} process"
        self.ring: Ring = Ring(slots)
        self._name, self._word = name, word
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def start(self) -> str:
        """Raises OSError: there is no memory, or no rights, to start a process."""
        folder = self._folder = Path(_new_folder())  # nobody else may go in
        address = f"ipc://{folder}/link"
        inherited = self.ring.descriptors
        command = [sys.executable, "-P", "-m", "watchline", "stage", self._word, "--listen", address]
        self._process = subprocess.Popen(
            [*command, "--ring", ",".join(map(str, inherited))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # the standard output is for events; what a child has to say goes to stderr
            pass_fds=inherited,
            process_group=0,  # Ctrl-C in a terminal is for the hub alone
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        )
        assert self._process.stdout is not None, "asked for"
        os.set_blocking(self._process.stdout.fileno(), False)
        self.what = f"the {self._name} process (pid {self._process.pid})"
        return address

    @property
    def descriptor(self) -> int | None:
        return None if self._process is None or self._process.stdout is None else self._process.stdout.fileno()

    def ended(self) -> str:
        process = self._process
        if process is None or process.stdout is None:
            return ""
        if process.stdout.read() == b"":  # its end; None says that there is nothing yet
            _reap(process)
        code = process.poll()
        if code is None:
            return ""
        names = {number.value: number.name for number in signal.Signals}
        return f"died of {names.get(-code, -code)}" if code < 0 else f"ended with exit code {code}"

    def opened(self) -> None:
        """Its address is needed no more, and nothing shall stay behind however we end."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def stop(self, at_once: bool) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None, "asked for"  # noqa: PT018
            if at_once:
                process.kill()
            process.stdin.close()
            _reap(process)
            process.stdout.close()
        self.opened()


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait for its end, kill it if that takes long, and leave it to the kernel if not even that helps."""
    for last in (False, True):
        try:
            process.wait(PATIENCE)
            return
        except subprocess.TimeoutExpired:
            log.warning("the process %d does not end; %s", process.pid, "it is left behind" if last else "it is killed")
            process.kill()


def _new_folder() -> str:
    """A folder of ours for a socket, whose path is short enough for one."""
    folder = tempfile.mkdtemp(prefix="watchline-")
    if len(folder) < 90:
        return folder
    shutil.rmtree(folder)
    return tempfile.mkdtemp(prefix="watchline-", dir="/tmp")
