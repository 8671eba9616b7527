"""Ends a child process when its parent ends, for any reason."""

import os
import sys
import threading


def die_with_the_parent() -> None:
    """Watch the standard input. The parent holds its other end until it ends or no longer needs this process."""

    stdin = sys.stdin.fileno()

    def wait() -> None:
        os.read(stdin, 1)  # not sys.stdin.read: it would hold a lock when the interpreter ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
