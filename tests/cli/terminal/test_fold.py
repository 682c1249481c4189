"""Long lines are folded between words."""

import pytest

from pdsup.cli.terminal.fold import folded


def test_a_line_is_folded_between_words_and_its_rest_indented():
    assert folded(["  one two three"], 9, "  ") == ["  one two", "    three"]


@pytest.mark.parametrize("quantity", ["58 s", "1 min", "12 h", "3 d", "1.5 GiB"])
def test_a_number_and_its_unit_stay_on_one_line(quantity):
    line = f"it took {quantity}: done"
    for width in range(12, len(line)):
        assert any(quantity in part for part in folded([line], width))
        assert "".join(folded([line], width, " ")) == line
