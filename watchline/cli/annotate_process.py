"""One process of `watchline annotate --processes`: its parent tells it on standard input what to do.

    python -m watchline.cli.annotate_process

Nobody else's command line shows what was typed, and the process ends with its standard input.
"""

import json
import os
import sys

from watchline.cli import main


def obey() -> int:
    """Do what the first line says: {"words": the command line, "lease": of what it claims, "cores": [0, 1]}."""
    told = json.loads(sys.stdin.readline())
    if told["cores"]:
        os.sched_setaffinity(0, told["cores"])
    command, *words = told["words"]
    return main([command, "--lease", told["lease"], *words])


if __name__ == "__main__":
    sys.exit(obey())
