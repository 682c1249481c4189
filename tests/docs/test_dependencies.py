"""Every dependency has its reason, and nothing else has one."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import DOCS, ROOT

PAGE = DOCS / "explanation" / "dependencies.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ROW = re.compile(r"^\| (?!---)([^|]+) \|", re.M)
EXTRA_ROW = re.compile(r"^\| (?!---)([^|]+) \| ([^|]+) \| [^|]+ \|$", re.M)


def test_the_page_lists_what_the_package_needs_at_run_time() -> None:
    assert ROW.findall(section("At run time"))[1:] == packages(PROJECT["dependencies"])


def test_the_page_lists_what_development_needs() -> None:
    development = packages(PROJECT["optional-dependencies"]["dev"])
    assert ROW.findall(section("For development"))[1:] == development


def test_the_page_lists_every_other_extra() -> None:
    extras = [
        (extra, package)
        for extra, needed in PROJECT["optional-dependencies"].items()
        if extra != "dev"
        for package in packages(needed)
    ]
    assert EXTRA_ROW.findall(section("Extras"))[1:] == extras


def packages(requirements: list[str]) -> list[str]:
    """Names without versions."""
    return [re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in requirements]


def section(title: str) -> str:
    """The text below a heading, to the next one."""
    _, _, after = PAGE.read_text("utf-8").partition(f"## {title}\n")
    assert after, f"{PAGE} has no section {title}"
    return after.partition("\n## ")[0]
