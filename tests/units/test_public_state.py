"""The words for the state of a unit, and the predicates over them."""

import inspect
import json

import pytest

from pdsup.units import public_state
from pdsup.units.public_state import PublicState

PREDICATES = {
    name: value for name, value in vars(PublicState).items() if isinstance(value, property)
}


def test_a_word_is_written_to_json_as_it_is_shown() -> None:
    assert json.loads(json.dumps({word: word for word in PublicState})) == {
        word.name: word.name for word in PublicState
    }


def test_an_agent_reports_every_word_of_its_own_units_but_unknown() -> None:
    assert set(PublicState) - set(public_state.REPORTED) == {PublicState.UNKNOWN}


@pytest.mark.parametrize("name", PREDICATES)
def test_a_predicate_holds_for_exactly_the_words_that_its_docstring_lists(name: str) -> None:
    told = inspect.getdoc(PREDICATES[name]) or ""
    listed = told.partition("\n\n")[0].rstrip(".").rpartition(": ")[2].split()
    assert {word for word in PublicState if getattr(word, name)} == set(listed)


@pytest.mark.parametrize("one", PREDICATES)
def test_no_two_predicates_hold_for_the_same_words(one: str) -> None:
    held = {name: {word for word in PublicState if getattr(word, name)} for name in PREDICATES}
    assert [name for name in PREDICATES if held[name] == held[one]] == [one]
