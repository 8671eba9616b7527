"""`--attention OUT.png`: a picture of where a model looked, checked before anything is computed."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from watchline.streams.frame import Image


def add_to(parser: argparse.ArgumentParser, help: str) -> None:
    """`--attention` and `--overwrite`."""
    parser.add_argument("--attention", type=Path, metavar="OUT.png", help=help)
    parser.add_argument("--overwrite", action="store_true", help="replace that picture")


def check(options: argparse.Namespace) -> None:
    """Leaves by argparse's usage error where the picture cannot be written."""
    out: Path = options.attention
    if out.suffix.lower() not in (".png", ".jpg") or out.is_dir():
        options.parser.error(f"--attention {out}: expected the name of a .png or .jpg")
    if not out.absolute().parent.is_dir():
        options.parser.error(f"--attention {out}: expected a file in a folder that is there")
    if out.exists() and not options.overwrite:
        options.parser.error(f"--attention {out} is there already: name another, or add --overwrite")


def check_input(options: argparse.Namespace, file: Path) -> None:
    """Leaves by argparse's usage error where the picture would replace the file that is looked at."""
    if options.attention.exists() and options.attention.samefile(file):
        options.parser.error(f"--attention {options.attention} is the photo itself: name another file")


def write(
    options: argparse.Namespace, photo: "Image", words: Sequence[str], looked: "NDArray[np.float32]", columns: int = 5
) -> None:
    """Write it; leaves by argparse's usage error where that fails. Args: as `attention_picture` takes them."""
    import cv2

    from watchline.files import write_complete
    from watchline.ops.attention import attention_picture

    out: Path = options.attention
    good, coded = cv2.imencode(out.suffix.lower(), attention_picture(photo, words, looked, columns))
    assert good, "a picture of ours"
    try:
        write_complete(out, coded.tobytes())
    except OSError as error:
        options.parser.error(f"--attention {out}: it cannot be written ({error.strerror}); name another place")
