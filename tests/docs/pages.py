"""The documentation as the tests read it: its pages, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*) ?([\w.]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """One block of code: its language, its title (a file's name, mostly), and what is in it."""

    language: str
    title: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What a reader types: the lines behind ``$`` on a console, everything in a script."""
        if self.language == "console":
            return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return [self.text.replace("\\\n", " ")] if self.language == "bash" else []


def name(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Every block of a page, in order."""
    text = page.read_text("utf-8")
    found = [Block(*groups) for groups in _BLOCK.findall(text)]
    assert 2 * len(found) == text.count("```"), f"{name(page)} has a block that can't be read"
    return found


def block(page: Path, title: str) -> str:
    """The text of the block with a title."""
    (only,) = (one.text for one in blocks(page) if one.title == title)
    return only


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _BLOCK.sub("", page.read_text("utf-8"))
