"""The help of a verb, for ``pdsup help VERB`` and the reference.

It is not argparse's own text, which differs between versions of Python. Pure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from pdsup.cli.terminal.fold import GLUE, folded

# Longer lines are hard to read on any terminal.
MOST = 100
WIDEST_NAME = 28


def page(parser: argparse.ArgumentParser, about: str, example: str, width: int) -> list[str]:
    """The help page in lines of ``width`` characters: usage, description, arguments, example."""
    width = min(width, MOST)
    words = [word.replace(" ", GLUE) for word in usage(parser)]
    indent = " " * (len(f"usage: {parser.prog}") + 1)
    lines = folded([f"usage: {' '.join(words)}"], width, indent)
    for paragraph in about.split("\n\n"):
        lines += ["", *folded([" ".join(paragraph.split())], width, "")]
    if given := arguments(parser):
        names = [_name(one) for one in given]
        column = max((len(name) for name in names if len(name) <= WIDEST_NAME), default=WIDEST_NAME)
        lines.append("")
        for name, one in zip(names, given, strict=True):
            lines += _argument(name, one.help or "", column, width)
    lines += ["", *folded([f"example: {example}"], width)]
    return [line.replace(GLUE, " ") for line in lines]


def _argument(name: str, meaning: str, column: int, width: int) -> list[str]:
    indent = " " * (column + 2)
    if len(name) > column:
        return [f"  {name}", *folded([f"  {indent}{meaning}"], width, "")]
    return folded([f"  {name.replace(' ', GLUE):{column}}  {meaning}"], width, indent)


def arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments in order: required ones, options, then those that may be many or none."""
    shown = [action for action in parser._actions if "--help" not in action.option_strings]
    return sorted(shown, key=_place)


def _place(action: argparse.Action) -> int:
    if action.option_strings:
        return 1
    return 2 if action.nargs in ("*", "+", "?") else 0


def usage(parser: argparse.ArgumentParser) -> Sequence[str]:
    """The usage: ``pdsup``, the verb and each argument, in ``[]`` if it is optional."""
    command = ["[-- COMMAND...]"] if parser.get_default("takes_command") else []
    return [*parser.prog.split(), *map(_typed, arguments(parser)), *command]


def _typed(action: argparse.Action) -> str:
    if not action.option_strings:
        one = value(action)
        unlike_one = {"*": f"[{one}...]", "+": f"{one}...", "?": f"[{one}]"}
        return unlike_one.get(str(action.nargs), one)
    word = f"{action.option_strings[0]} {value(action)}".strip()
    word = word if action.required else f"[{word}]"
    return f"{word}..." if isinstance(action.default, list) else word


def value(action: argparse.Action) -> str:
    """The placeholder of an argument's value; empty for an option without a value."""
    if action.nargs == 0:
        return ""
    if action.choices and not action.metavar:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _name(action: argparse.Action) -> str:
    return f"{', '.join(action.option_strings)} {value(action)}".strip()


def manual(parsers: Iterable[argparse.ArgumentParser], version: str) -> list[str]:
    """The manual page of all verbs, pdsup(1), in the lines of its source for ``man``."""
    lines = [
        f'.TH PDSUP 1 "" "pd-supervisor {version}"',
        *(".SH NAME", r"pdsup \- runs prefill/decode serving of large language models"),
        *(".SH SYNOPSIS", ".B pdsup", r"\fIVERB\fR [\fIARGS\fR]"),
        ".SH COMMANDS",
    ]
    for parser in parsers:
        summary, *about = str(parser.description).split("\n\n")
        lines += [f".SS {_roff(' '.join(usage(parser)))}", _roff(" ".join(summary.split()))]
        for paragraph in filter(None, (" ".join(one.split()) for one in about)):
            lines += [".PP", _roff(paragraph)]
        for one in arguments(parser):
            lines += [".TP", rf"\fB{_roff(_name(one))}\fR", _roff(one.help or "")]
        lines += [".PP", f"Example: {_roff(str(parser.epilog))}"]
    return [*lines, *_MORE]


_MORE = (
    ".SH ENVIRONMENT", ".TP", ".B PDSUP_RUN_DIR", r"The run directory, without \-\-run\-dir.",
    ".SH EXIT STATUS",
    "0: it worked; 1: it failed; 2: wrong usage; 3: some units are not ready, or a benchmark was",
    "disturbed; 4: no agent answers, or there is no such unit; 124: not reached in time.",
)  # fmt: skip


def _roff(text: str) -> str:
    """Text in which nothing is a request or an escape of roff."""
    safe = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return rf"\&{safe}" if safe[:1] in (".", "'") else safe
