"""`python -m watchline`, and the command `watchline`: the command line."""

import os
import signal
import sys

SERVICES = ("run", "stage")  # commands that are stopped by a signal, as others end


def main() -> int:
    """Run the command line. Returns its exit code.

    Loading it takes a while. A signal that comes before anything was begun ends the process at once.
    """
    code = 0 if sys.argv[1:2] and sys.argv[1] in SERVICES else 130
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(code))
    from watchline.cli import main as command_line

    return command_line()


if __name__ == "__main__":  # so that a process that is spawned from here does not run it again
    sys.exit(main())
