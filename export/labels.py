"""Files of class names, one a line, as Darknet's `.names` are."""

from pathlib import Path

from watchline.export.errors import ExportRefused

MOST_BYTES = 1 << 20  # a file of names is some kilobytes; more is another file
EXPECTED = "expected a text file of class names, one a line"


def read(path: Path) -> tuple[str, ...]:
    """The names in the order of their lines. Spaces around a name and empty lines at the end do not count.

    Raises:
        ExportRefused: the file cannot be read, is no text, or a line has no name or one that was there before.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ExportRefused(f"{path}: it cannot be read ({error.strerror}); {EXPECTED}") from error
    if len(content) > MOST_BYTES:
        raise ExportRefused(f"{path}: it has more than {MOST_BYTES} bytes; {EXPECTED}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ExportRefused(f"{path}: it is no UTF-8 text ({error.reason}); {EXPECTED}") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not names:
        raise ExportRefused(f"{path}: it holds no names; {EXPECTED}")
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name or not name.isprintable():
            raise ExportRefused(f"{path}: line {number} is {name!r}; expected a class name")
        if name in first:
            raise ExportRefused(f"{path}: lines {first[name]} and {number} are both {name!r}; name each class once")
        first[name] = number
    return tuple(names)
