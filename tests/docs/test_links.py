"""What a page points to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, name, prose

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:supervisor|configs|docs|systemd|tests|\.ci)/[\w./@-]*)`")
ROOMS = "plan|node|units|journal|cluster|front|agent|api|cli|mock"
IN_PACKAGE = re.compile(rf"`((?:{ROOMS})/[\w./]*)`")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    broken = [link for link in LINK.findall(prose(page)) if not leads_somewhere(page, link)]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_that_a_page_names_is_in_the_repository(page: Path) -> None:
    text, package = prose(page), ROOT / "supervisor" / "pdsup"
    missing = [path for path in FILE.findall(text) if not (ROOT / path).exists()]
    assert missing + [one for one in IN_PACKAGE.findall(text) if not (package / one).exists()] == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = DOCS / "README.md"
    found = [index]
    for page in found:
        links = [link.partition("#")[0] for link in LINK.findall(prose(page))]
        targets = [(page.parent / link).resolve() for link in links if link.endswith(".md")]
        found += [target for target in targets if target not in found]
    assert sorted(set(DOCS.rglob("*.md")) - set(found)) == []


def leads_somewhere(page: Path, link: str) -> bool:
    """True also for links that leave the repository: these are not looked at."""
    if re.match(r"[a-z]+:", link):
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not (target.exists() and target.is_relative_to(ROOT)):
        return False
    return not anchor or anchor in headings(target)


def headings(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
