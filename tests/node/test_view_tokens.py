"""What lets somebody look who can't sign."""

import pytest

from pdsup.node import signatures

TOKEN, OTHER = "a" * 64, "b" * 64
NOW = 1.7e9


def test_a_ticket_is_good_for_its_run_until_it_runs_out():
    given = signatures.ticket(TOKEN, NOW)
    assert signatures.is_good(TOKEN, given, NOW)
    assert signatures.is_good(TOKEN, given, NOW + signatures.TICKET_S)
    assert not signatures.is_good(TOKEN, given, NOW + signatures.TICKET_S + 1)
    assert not signatures.is_good(OTHER, given, NOW)


def test_a_ticket_can_not_be_prolonged_by_its_holder():
    until, _, mac = signatures.ticket(TOKEN, NOW).partition(".")
    assert not signatures.is_good(TOKEN, f"{int(until) + 9}.{mac}", NOW)


@pytest.mark.parametrize(
    "given", ["", ".", "x", "1.2", f"nan.{'0' * 64}", "\udcff.\udcff", "9" * 99]
)
def test_what_is_no_ticket_is_not_good(given):
    assert not signatures.is_good(TOKEN, given, NOW)


def test_the_view_token_is_that_of_the_run_and_no_ticket_nor_the_token_itself():
    token = signatures.view_token(TOKEN)
    assert signatures.is_view_token(TOKEN, token)
    for given in (TOKEN, signatures.view_token(OTHER), signatures.ticket(TOKEN, NOW), "", "\udcff"):
        assert not signatures.is_view_token(TOKEN, given)
    assert not signatures.is_good(TOKEN, f"{NOW}.{token}", NOW)
