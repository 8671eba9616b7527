"""One process of `watchline annotate --processes`: pipeline/crew/local.py starts this module.

What it is to do comes on its standard input, so that no list of processes shows it.
"""

import json
import os
import sys

from watchline.cli import main
from watchline.cli.standard_streams import make_lasting


def obey() -> int:
    """Do what the first line says: {"words": the command line, "cores": [0, 1], "folder": for what is written}."""
    make_lasting()
    channel = os.dup(1)
    os.dup2(2, 1)  # what stages of your own print must not get between
    told = json.loads(sys.stdin.readline())
    if told["cores"]:
        os.sched_setaffinity(0, told["cores"])
    command, *words = told["words"]
    return main([command, "--member", told["folder"], "--channel", str(channel), *words])


if __name__ == "__main__":
    sys.exit(obey())
