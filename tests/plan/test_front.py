"""Where clients talk to."""

from pdsup.plan.front import Server, front

NGINX = Server("nginx", None, None, "n0", 8000)
ROUTERS = [Server("router", None, None, f"n{i}", 30080) for i in range(2)]
AGG = [Server("worker", "agg", 0, f"n{i}", 30000) for i in range(2)]
DECODE = Server("worker", "decode", 0, "n1", 30000)


def test_clients_talk_to_nginx_else_the_first_router_else_the_only_aggregated_worker():
    assert front([*AGG, *ROUTERS, NGINX]) == "http://n0:8000"
    assert front([*AGG, *reversed(ROUTERS)]) == "http://n1:30080"
    assert front([AGG[0], DECODE]) == "http://n0:30000"
    assert front(AGG) is None
    assert front([DECODE]) is None


def test_other_ranks_of_an_aggregated_worker_are_no_servers_of_their_own():
    assert front([AGG[0], Server("worker", "agg", 1, "n1", 30000)]) == "http://n0:30000"


def test_what_serves_no_http_is_passed_over():
    assert front([Server("router", None, None, "n0", None), ROUTERS[1]]) == "http://n1:30080"


def test_an_ipv6_address_stands_in_brackets():
    assert front([Server("nginx", None, None, "fd00::1", 8000)]) == "http://[fd00::1]:8000"
