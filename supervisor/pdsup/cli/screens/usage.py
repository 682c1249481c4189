"""Explains what is wrong with the arguments of a command, with suggestions. Pure."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """``did you mean ...?`` for an unknown word; ``otherwise`` if no known one is similar."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def unexpected(words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """The message about the first word that no argument of the parser takes."""
    word = words[0]
    if not word.startswith("-"):
        return f"unexpected argument {word!r}; see {parser.prog} --help"
    option = word.partition("=")[0]
    known = [one for action in parser._actions for one in action.option_strings]
    return f"unknown option {option}; {nearest(option, known, f'see {parser.prog} --help')}"


def explained(message: str, parser: argparse.ArgumentParser) -> str:
    """The message of an argparse error, with a suggestion for an invalid choice."""
    complaint = message.removeprefix("argument ")
    complaint = complaint.replace("the following arguments are required: ", "missing ")
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
