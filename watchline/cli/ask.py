"""`watchline ask PHOTO QUESTION`: a question about a photo, or about a frame of a video."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from watchline.cli import attention_file
from watchline.cli.arguments import words
from watchline.cli.exit_codes import DONE
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.streams.frame import Image

LATE = 1.0  # seconds after its last frame at which a video still shows it


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "ask",
        help="answer a question about a photo, or a frame of a video",
        description="Print the answer to a question about a photo, or about a frame of a video, and its probability.",
        allow_abbrev=False,
    )
    parser.add_argument("input", type=Path, metavar="FILE", help="photo or video file")
    parser.add_argument("question", metavar="QUESTION", help='in English, e.g. "What is on the table?"')
    parser.add_argument("--choices", type=words, metavar="A,B,…", help="answers to choose from (default: all it knows)")
    parser.add_argument(
        "--at", type=_moment, metavar="TIME", help="of a video: its frame at 45s, 1m30s (default: the first)"
    )
    parser.add_argument("--model", metavar="FILE|NAME", help="a model that answers (default: the one that ships)")
    parser.add_argument("--runtime", metavar="NAME", help="as `watchline annotate` has it")
    attention_file.add_to(parser, "write where the model looked for each word of the question")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the answer."""
    from watchline.pipeline.ask import ask
    from watchline.pipeline.stages.asker import Asker, unheard

    given = {name: value for name in ("model", "runtime", "choices") if (value := getattr(options, name)) is not None}
    asker = Asker(question=options.question, **given)
    if options.attention:
        attention_file.check(options)
        attention_file.check_input(options, options.input)
    image = _picture(options)
    looked = ask(image, asker, attention=bool(options.attention))
    if looked.unknown:
        print(concealed_text(f"watchline: {unheard(looked.unknown)}"), file=sys.stderr)
    if options.attention:
        attention_file.write(options, image, looked.words, looked.maps)
    print(concealed_text(f"{looked.answer.text} ({looked.answer.score:.0%})"))
    return DONE


def _picture(options: argparse.Namespace) -> "Image":
    """The photo, or the frame that is shown at that time. Raises StreamError: it cannot be read."""
    from watchline.streams.inputs import find_sources
    from watchline.streams.photos import PhotosSource

    found = find_sources([options.input])
    if found.problems:
        raise found.problems[0]
    if options.input.is_dir() or len(found.sources) != 1:
        options.parser.error(f"{options.input}: expected one photo or video file")
    [source] = found.sources
    if options.at and isinstance(source, PhotosSource):
        options.parser.error("--at is for videos: a photo has one picture")
    at = options.at or 0.0
    with source.open() as reader:
        frames = iter(reader)
        shown = next(frames)
        for frame in frames:
            if frame.seconds > at:
                return shown.image
            shown = frame
        if at > shown.seconds + LATE:
            options.parser.error(f"--at {at:g} s: {options.input} ends at {shown.seconds:.2f} s; name an earlier time")
        return shown.image


def _moment(text: str) -> float:
    """`1m30s`."""
    from watchline.pipeline.settings.duration import seconds

    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {error}") from None
