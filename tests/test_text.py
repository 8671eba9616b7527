import json

import pytest

from watchline.text import json_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tür 1.mp4, 門, 👩‍🚀, a\u00a0b", "tür 1.mp4, 門, 👩‍🚀, a\u00a0b"),
        ("two\n\tlines", "two\n\tlines"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b2J", "\\u009b2J"),
        ("a\rb\x08\x7f\0", "a\\u000db\\u0008\\u007f\\u0000"),
        ("gpj.\u202eexe\u2066\u2028", "gpj.\\u202eexe\\u2066\\u2028"),
        ("\udcff\udc9b31m", "\\xff\\x9b31m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_nothing_that_a_terminal_obeys_is_shown(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize("indent", [None, 2])
def test_names_that_are_no_utf_8_are_json_that_every_reader_takes(indent):
    value = {"\udcff.mp4": ["a\udc80", "\\udc80", "\ud800", 1.5, None], "ä": "🁀 \ud83d", "b": "\\\udcff"}
    text = json_text(value, indent)
    assert text.isascii()
    read = json.loads(text)
    json.dumps(read, ensure_ascii=False).encode()  # no lone half of a pair is left
    assert read == {"\\xff.mp4": ["a\\x80", "\\udc80", "\\ud800", 1.5, None], "ä": "🁀 \\ud83d", "b": "\\\\xff"}
    assert list(read) == ["\\xff.mp4", "ä", "b"]


def test_other_json_is_as_ever():
    value = {"a": [1, 2.5, "ä🁀\x1b\\u"], "b": None}
    assert json_text(value) == json.dumps(value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(float("nan"))
