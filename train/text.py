"""A text to learn from: its characters as numbers, and the part that is kept to measure on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchline.models.errors import DatasetError

MEASURED = 0.1  # the last part of a text, never learnt from
MOST_BYTES = 1 << 28
MOST_CHARACTERS = 4096  # different ones; each is a row of one-hot vectors


@dataclass(frozen=True)
class Text:
    """Attributes:
    characters: all different ones, in the order of their code points.
    learn, measure: their numbers in the text, (n,) int64; the first 90 % and the last 10 %.
    """

    characters: str
    learn: NDArray[np.int64]
    measure: NDArray[np.int64]


def read(file: Path, least: int) -> Text:
    """Read a text in UTF-8.

    Args:
        least: characters that there must be to learn from.

    Raises:
        DatasetError: it is missing, no text, too short, too large, or has too many different characters.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DatasetError(f"{file}: it has {file.stat().st_size} bytes; expected up to {MOST_BYTES}: cut it")
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file}: it is no UTF-8 ({error.reason}); expected a plain text") from error
    except OSError as error:
        raise DatasetError(f"{file}: it cannot be read ({error.strerror}); expected a plain text") from error
    return of(text, least, str(file))


def of(text: str, least: int, where: str) -> Text:
    """A text in memory; `where` is what errors name. Raises as `read`."""
    characters = "".join(sorted(set(text)))
    if len(characters) > MOST_CHARACTERS:
        raise DatasetError(
            f"{where}: it has {len(characters)} different characters; expected up to {MOST_CHARACTERS}: "
            "replace the rare ones"
        )
    number_of = {character: number for number, character in enumerate(characters)}
    numbers = np.array([number_of[character] for character in text], np.int64)
    begin = round(len(numbers) * (1 - MEASURED))
    if begin < least:
        raise DatasetError(
            f"{where}: it has {len(numbers)} characters, of which {begin} are to learn from; expected {least} at "
            "least: name a longer text, or a smaller --batch"
        )
    return Text(characters, numbers[:begin], numbers[begin:])


def streams(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The numbers as `count` rows of equal length, one part of the text each; what is left over at the end is cut."""
    length = len(numbers) // count
    return numbers[: count * length].reshape(count, length)
