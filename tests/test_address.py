"""How addresses and ports are written."""

import pytest

from pdsup import address


@pytest.mark.parametrize(
    ("host", "written"),
    [("node3", "node3:80"), ("10.0.0.7", "10.0.0.7:80"), ("fd00::1", "[fd00::1]:80"),
     ("::1", "[::1]:80"), ("*", "*:80")],
)  # fmt: skip
def test_a_port_follows_a_host_that_has_brackets_if_it_is_of_ipv6(host, written):
    assert address.endpoint(host, 80) == written
    assert address.split(written) == (host, "80")


def test_a_url_is_an_endpoint_and_a_path():
    assert address.url("::1", 9440, "/livez") == "http://[::1]:9440/livez"
    assert address.url("node3", 9440) == "http://node3:9440"


def test_what_listens_everywhere_is_asked_over_the_loopback_of_the_same_kind():
    assert (address.everywhere("fd00::1"), address.loopback("fd00::1")) == ("::", "::1")
    assert (address.everywhere("node3"), address.loopback("node3")) == ("0.0.0.0", "127.0.0.1")
