"""`watchline write [MODEL] --seed TEXT`: let a language model go on with a text, character by character."""

import argparse

from watchline.cli.arguments import at_least, temperature
from watchline.cli.exit_codes import DONE

LENGTH = 500
TEMPERATURE = 0.8


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "write",
        help="let a language model go on with a text",
        description="Print a text, and what a language model writes after it, character by character.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a model.onnx of `watchline train lstm`, or one that ships (default)"
    )
    parser.add_argument("--seed", default="", metavar="TEXT", help='what it begins with, e.g. "ROMEO:"')
    parser.add_argument("--length", type=at_least(1), default=LENGTH, help="characters to write (default: %(default)s)")
    parser.add_argument(
        "--temperature",
        type=temperature,
        default=TEMPERATURE,
        metavar="T",
        help="1: as its probabilities are; less: rather what is likely, 0: always the likeliest (default: %(default)s)",
    )
    parser.add_argument(
        "--random-seed", type=at_least(0), metavar="N", help="of chance (default: another one each time)"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the text as it is written."""
    import numpy as np

    from watchline.engines import zoo
    from watchline.engines.language import LanguageModel
    from watchline.pipeline.write import write

    with LanguageModel(zoo.find(options.model or zoo.WRITER, zoo.TEXT)) as model:
        random = np.random.default_rng(options.random_seed)
        written = write(model, options.seed, options.length, options.temperature, random)
        print(options.seed, end="", flush=True)
        for character in written:
            print(character, end="", flush=True)
    print()
    return DONE
