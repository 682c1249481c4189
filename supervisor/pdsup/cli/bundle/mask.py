"""Masks secrets in the files of a run, so that they can be shown to others. Pure.

Known secrets are masked wherever they are: values of variables and flags of the plan and of this
environment whose names look secret, the tokens of the run, the URLs of hooks. Beside them whatever
looks like one by its name or form. A secret with another name, such as a prompt, is not found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pdsup.plan import hooks
from pdsup.plan.model import Plan

HIDDEN = "***"
# Shorter values, such as 1 or none, are masked only beside their name: they are words elsewhere.
LEAST = 6
_WORDS = (
    "token|secret|passw(?:or)?d|passphrase|credentials?|auth|authorization|cookie"
    "|(?:api|access|account|admin|auth|encryption|license|master|private|secret|signing)[_-]?key"
)
_SECRET = re.compile(rf"(?:^|[^a-z])(?:{_WORDS})$", re.IGNORECASE)
_NAME = rf"(?<![a-z])(?:{_WORDS})"
# A plain word of YAML or JSON is no secret, and its replacement would break the file.
_VALUE = r"(?!(?:null|true|false|-?[0-9.]+)\b)[^\s\"',;&}\])]+"
_FORMS = (
    (re.compile(r"\b(Bearer|Basic) +[^\s\"',]+", re.IGNORECASE), r"\1 " + HIDDEN),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@", re.IGNORECASE), r"\1" + HIDDEN + "@"),
    (
        re.compile(rf"({_NAME}[\"']?\s*[=:]\s*[\"']?)(?!Bearer|Basic){_VALUE}", re.IGNORECASE),
        r"\1" + HIDDEN,
    ),
    # --api-key VALUE on a command line, in a list of JSON, and in one of YAML
    (
        re.compile(
            rf"(--[a-z-]*{_NAME}[\"']?(?:\s*,)?\s+(?:- +)?[\"']?)(?!-){_VALUE}", re.IGNORECASE
        ),
        r"\1" + HIDDEN,
    ),
    (re.compile(r"\b(?:hf_|sk-|gh[pousr]_|github_pat_|xox[abp]-|AKIA)[\w-]{16,}"), HIDDEN),
)


class Mask:
    """Masks secrets in text. ``known``: secrets, and what is shown instead of each."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        longest_first = sorted(map(re.escape, known), key=len, reverse=True)
        self._any = re.compile("|".join(longest_first)) if known else None

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        if self._any is not None:
            text = self._any.sub(lambda found: self._known[found[0]], text)
        for form, shown in _FORMS:
            text = form.sub(shown, text)
        return text


def known_secrets(
    plan: Plan | None, environ: Mapping[str, str], tokens: Iterable[str]
) -> dict[str, str]:
    """The secrets of a run that are known, and what is shown instead."""
    found = [*_in_environment(environ), *tokens]
    urls: list[str] = []
    for unit in plan.units if plan else ():
        found += [*_in_environment(unit.env), *_in_command(unit.command)]
    for hook in plan.hooks if plan else ():
        found += _in_command(hook.command)
        urls += [hook.url] if hook.url else []
        urls += [word for word in hook.command if hooks.masked(word) != word]
    known = {value: HIDDEN for value in found if len(value) >= LEAST}
    return known | {url: hooks.masked(url) for url in urls}


def _in_environment(environ: Mapping[str, str]) -> Iterator[str]:
    return (value for name, value in environ.items() if _SECRET.search(name))


def _in_command(command: Iterable[str]) -> Iterator[str]:
    """The values of flags with secret names, as ``--flag VALUE`` and as ``--flag=VALUE``."""
    last = ""
    for word in command:
        flag, mark, value = word.partition("=")
        if mark and flag.startswith("-") and _SECRET.search(flag):
            yield value
        elif last.startswith("-") and _SECRET.search(last):
            yield word
        last = word
