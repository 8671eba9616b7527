"""Connections between two hosts that a test can cut: a proxy on loopback, and a cable to a network namespace."""

import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import pytest


class Proxy:
    """Forwards TCP connections to a port of this host. It can be silent, and it can be cut.

    Attributes:
        address: the address to connect to instead of the port.
        silent: discard all data, like a network with an unplugged cable.
    """

    def __init__(self, port: int) -> None:
        self.silent = False
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._cut = self._stop = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()
        self._server.close()

    def cut(self) -> None:
        """Break all connections. New ones are still accepted."""
        self._cut = True

    def _run(self) -> None:
        while not self._stop:
            ready, _, _ = select.select([self._server, *self._pairs], [], [], 0.02)
            for end in ready:
                if end is self._server:
                    self._take()
                elif end in self._pairs:
                    self._forward(end)
            if self._cut:
                self._cut = False
                self._close_all()
        self._close_all()

    def _take(self) -> None:
        near, _ = self._server.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            near.close()
            return
        self._pairs |= {near: far, far: near}

    def _forward(self, end: socket.socket) -> None:
        try:
            data = end.recv(1 << 16)
            if data and not self.silent:
                self._pairs[end].sendall(data)
        except OSError:
            data = b""
        if not data:
            other = self._pairs.pop(end)
            self._pairs.pop(other, None)
            end.close()
            other.close()

    def _close_all(self) -> None:
        for end in self._pairs:
            end.close()
        self._pairs.clear()


class Wire:
    """A cable to another network namespace, which behaves like another host.

    Attributes:
        here, there: the addresses of its ends.
        enter: the beginning of a command line that runs in the namespace.
    """

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self.here, self.there = (f"10.{200 + number // 256 % 50}.{number % 256}.{end}" for end in (1, 2))
        self._name = f"wl{number}"
        self.enter = ["ip", "netns", "exec", self._name]

    def plug(self) -> None:
        """Have the wire carry what is sent."""
        _ip("link", "set", self._name, "up")

    def pull(self) -> None:
        """Have nothing cross any more; nobody is told."""
        _ip("link", "set", self._name, "down")

    def lay(self) -> None:
        """Create the namespace and the cable."""
        inner = f"{self._name}n"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._name, "type", "veth", "peer", "name", inner, "netns", self._name)
        _ip("address", "add", f"{self.here}/30", "dev", self._name)
        _ip("-n", self._name, "address", "add", f"{self.there}/30", "dev", inner)
        _ip("-n", self._name, "link", "set", inner, "up")
        _ip("-n", self._name, "link", "set", "lo", "up")
        self.plug()

    def remove(self) -> None:
        """Remove both."""
        subprocess.run(["ip", "netns", "delete", self._name], capture_output=True)


@contextmanager
def wire() -> Iterator[Wire]:
    """A cable to a namespace. It skips the test if namespaces are not allowed, and says why."""
    laid = Wire()
    try:
        laid.lay()
    except FileNotFoundError:
        pytest.skip("network namespaces need the command ip (package iproute2)")
    except PermissionError as error:
        laid.remove()
        pytest.skip(f"network namespaces are not allowed here: {error}")
    try:
        yield laid
    finally:
        laid.remove()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")
