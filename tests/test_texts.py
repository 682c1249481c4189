"""Text is for people: what code decides by is a field or a member of an enum, never a sentence."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdsup.units.public_state import PublicState
from tests.bed.files import for_each
from tests.test_architecture import MODULES, ROOT, file_of, is_ours, name, tree

SENTENCE = re.compile(r"[A-Za-z']+ [A-Za-z']+|^; |^: [a-z]")
CUTS = {
    "count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "replace",
    "rpartition", "rsplit", "split", "startswith",
}  # fmt: skip
# Words of others, and of our own version 0.1.0, whose lines lack the field.
ALLOWED = {
    "plan/document/syntax.py": {"nesting depth"},  # of the YAML parser
    "cli/screens/usage.py": {"the following arguments are required: "},  # argparse says so
    "cli/doctor_rules.py": {"module sglang"},  # the name of something that is looked for
    "journal/entry.py": {": cause unknown"},
}


def decided_by(module: ast.Module) -> set[str]:
    """The sentences that a module compares something with, or looks for in a text."""
    named = own_texts(module)
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and is_ours(node.module or ""):
            theirs = own_texts(tree(file_of(node.module or "")))
            named |= {
                alias.name: theirs[alias.name] for alias in node.names if alias.name in theirs
            }
    found = (text for node in ast.walk(module) for text in texts(node, named))
    return {text for text in found if SENTENCE.search(text)}


def own_texts(module: ast.Module) -> dict[str, str]:
    """The texts that a module has names for."""
    found = {}
    for node in module.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=one)], value=ast.Constant(value=str(text))):
                found[one] = text
    return found


def texts(node: ast.AST, named: dict[str, str]) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, comparators=others):
            for one in (left, *others):
                yield from constants(one, named)
        case ast.Call(func=ast.Attribute(attr=method), args=arguments) if method in CUTS:
            for one in arguments:
                yield from constants(one, named)
        case ast.MatchValue(value=value):
            yield from constants(value, named)


def constants(value: ast.expr, named: dict[str, str]) -> Iterator[str]:
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            for part in parts:
                yield from constants(part, named)
        case ast.Name(id=one) if one in named:
            yield named[one]


@for_each(MODULES)
def test_no_decision_hangs_on_a_sentence(path: Path) -> None:
    assert decided_by(tree(path)) == ALLOWED.get(name(path), set())


@pytest.mark.parametrize(
    "code",
    [
        "if 'in time' in outcome: pass",
        "if 'left STOPPED' == outcome: pass",
        "if why in ('not yet', 'not asked yet'): pass",
        "reason.partition('; ')",
        "reason.partition(': cause unknown')",
        "reason.startswith('killed by ')",
        "NOT_ASKED = 'not asked yet'\nif why != NOT_ASKED: pass",
        "from pdsup.journal.runs import LOST\nif how == LOST: pass",
        "match why:\n    case 'not asked yet': pass",
    ],
)
def test_a_decision_by_a_sentence_is_found(code: str) -> None:
    assert decided_by(ast.parse(code))


def test_the_live_page_knows_no_other_words_for_states() -> None:
    quoted = re.findall(r'"([A-Z]{5,})"', (ROOT / "api" / "page.html").read_text())
    assert quoted
    assert set(quoted) <= set(PublicState)


@for_each(MODULES)
def test_the_words_for_states_stand_in_one_file(path: Path) -> None:
    if name(path) == "units/public_state.py":
        return
    quoted = {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
    assert quoted & set(PublicState) == set()
