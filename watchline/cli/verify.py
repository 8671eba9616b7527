"""`watchline verify OUT`: are the outputs of a job complete, and still what was written?"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from watchline.cli.exit_codes import DONE, SOME_FAILED


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "verify",
        help="compare the outputs of a job with its manifest",
        description="Name outputs of `watchline annotate --resume` that are missing or damaged. The next --resume "
        "writes them anew.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="folder of the outputs")
    return parser


def run(options: argparse.Namespace) -> int:
    """Name what is wrong on stderr, and say how many files there are on stdout."""
    from watchline.pipeline.manifest import all_in, opened
    from watchline.pipeline.verify import verified

    damaged, counts = 0, Counter[str]()
    for shard in all_in(options.folder) or [None]:
        with opened(options.folder, is_new=False, shard=shard) as manifest:
            for _, wrong in verified(manifest):
                damaged += bool(wrong)
                for line in wrong:
                    print(f"watchline: damaged: {line}", file=sys.stderr)
            counts.update({state: count for state, (count, _) in manifest.counts().items()})
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    print(f"{options.folder}: {states or 'no files'}")
    return SOME_FAILED if damaged else DONE
