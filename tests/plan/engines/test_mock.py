"""The stand-in for an engine."""

from dataclasses import replace

from tests.plan.recipes import GOOD


def test_a_prefill_of_the_real_engine_stays_down_until_its_decodes_have_noticed(desk):
    real, mock = desk.plan(GOOD), desk.plan(GOOD, engine="mock")
    assert real.units[0].restart.first_delay_s == 15.0
    assert real.units[1].restart.first_delay_s == 1.0
    assert mock.units[0].restart.first_delay_s == 1.0


def test_it_differs_from_the_engine_in_its_program_and_its_restarts_alone(desk):
    real, mock = desk.plan(GOOD), desk.plan(GOOD, engine="mock")
    for one, other in zip(real.units, mock.units, strict=True):
        if one.kind == "worker":
            assert other.command[3:] == one.command[3:]
            other = replace(other, command=one.command, restart=one.restart)
        assert other == one
