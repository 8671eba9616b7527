"""Members of a crew on the machines of a Ray cluster: an actor there starts the process, and passes on what is said.

Ray places the actors and says when one is gone. It restarts nothing, and no frame goes through its object store: files
are read from, and written to, a file system that all machines see under one name. A member whose machine is silent for
LEASE seconds is given up. If it comes back, what it writes is in a folder that nobody reads any more.

Ray pickles what it carries, and has no passwords of its own: whoever reaches a cluster's ports may run code there.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from watchline.extras import command
from watchline.pipeline.crew.captain import Member
from watchline.pipeline.crew.local import Started
from watchline.pipeline.crew.member import Told
from watchline.pipeline.errors import ConfigError, ManifestError, one_line

BEAT = 5.0  # seconds within which an actor answers, if it has nothing to say
LEASE = 60.0  # seconds
PLACE = re.compile(r"(?:ray://)?(.+):(\d+)")  # host and port of a cluster
PATIENCE = 5.0  # seconds until a cluster must answer
PAUSE = 1.0  # seconds before a machine that cannot be reached is asked again
STORE = 80 << 20  # bytes of a new cluster's object store, which Ray wants at least


class Actor:
    """What Ray runs on a machine of the cluster: one process, and the lines that it says until they are taken.

    Args:
        words: the command line that the process obeys.
        place: the folder that relative paths begin at.
        folder: that it writes into.
    """

    def __init__(self, words: Sequence[str], place: str, folder: str) -> None:
        os.chdir(place)
        self._told: list[Told] = []
        self._taken = 0  # of all that was ever told
        self._is_over = False
        self._changed = threading.Condition()
        self._started = Started(words, (), None, Path(folder))
        threading.Thread(target=self._listen, daemon=True).start()

    def tell(self, told: Told) -> None:
        self._started.tell(told)

    def hear(self, known: int, patience: float) -> tuple[list[Told], bool]:
        """What was said after the first `known`, which are forgotten, and whether that is all there will be. It may
        be asked for again: an answer can be lost on its way.

        Args: patience, seconds until the answer, if there is nothing to say.
        """
        with self._changed:
            del self._told[: known - self._taken]
            self._taken = known
            if not self._told and not self._is_over:
                self._changed.wait(patience)
            return [*self._told], self._is_over

    def end(self) -> str:
        return self._started.end()

    def _listen(self) -> None:
        for told in self._started.hear():
            with self._changed:
                self._told.append(told)
                self._changed.notify()
        with self._changed:
            self._is_over = True
            self._changed.notify()


class OnRay:
    """A member on a machine of the cluster, which begins as soon as one has room.

    Args:
        ray: the library, connected.
        cores, gpus: that it reserves.
        words: the command line that it obeys.
        folder: that it writes into.
    """

    def __init__(self, ray: Any, cores: int, gpus: int, words: Sequence[str], folder: Path) -> None:
        self._ray, self._cause, self._is_stopped = ray, "", False
        self._is_heard = False
        made = ray.remote(
            num_cpus=cores,
            num_gpus=gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            concurrency_groups={"tell": 1, "hear": 1},
        )(Actor)
        self._actor = made.remote(words, str(Path.cwd()), str(folder.absolute()))

    def tell(self, told: Told) -> None:
        self._is_stopped = self._is_stopped or "stop" in told
        self._actor.tell.options(concurrency_group="tell").remote(told)

    def hear(self) -> Iterator[Told]:
        errors = self._ray.exceptions
        known, heard = 0, None  # a machine that has no room yet is not silent
        asked = self._ask(known)
        while True:
            try:
                told, is_over = self._ray.get(asked, timeout=2 * BEAT)
            except (errors.GetTimeoutError, errors.ActorUnavailableError) as error:
                if heard is None and self._is_stopped:  # no machine has had room for it until now
                    return
                if heard is not None and time.monotonic() - heard > LEASE:
                    self._cause = f"silence for {LEASE:g} seconds"
                    return
                if isinstance(error, errors.ActorUnavailableError):
                    time.sleep(PAUSE)
                    asked = self._ask(known)
                continue
            except errors.RayError as error:
                self._cause = one_line(error)
                return
            heard, self._is_heard = time.monotonic(), True
            known += len(told)
            if not is_over or told:
                asked = self._ask(known)
            yield from told
            if is_over and not told:
                return

    def end(self) -> str:
        if self._cause or not self._is_heard:
            self._ray.kill(self._actor)
            return self._cause
        try:
            return str(self._ray.get(self._actor.end.remote(), timeout=LEASE))
        except self._ray.exceptions.RayTaskError as error:
            raise ManifestError(one_line(error.cause)) from None
        except self._ray.exceptions.RayError as error:
            return one_line(error)
        finally:
            self._ray.kill(self._actor)

    def _ask(self, known: int) -> Any:
        return self._actor.hear.options(concurrency_group="hear").remote(known, BEAT)


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes. Raises ConfigError: nobody listens there."""
    found = PLACE.fullmatch(address)
    if address in ("auto", "local") or not found:
        return
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), PATIENCE).close()
    except OSError as error:
        raise ConfigError(f"--ray {address}: no cluster is to be reached there ({one_line(error)})") from error


def places(address: str, count: int | None, words: Sequence[str]) -> list[Callable[[Path], Member]]:
    """What begins the members on a cluster.

    Args:
        address: of the cluster, as Ray has it: "auto" for the one that runs here, HOST:PORT, ray://HOST:PORT; "local"
            for one of this machine alone, which begins now.
        count: of the members; None for one a machine.
        words: the command line that each obeys.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
    try:
        ray: Any = import_module("ray")
    except ModuleNotFoundError as error:
        raise ConfigError(f"--ray needs Ray, here and on the cluster: {command('ray')}") from error
    _check_reachable(address)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": STORE} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"--ray {address}: no cluster is to be reached there ({one_line(error)})") from error
    machines = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not machines:
        raise ConfigError(f"--ray {address}: the cluster has no machine with a CPU to give")
    cores, gpus = ([int(node["Resources"].get(kind, 0)) for node in machines] for kind in ("CPU", "GPU"))
    each = min(cores) if count is None else max(1, min(max(cores), sum(cores) // count))
    return [partial(OnRay, ray, each, min(1, *gpus), words)] * (count or len(machines))
