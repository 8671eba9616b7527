"""`watchline train lstm`, `rnn`, `deep-rnn` and `bidirectional-rnn`: networks that read a text."""

import argparse
import shlex
from typing import TYPE_CHECKING

from watchline.cli.exit_codes import DONE
from watchline.cli.train_report import report, say, settled

if TYPE_CHECKING:
    from watchline.train.text import Text


def language(options: argparse.Namespace) -> int:
    """Train a language model, measured at steps that double, with a sample of what it writes."""
    from watchline.train import language

    recipe = settled(options, language.Recipe(kind=options.model), "steps", "batch", "seed")
    text = _read(options, language.least(recipe))
    report(language.train(text, options.out, recipe, options.threads, say), recipe.steps)
    say(f"{options.out / language.CHECKPOINT}: done, {recipe.steps} steps; {language.STAGES} has samples of each stage")
    say(f"next: watchline write {shlex.quote(str(options.out / language.MODEL))}")
    return DONE


def tagger(options: argparse.Namespace) -> int:
    """Train a tagger of capitals; what it finds in the last tenth of the text is the result."""
    from watchline.train import capitals

    recipe = settled(options, capitals.Recipe(), "steps", "batch", "seed")
    text = _read(options, capitals.least(recipe))
    report(capitals.train(text, options.out, recipe, options.threads), recipe.steps)
    found = capitals.found(capitals.load(options.out, text, recipe), capitals.task(text, text.measure))
    say(
        f"{options.out / capitals.CHECKPOINT}: done, {recipe.steps} steps; of the capitals in the last tenth it finds "
        f"{found.recall:.3f}, and {found.precision:.3f} of what it finds are some"
    )
    return DONE


def _read(options: argparse.Namespace, least: int) -> "Text":
    """The text, with a line of what it is."""
    from watchline.train import text

    if len(options.data) > 1:
        options.parser.error(f"--data: {len(options.data)} files; {options.model} takes one text")
    read = text.read(options.data[0], least)
    say(
        f"{len(read.characters)} different characters; {len(read.learn)} to learn from, the last {len(read.measure)} "
        "to measure"
    )
    return read
