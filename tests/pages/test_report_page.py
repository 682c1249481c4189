"""The report as a browser shows it."""

import json
import os
from pathlib import Path

import pytest

from pdsup.cli.report import gather, write
from tests.pages.browser import tab

NOON = 1795435200.0


@pytest.fixture
def report(tmp_path):
    """The page about three hours of nine units, with two benchmarks and an incident."""
    (tmp_path / "events").mkdir()
    with (tmp_path / "events" / "node0.jsonl").open("w") as file:
        for index in range(9):
            steps = [(index, "STARTING"), (900 + index, "RUNNING"), (5000, "BACKOFF")]
            steps += [(5060, "STARTING"), (5900, "RUNNING"), (10800, "STOPPED")]
            before = "STOPPED"
            for at, to in steps[: 2 if index else None]:
                raw = {"at": NOON + at, "node": "node0", "unit": f"decode-{index}", "run": 1,
                       "from": before, "to": to, "reason": "x" * 300}  # fmt: skip
                file.write(json.dumps(raw) + "\n")
                before = to
    one = {"command": ["./bench"] * 50, "began": NOON + 1000, "ended": NOON + 4000, "status": 0,
           "verdict": "clean", "incidents": []}  # fmt: skip
    last = {**one, "began": NOON + 4500, "ended": NOON + 9000, "verdict": "tainted"}
    (tmp_path / "run.json").write_text(json.dumps({**last, "earlier": [one]}))
    out = tmp_path / "report.html"
    write(gather(tmp_path, tmp_path), out)
    return out


async def test_the_report_fits_wide_and_narrow_screens_in_light_and_dark(report, tmp_path):
    pictures = Path(os.environ.get("PDSUP_PICTURES", tmp_path))
    grounds = {}
    async with tab() as page:
        for dark in (False, True):
            for width in (1280, 400):
                await page.open(report.as_uri(), width, dark=dark)
                assert await page.ask("document.documentElement.scrollWidth") <= width
                lanes = "document.querySelectorAll('.chart .row').length"
                assert await page.ask(lanes) == 11  # with the benchmarks and the axis
                await page.picture(pictures / f"report-{width}-{'dark' if dark else 'light'}.png")
            grounds[dark] = await page.ask("getComputedStyle(document.body).backgroundColor")
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith("file:")] == []
    assert grounds[False] != grounds[True]
