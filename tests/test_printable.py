"""Text of others can't garble a terminal."""

import pytest

from pdsup.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"), ("\x1b[2J\x1b[Hgone", "gone"), ("a\tb\x07", "a b"),
        ("\x1b]0;title\x07text", "text"), ("one\r\ntwo", "one  two"), ("\x9b2Jx", " 2Jx"),
        ("推論 é ok", "推論 é ok"), ("\u202etxt.exe", " txt.exe"),
        ("a\udcff.yaml", "a\\udcff.yaml"), ("\x1b", ""),
    ],
)  # fmt: skip
def test_control_characters_are_taken_out(text, shown):
    assert printable(text) == shown
