"""DAQUAR's layout: photos of rooms, questions about them and people's answers (Malinowski and Fritz, 2014)."""

import json
from pathlib import Path
from typing import NamedTuple

from watchline.ops.errors import AnnotationRefused

SPLITS = ("train", "test")


class Asked(NamedTuple):
    """A question about a photo.

    Attributes:
        photo: its file.
        question: as people wrote it.
        answer: one word in lower case, or several where there are several things; a word of two is one with `_`, as
            `night_stand`.
    """

    photo: Path
    question: str
    answer: tuple[str, ...]


def read(folder: Path, split: str) -> list[Asked]:
    """The questions of a split, in the order of the file.

    Args:
        folder: has train.jsonl and test.jsonl, with a line {"image": "image3", "question": "...", "answer": ["lamp"]}
            for each question, and images/image3.jpg.
        split: one of SPLITS.

    Raises:
        AnnotationRefused: the folder does not have them, or an answer is not such a word.
    """
    file = folder / f"{split}.jsonl"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationRefused(
            f"{folder}: {error}; expected DAQUAR's layout: {file.name} with questions and answers, and images/"
        ) from error
    asked = [_asked(folder, line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]
    if not asked:
        raise AnnotationRefused(f"{file}: it has no question; expected a line for each")
    return asked


def _asked(folder: Path, line: str, where: str) -> Asked:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    match row:
        case {"image": str(image), "question": str(question), "answer": [str(), *_] as answer} if Path(
            image
        ).name == image and all(isinstance(word, str) for word in answer):
            if wrong := [word for word in answer if not _is_answer(word)]:
                raise AnnotationRefused(
                    f"{where}: the answer {wrong[0][:40]!r}: expected a word in lower case, as 'lamp' or 'night_stand'"
                )
            return Asked(folder / "images" / f"{image}.jpg", question, tuple(answer))
    raise AnnotationRefused(
        f'{where}: it is {line[:60]!r}; expected {{"image": "image3", "question": "what is it ?", "answer": ["lamp"]}}'
    )


def _is_answer(word: str) -> bool:
    """Whether a model can have it among its answers, which are kept a line each, and people can name it as a choice."""
    return word.split() == [word] and word.isprintable() and word == word.lower()
