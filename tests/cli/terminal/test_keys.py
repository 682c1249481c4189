"""Keys as terminals send them."""

import pytest

from pdsup.cli.terminal.keys import Key, parsed


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", [Key.QUIT]), (b"\x1b", [Key.BACK]), (b"\r", [Key.ENTER]), (b"\n", [Key.ENTER]),
        (b"l", [Key.LOGS]), (b"\x1b[A", [Key.UP]), (b"\x1bOB", [Key.DOWN]),
        (b"jk", [Key.DOWN, Key.UP]), (b"\x1b[B\x1b[Bl", [Key.DOWN, Key.DOWN, Key.LOGS]),
        (b"\x1b\x1b[A", [Key.BACK, Key.UP]), (b"\x1bq", [Key.BACK, Key.QUIT]),
    ],
)  # fmt: skip
def test_a_key_is_known_by_its_bytes(data, keys):
    assert list(parsed(data)) == keys


@pytest.mark.parametrize("data", [b"x", b"\x1b[5~", b"\x1b[1;5C", b"\x1b[", "é".encode(), b""])
def test_other_keys_do_nothing(data):
    assert list(parsed(data)) == []
