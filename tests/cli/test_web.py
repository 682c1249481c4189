"""``pdsup web``."""

import json
import urllib.error
import urllib.request

import pytest


def test_a_link_leads_to_the_live_page_once(agents, pdsup):
    agents.start(agents.plan(agents.unit("a")))
    done = pdsup("web")
    (url,) = done.stdout.splitlines()
    assert done.returncode == 0
    assert url.startswith(f"http://{agents.addresses['node0']}:9440/?key=")
    assert done.stderr.startswith("The link works once, within 10 min. ")
    tunnel, elsewhere = (line.strip() for line in done.stderr.splitlines()[1:])
    assert tunnel.startswith(f"ssh -L 9440:{agents.addresses['node0']}:9440 ")
    assert elsewhere == url.replace(agents.addresses["node0"], "localhost")
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with opener.open(url, timeout=60) as page:
        assert b"EventSource" in page.read()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(url, timeout=60)


def test_the_link_as_json_is_one_value(agents, pdsup):
    agents.start(agents.plan(agents.unit("a")))
    found = json.loads(pdsup("web", "--json").stdout)
    assert found.keys() == {"url", "address", "port", "seconds"}


def test_prometheus_gets_in_with_the_view_token_of_the_run_directory(agents):
    agents.start(agents.plan(agents.unit("a")))
    path = agents.run_dir / "view-token"
    assert path.stat().st_mode & 0o777 == 0o600
    request = urllib.request.Request(
        f"http://{agents.addresses['node0']}:9440/metrics",
        headers={"Authorization": f"Bearer {path.read_text()}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert b'pdsup_unit_ready{node="node0",unit="a",role="service"}' in answer.read()


def test_without_an_agent_there_is_no_link(pdsup):
    assert pdsup("web").returncode == 4
