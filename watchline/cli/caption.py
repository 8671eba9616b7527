"""`watchline caption INPUT...`: what photos and videos show, in words; and where the captioner looked for each."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
    parser.add_argument(
        "--attention", type=Path, metavar="OUT.png", help="of one photo: write where the captioner looked for each word"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace that picture")
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
    import cv2

    from watchline.files import write_complete
    from watchline.ops.attention import attention_picture
    from watchline.pipeline.attention import attention
    from watchline.streams.inputs import find_sources
    from watchline.streams.photos import PhotosSource

    out: Path = options.attention
    if out.suffix.lower() not in (".png", ".jpg") or out.is_dir():
        options.parser.error(f"--attention {out}: expected the name of a .png or .jpg")
    if not out.absolute().parent.is_dir():
        options.parser.error(f"--attention {out}: expected a file in a folder that is there")
    if out.exists() and not options.overwrite:
        options.parser.error(f"--attention {out} is there already: name another, or add --overwrite")
    found = find_sources(options.inputs)
    if found.problems:
        raise found.problems[0]
    albums = [source for source in found.sources if isinstance(source, PhotosSource)]
    photos = [photo for album in albums for photo in album.files()]
    if len(found.sources) != 1 or len(photos) != 1:
        options.parser.error(f"--attention is of one photo, but the input is {' '.join(options.inputs)}")
    if out.exists() and out.samefile(photos[0]):
        options.parser.error(f"--attention {out} is the photo itself: name another file")
    with albums[0].open() as reader:
        frame = next(iter(reader))
    looked = attention(frame.image, captioner)
    good, coded = cv2.imencode(out.suffix.lower(), attention_picture(frame.image, looked.words, looked.maps))
    assert good, "a picture of ours"
    try:
        write_complete(out, coded.tobytes())
    except OSError as error:
        options.parser.error(f"--attention {out}: it cannot be written ({error.strerror}); name another place")
    print(concealed_text(f"{_name(frame)}: {looked.text}"))
    return DONE
