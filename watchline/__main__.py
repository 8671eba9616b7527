"""`python -m watchline`: the command line."""

import sys

from watchline.cli import main

if __name__ == "__main__":  # so that a process that is spawned from here does not run it again
    sys.exit(main())
