"""Routers of SMG, the successor of SGLang's router."""

from tests.plan.recipes import GOOD

SMG = "frontend.launcher=smg launch"


def test_the_successor_of_the_router_can_be_chosen(desk):
    plan = desk.plan(GOOD, SMG)
    old, new = desk.plan(GOOD).by_name["router-0"], plan.by_name["router-0"]
    assert old.command[:3] == ("python3", "-m", "sglang_router.launch_router")
    assert new.command == ("smg", "launch", *old.command[3:])
    assert "must be one of" in desk.problem(GOOD, "frontend.launcher=smg").message


def test_it_is_asked_and_stopped_as_the_router_before_it(desk):
    old, new = (desk.plan(GOOD, *chosen).by_name["router-0"] for chosen in ((), (SMG,)))
    assert (new.ports, new.probes, new.stop) == (old.ports, old.probes, old.stop)
