"""The live page in a real browser."""

import os
import signal
from pathlib import Path

import pytest

from tests.pages.browser import tab

SLOW = {"first_delay_s": 1000.0, "delay_s": 1000.0}
ROWS = "document.querySelectorAll('#units .item').length"


@pytest.fixture
def cluster(agents, wait_for):
    """Two nodes; a worker on the second one that stays away for long when it dies."""
    plan = agents.plan(
        agents.unit("router", needs=["worker"]),
        agents.unit("worker", node="node1", restart=SLOW),
        agents.unit("other"),
        nodes=2,
    )
    agents.start(plan, "node0", "node1")
    wait_for(lambda: agents.look("router")["state"] == "RUNNING")
    return agents


def link(agents):
    return agents.tell("node0", "/v1/link", {})["url"]


def state(unit, word):
    return f"document.querySelector('[data-unit={unit}]')?.dataset.state === '{word}'"


async def test_the_page_follows_a_killed_worker_and_has_nothing_to_complain_of(
    cluster,
):
    pid = cluster.reaches("RUNNING", "worker", "node1")["pid"]
    async with tab() as page:
        await page.open(link(cluster))
        await page.until(state("worker", "RUNNING"))
        assert await page.ask("document.getElementById('link').textContent") == "live"
        os.kill(pid, signal.SIGKILL)
        await page.until(state("worker", "BACKOFF"))
        first = "document.querySelector('#units .item').dataset.unit"
        assert await page.ask(first) == "worker"  # what needs attention is on top
        await page.until("document.querySelector('#events').textContent.includes('SIGKILL')")
        assert page.errors == []
        home = f"http://{cluster.addresses['node0']}:9440/"
        asked = [url for url in page.requests if not url.startswith((home, "data:"))]
        assert asked == []


async def test_the_page_fits_wide_and_narrow_screens_in_light_and_dark(cluster, tmp_path):
    pictures = Path(os.environ.get("PDSUP_PICTURES", tmp_path))
    grounds = {}
    async with tab() as page:
        for dark in (False, True):
            for width in (1280, 400):
                await page.open(link(cluster), width, dark=dark)
                await page.until(f"{ROWS} === 3")
                assert await page.ask("document.documentElement.scrollWidth") <= width
                await page.picture(pictures / f"live-{width}-{'dark' if dark else 'light'}.png")
            grounds[dark] = await page.ask("getComputedStyle(document.body).backgroundColor")
        assert page.errors == []
    assert grounds[False] != grounds[True]


async def test_the_page_says_when_the_agent_has_gone(cluster):
    async with tab() as page:
        await page.open(link(cluster))
        await page.until(f"{ROWS} === 3")
        cluster.signal(signal.SIGKILL, "node0")
        await page.until("document.getElementById('link').textContent.includes('lost')")
        assert await page.ask(ROWS) == 3  # the last that was known stays
