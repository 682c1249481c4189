"""The report as a browser shows it."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pdsup.cli.report import gather, write
from pdsup.cli.results import metrics, results
from pdsup.cli.results.results_rules import Attempt, Results
from tests.pages.browser import tab

NOON = 1795435200.0


def point(name, tpot):
    told = {"completed": 9, "total_output_tokens": 9, "output_throughput": 1e5 / tpot,
            "median_tpot_ms": tpot, "median_ttft_ms": 30.0, "p99_ttft_ms": 900.0}  # fmt: skip
    return Attempt(point=name, verdict="clean", attempt=2, gpus=32, metrics=metrics.of(told))


@pytest.fixture
def report(tmp_path):
    """The page about three hours of nine units, with two benchmarks, an incident and a sweep."""
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
    points = ("1", "8", "64", "256")
    rows = [point(name, 5.0 * 2**number) for number, name in enumerate(points)]
    spoiled = [replace(rows[1], verdict="tainted", attempt=1, why="decode-0 was restarted " * 9)]
    results.write(tmp_path, Results(points=points, attempts=(*spoiled, *rows)))
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
                assert await page.ask("document.querySelectorAll('.plot .curve').length") == 4
                await page.picture(pictures / f"report-{width}-{'dark' if dark else 'light'}.png")
            grounds[dark] = await page.ask("getComputedStyle(document.body).backgroundColor")
        assert page.errors == []
        assert [url for url in page.requests if not url.startswith("file:")] == []
    assert grounds[False] != grounds[True]
