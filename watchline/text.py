"""Text from outside, as it can be shown and written: file names, labels, what servers say. Any folder may import this.

A file's name may be no UTF-8: Python keeps such a byte as a letter from U+DC80 to U+DCFF. Here it becomes `\\xff`.
"""

import json
import re
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")
# What a terminal obeys instead of showing it, or what changes the direction of the text around it.
_OBEYED = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with nothing in it that a terminal would obey: such letters as `\\u001b`. Lines and tabs stay."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", _LONE.sub(_byte, text))


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON in ASCII that every reader takes: names that are no UTF-8 have `\\xff` as three letters more.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, indent=indent, allow_nan=False)
    if "\\ud" not in text:
        return text
    whole = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return json.dumps(json.loads(_LONE.sub(lambda found: "\\" + _byte(found), whole)), indent=indent)


def _byte(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
