"""Explains what is wrong with the arguments of a command, with suggestions. Pure."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

# Words that people know from other tools.
MEANT: Mapping[str, str] = {
    "apply": "sbatch",
    "bench": "run",
    "benchmark": "run",
    "compile": "plan",
    "describe": "explain",
    "dry-run": "plan --explain",
    "get": "status",
    "history": "events",
    "info": "status",
    "inspect": "explain",
    "journal": "events",
    "kill": "signal",
    "lint": "check",
    "log": "logs",
    "ls": "status",
    "monitor": "status --watch",
    "ps": "status",
    "show": "status",
    "st": "status",
    "stat": "status",
    "submit": "sbatch",
    "top": "status --watch",
    "validate": "check",
    "watch": "status --watch",
    "why": "explain",
}
# A typing error must not lead to one of these.
STOPPING = frozenset({"reload", "restart", "shutdown", "signal", "stop"})


def meant(word: str, verbs: Iterable[str]) -> str:
    """What somebody who typed an unknown verb may have meant; never a verb that stops units."""
    if word in MEANT:
        return f"did you mean {MEANT[word]}?"
    return nearest(word, (verb for verb in verbs if verb not in STOPPING), "see pdsup help", 0.75)


def nearest(word: str, known: Iterable[str], otherwise: str, cutoff: float = 0.6) -> str:
    """``did you mean ...?`` for an unknown word; ``otherwise`` if no known one is similar."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]}?" if near else otherwise


def unexpected(words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """The message about the first word that no argument of the parser takes."""
    word = words[0]
    if not word.startswith("-"):
        takes = parser.get_default("takes_command")
        todo = "put the command after --" if takes else f"see {parser.prog} --help"
        return f"unexpected argument {word!r}; {todo}"
    option = word.partition("=")[0]
    known = {one.lstrip("-"): one for action in parser._actions for one in action.option_strings}
    near = difflib.get_close_matches(option.lstrip("-"), list(known), n=1)
    hint = f"did you mean {known[near[0]]}?" if near else f"see {parser.prog} --help"
    return f"unknown option {option}; {hint}"


def explained(message: str, parser: argparse.ArgumentParser) -> str:
    """The message of an argparse error, with a suggestion for an invalid choice."""
    complaint = message.removeprefix("argument ")
    lacking = complaint.removeprefix("the following arguments are required: ")
    if lacking != complaint:
        names = lacking.split(", ")
        are = "is" if len(names) == 1 else "are"
        return f"{' and '.join(names)} {are} missing; see {parser.prog} --help"
    complaint = re.sub("invalid (?:int|float) value: ", "must be a number, not ", complaint)
    found = re.match(r"(\S+): invalid choice: '(.*?)' \(", complaint)
    if found is None:
        return f"{complaint}; see {parser.prog} --help"
    name, word = found.groups()
    choices = [str(choice) for action in parser._actions for choice in _choices(action, name)]
    all_of_them = f"choose from {', '.join(choices)}"
    return f"{name} cannot be {word!r}; {nearest(word, choices, all_of_them)}"


def _choices(action: argparse.Action, name: str) -> Iterable[object]:
    names = (*action.option_strings, action.dest, action.metavar)
    return action.choices or () if set(name.split("/")) & set(names) else ()
