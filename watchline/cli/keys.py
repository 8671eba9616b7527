"""`watchline keys NAME`: a pair of keys for a host, so that stages can talk across a network."""

import argparse
from pathlib import Path

from watchline.cli.exit_codes import DONE


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "keys",
        help="make a pair of keys, for stages on several hosts",
        description="Write NAME.key, which stays on its host, and NAME.pub, which the other hosts get.",
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", type=Path, help="of the host, e.g. gpu")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the two files."""
    from watchline.pipeline.remote.keys import write_pair

    secret, public = write_pair(options.name)
    print(f"{secret}: the secret key of this host: it stays here")
    print(f"{public}: the public key, for the hosts that work with this one")
    return DONE
