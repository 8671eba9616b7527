"""The endpoint of a placed stage: a child process that the client starts, or a host where somebody else started it."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from watchline.pipeline.remote.channel import Keys
from watchline.pipeline.remote.ring import Ring

log = logging.getLogger(__name__)

NEEDED = re.compile(  # what is set for programs, for Python, for us, and for the libraries that compute
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_.*|TZ|TERM|TMPDIR|XDG_.*|LD_.*|DYLD_.*|MALLOC_.*|PYTHON.*|VIRTUAL_ENV|"
    r"WATCHLINE_.*|CUDA_.*|NVIDIA_.*|TENSORRT_.*|ORT_.*|OPENVINO_.*|OV_.*|OPENCV_.*|OMP_.*|GOMP_.*|KMP_.*|MKL_.*|"
    r"OPENBLAS_.*"
)
PATIENCE = 3.0  # seconds that a child process has to end by itself


class Endpoint(Protocol):
    """How the client reaches the server of a stage."""

    @property
    def what(self) -> str:
        """The name of the server in log lines and errors."""
        ...

    @property
    def again(self) -> str:
        """What the client does after it has lost the server, for the log line."""
        ...

    @property
    def silence(self) -> tuple[float, float]:
        """Seconds without a message after which the server is lost: while it opens, and later."""
        ...

    @property
    def keys(self) -> Keys | None:
        """The keys of the connection; None if it is not encrypted."""
        ...

    @property
    def ring(self) -> Ring | None:
        """Memory that is shared with the server; None if there is none."""
        ...

    @property
    def descriptor(self) -> int | None:
        """A file descriptor that becomes readable when the server ends; None if there is none."""
        ...

    def start(self) -> str:
        """Start the server, if it is ours. Returns its address. Raises OSError: it cannot be started."""
        ...

    def ended(self) -> str:
        """How the server ended, "" while there is no sign of its end."""
        ...

    def opened(self) -> None:
        """The connection is made, and the stage is open."""
        ...

    def stop(self, at_once: bool) -> None:
        """End the server, if it is ours. `start` may be called again."""
        ...


class Host:
    """A server on another host, or in another process that we did not start."""

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
    """A server in a child process: `python -m watchline stage WORD`. It ends with its standard input, so it never
    outlives us.

    Args:
        name: of the stage, for log lines and errors.
        word: of the stage, for the command: see `registry.name_of`.
        slots: how many requests may be under way.
        chain: names of the stages before it; the child imports those of your own.
    """

    again = "starting it again"
    silence = (60.0, 10.0)  # a library that is being loaded may hold the interpreter's lock for seconds
    keys = None

    def __init__(self, name: str, word: str, slots: int, chain: Sequence[str] = ()) -> None:
        self.what = f"the {name} process"
        self.ring: Ring = Ring(slots)
        self._name, self._word = name, word
        self._others = [other for other in chain if ":" in other]
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    def start(self) -> str:
        """Raises OSError: there is no memory, or no rights, to start a process."""
        folder = self._folder = Path(_new_folder())  # no other user may enter it
        address = f"ipc://{folder}/link"
        inherited = self.ring.descriptors
        command = [sys.executable, "-P", "-m", "watchline", "stage", self._word, "--listen", address]
        command += [word for other in self._others for word in ("--stage", other)]
        self._process = subprocess.Popen(
            [*command, "--ring", ",".join(map(str, inherited))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,  # our standard output is for events; the child logs to stderr
            pass_fds=inherited,
            process_group=0,  # Ctrl-C in a terminal reaches the client alone
            env=_environment(),
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
        if process.stdout.read() == b"":  # end of file; None says that there is nothing to read yet
            _reap(process)
        code = process.poll()
        if code is None:
            return ""
        names = {number.value: number.name for number in signal.Signals}
        return f"died of {names.get(-code, -code)}" if code < 0 else f"ended with exit code {code}"

    def opened(self) -> None:
        """Remove the socket's folder: it is not needed any more, and would stay behind if we were killed."""
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


def _environment() -> dict[str, str]:
    """What a child needs of the environment. Passwords that a config takes from there are not among it."""
    needed = {name: value for name, value in os.environ.items() if NEEDED.fullmatch(name)}
    return needed | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process to end, kill it after PATIENCE, and leave it to the kernel if that does not help."""
    for last in (False, True):
        try:
            process.wait(PATIENCE)
            return
        except subprocess.TimeoutExpired:
            log.warning("the process %d does not end; %s", process.pid, "it is left behind" if last else "it is killed")
            process.kill()


def _new_folder() -> str:
    """A new folder for a socket, with a path that is short enough for one."""
    folder = tempfile.mkdtemp(prefix="watchline-")
    if len(folder) < 90:
        return folder
    shutil.rmtree(folder)
    return tempfile.mkdtemp(prefix="watchline-", dir="/tmp")
