"""One process of `watchline annotate --processes`: pipeline/crew/local.py starts this module.

What it is to do comes on its standard input, so that no list of processes shows it.
"""

import json
import os
import sys

from watchline.cli import main


def obey() -> int:
    """Do what the first line says: {"words": the command line, "cores": [0, 1], "folder": for what is written}."""
    told = json.loads(sys.stdin.readline())
    if told["cores"]:
        os.sched_setaffinity(0, told["cores"])
    command, *words = told["words"]
    return main([command, "--member", told["folder"], *words])


if __name__ == "__main__":
    sys.exit(obey())
