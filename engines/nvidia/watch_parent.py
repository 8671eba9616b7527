"""For a process that works for another one: end when that one ends, however it does."""

import os
import sys
import threading


def die_with_the_parent() -> None:
    """Watch the standard input, whose other end the parent holds until it is gone or done with this process."""

    stdin = sys.stdin.fileno()

    def wait() -> None:
        os.read(stdin, 1)  # sys.stdin has a lock, which a thread that waits would hold when the interpreter ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
