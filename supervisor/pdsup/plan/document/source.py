"""Reads a recipe or plan file, picks the chosen variants and applies the overrides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pdsup.errors import InvalidDocument, Problem, UnreadableDocument, WrongUsage, short
from pdsup.plan.document import syntax, tree, variants
from pdsup.plan.document.syntax import Item
from pdsup.plan.document.variants import Variant

# A plan of 1000 nodes has 2 MB. The limit keeps /dev/zero and model weights out of memory.
MOST_BYTES = 256 << 20
# How many problems of one file are listed.
MOST_PROBLEMS = 200
# How many variants an error message lists.
MOST_NAMED = 40


@dataclass(frozen=True, slots=True)
class Source:
    """One plan or recipe of a file, after overrides, with the problems so far.

    ``variant``: its name, if the file has several. ``broken``: it could not be built from the
    file's tables, so there is nothing to compile.
    """

    path: Path
    content: bytes
    root: Item
    problems: tuple[Problem, ...]
    is_plan: bool
    variant: str | None
    broken: bool

    def locate(self, more: Iterable[Problem]) -> tuple[Problem, ...]:
        """All problems so far and ``more``, with their lines, without duplicates, in file order."""
        located = {*self.problems, *(tree.locate(self.root, problem) for problem in more)}
        return listed(located)

    def refuse(self, more: Iterable[Problem]) -> tuple[Problem, ...]:
        """Raises InvalidDocument if there is an error, so far or in ``more``; else the warnings."""
        located = self.locate(more)
        if any(problem.severity == "error" for problem in located):
            raise InvalidDocument(str(self.path), located)
        return located


def listed(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in file order, and no more than anyone reads; errors come before warnings."""
    found = sorted(problems, key=order)
    if (more := len(found) - MOST_PROBLEMS) <= 0:
        return tuple(found)
    first = sorted(found, key=lambda one: one.severity)[:MOST_PROBLEMS]
    shown = f"{more} more problem{'' if more == 1 else 's'} not listed"
    return (*sorted(first, key=order), Problem("", shown, severity=first[-1].severity))


def order(problem: Problem) -> tuple[int, int, str, str]:
    """A sort key that orders problems by their place in the file."""
    return problem.line, problem.column, problem.path, problem.message


def read(path: Path, variant: str | None, overrides: tuple[str, ...]) -> tuple[Source, ...]:
    """The selected recipes of ``path``, at least one; a plan file has exactly one.

    ``path`` may be FILE:VARIANT. Raises UnreadableDocument, or WrongUsage for a variant that does
    not exist and for overrides of a plan.
    """
    file, choice = selector(path, variant)
    text = _text(file, overrides, choice)
    return tuple(_source(text, recipe, overrides) for recipe in _chosen(text, choice))


def read_one(path: Path, variant: str | None, overrides: tuple[str, ...]) -> Source:
    """The only selected recipe of ``path``. Raises as ``read`` does, and WrongUsage for several."""
    file, choice = selector(path, variant)
    text = _text(file, overrides, choice)
    chosen = _chosen(text, choice)
    if len(chosen) == 1:
        return _source(text, chosen[0], overrides)
    raise WrongUsage(
        f"cannot tell which recipe of {file} to use; choose with --variant NAME or"
        f" {file}:NAME: {_listed(text.recipes if choice is None else chosen)}"
    )


@dataclass(frozen=True, slots=True)
class _Text:
    """A whole file, parsed."""

    path: Path
    content: bytes
    problems: tuple[Problem, ...]
    is_plan: bool
    recipes: tuple[Variant, ...]


def _text(path: Path, overrides: tuple[str, ...], choice: str | None) -> _Text:
    content = _content(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableDocument(
            f"cannot read {path}: it is not text (not UTF-8 at byte {error.start})"
        ) from None
    parsed = syntax.parse(text)
    is_plan = isinstance(parsed.root.value, dict) and "plan" in parsed.root.value
    if is_plan and overrides:
        raise WrongUsage(f"cannot change {path}: it is a plan; --set works on recipes")
    if is_plan and choice is not None:
        raise WrongUsage(f"cannot choose {choice!r}: {path} is a plan and has no variants")
    recipes = (Variant((), parsed.root),) if is_plan else variants.expand(parsed.root)
    return _Text(path, content, parsed.problems, is_plan, recipes)


def selector(path: Path, variant: str | None) -> tuple[Path, str | None]:
    """The file, and the variant of it, that FILE:VARIANT means. Raises WrongUsage for two."""
    file, colon, name = str(path).rpartition(":")
    if not (colon and file and name) or _exists(path):
        return path, variant
    if variant is not None and variant != name:
        raise WrongUsage(f"cannot choose both {name!r} and {variant!r} of {file}; keep one")
    return Path(file), name


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise UnreadableDocument(f"cannot read {path}: {cause}") from None
    if len(content) > MOST_BYTES:
        raise UnreadableDocument(f"cannot read {path}: it has more than {MOST_BYTES >> 20} MiB")
    return content


def _chosen(text: _Text, choice: str | None) -> tuple[Variant, ...]:
    chosen = variants.matching(text.recipes, choice)
    if chosen:
        return chosen
    first = text.recipes[0]
    if not first.names and (text.problems or first.problems):
        return text.recipes  # their problems say why there are no variants
    has = f"has {_listed(text.recipes)}" if first.names else "has no variants"
    raise WrongUsage(f"cannot choose {choice!r}: {text.path} {has}")


def _listed(recipes: tuple[Variant, ...]) -> str:
    names = [short(recipe.names[0]) for recipe in recipes if recipe.names]
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _source(text: _Text, recipe: Variant, overrides: tuple[str, ...]) -> Source:
    root, problems = recipe.root, text.problems + recipe.problems
    broken = bool(recipe.problems) or (root.value is None and bool(problems))
    for setting in () if broken else overrides:
        root, wrong = tree.override(root, setting)
        problems += tuple(tree.locate(root, problem) for problem in wrong)
    name = recipe.names[0] if recipe.names else None
    return Source(text.path, text.content, root, problems, text.is_plan, name, broken)
