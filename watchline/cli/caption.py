"""`watchline caption INPUT...`: what photos and videos show, in words; and where the captioner looked for each."""

import argparse
import sys
from typing import TYPE_CHECKING

from watchline.cli import attention_file
from watchline.cli.exit_codes import DONE, SOME_FAILED
from watchline.cli.title import concealed_text

if TYPE_CHECKING:
    from watchline.pipeline.stages.captioner import Captioner
    from watchline.streams.frame import Frame


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Its options."""
    parser = commands.add_parser(
        "caption",
        help="say what photos and videos show",
        description="Print a line for each photo, and for each scene of a video.",
        allow_abbrev=False,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="photo, video file, folder or pattern 'glob/*.jpg'")
    parser.add_argument("--model", metavar="FILE|NAME", help="a captioner, one of `watchline models` or a file")
    parser.add_argument("--runtime", metavar="NAME", help="as `watchline annotate` has it")
    attention_file.add_to(parser, "of one photo: write where the captioner looked for each word")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the captions; a source that breaks is named at the end."""
    from watchline.pipeline.caption import caption
    from watchline.pipeline.errors import StageError
    from watchline.pipeline.stages.captioner import Captioner
    from watchline.pipeline.streams import typed

    given = {name: value for name in ("model", "runtime") if (value := getattr(options, name)) is not None}
    captioner = Captioner(**given)
    if options.attention:
        return _attend(options, captioner)
    gathered = typed(options.inputs, {}, {})
    failed = [*map(str, gathered.problems)]
    for source in gathered.sources:
        try:
            for frame, said in caption(source, captioner):
                print(concealed_text(f"{_name(frame)}: {said.text}"), flush=True)
        except StageError as error:
            failed.append(str(error))
    for line in failed:
        print(concealed_text(f"watchline: failed: {line}"), file=sys.stderr)
    return SOME_FAILED if failed else DONE


def _name(frame: "Frame") -> str:
    return frame.file if frame.file is not None else f"{frame.stream} {frame.seconds:.2f} s"


def _attend(options: argparse.Namespace, captioner: "Captioner") -> int:
    """Write where the captioner looked, and print the caption."""
    from watchline.pipeline.attention import attention
    from watchline.streams.inputs import find_sources
    from watchline.streams.photos import PhotosSource

    attention_file.check(options)
    found = find_sources(options.inputs)
    if found.problems:
        raise found.problems[0]
    albums = [source for source in found.sources if isinstance(source, PhotosSource)]
    photos = [photo for album in albums for photo in album.files()]
    if len(found.sources) != 1 or len(photos) != 1:
        options.parser.error(f"--attention is of one photo, but the input is {' '.join(options.inputs)}")
    attention_file.check_input(options, photos[0])
    with albums[0].open() as reader:
        frame = next(iter(reader))
    looked = attention(frame.image, captioner)
    attention_file.write(options, frame.image, looked.words, looked.maps)
    print(concealed_text(f"{_name(frame)}: {looked.text}"))
    return DONE
