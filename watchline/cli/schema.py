"""`watchline schema`: the JSON Schema of the events, with what stages of your own write."""

import argparse
import json
from pathlib import Path

from watchline.cli.exit_codes import DONE


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of the events",
        description="Print the JSON Schema of one line of the events, with the results and events of all stages.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="the stages that it names")
    parser.add_argument(
        "--stage", action="append", default=[], metavar="MODULE:CLASS", help="a stage of your own, as `run` has it"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from watchline.pipeline import config
    from watchline.pipeline.schema import schema_of
    from watchline.pipeline.stages.registry import STAGES

    settings = config.load(options.config, stages=options.stage)
    options.conceal = settings.conceal
    others = [stage for stage in settings.stages if type(stage) not in STAGES]
    print(json.dumps(schema_of([*STAGES, *others]), indent=2, ensure_ascii=False))
    return DONE
