"""Masks secrets wherever they could be shown: on screens, in answers, journals, evidence, bundles.

Known secrets are masked wherever they are: values of variables and flags of the plan and of this
environment whose names look secret, the tokens of the run, the URLs of hooks. Beside them whatever
looks like one by its name or form. A secret with another name is found if the plan's ``secrets``
name it. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pdsup.plan import hooks
from pdsup.plan.model import Plan, Readers

HIDDEN = "***"
# Shorter values, such as 1 or none, are masked only beside their name: they are words elsewhere.
LEAST = 6
MODES: Mapping[Readers, int] = {"owner": 0o600, "group": 0o640, "all": 0o644}
_WORDS = (
    "token|secret|passw(?:or)?d|passphrase|credentials?|auth|authorization|cookie"
    "|(?:api|access|account|admin|auth|encryption|license|master|private|secret|signing)[_-]?key"
)
_SECRET = re.compile(rf"(?:^|[^a-z])(?:{_WORDS})$", re.IGNORECASE)
# Variables may have these words anywhere in their names; a number, a word or a path is none.
_VARIABLE = re.compile(r"token(?!i[sz]er)|key|secret|passw(?:or)?d", re.IGNORECASE)
_HARMLESS = re.compile(r"|true|false|yes|no|on|off|none|null|-?[0-9.]{1,8}|[~.]{0,2}/.*", re.I)
_NAME = rf"(?<![a-z/])(?:{_WORDS})"
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
    """Masks secrets. ``known``: secrets, and what is shown instead of each. ``more``: patterns of
    names that are secret too, such as ``ACME_*``.
    """

    def __init__(self, known: Mapping[str, str], more: tuple[str, ...] = ()) -> None:
        self._known = known
        self._more = more
        longest_first = sorted(map(re.escape, known), key=len, reverse=True)
        self._any = re.compile("|".join(longest_first)) if known else None

    def __call__(self, text: str) -> str:
        """The text without its secrets."""
        if self._any is not None:
            text = self._any.sub(lambda found: self._known[found[0]], text)
        for form, shown in _FORMS:
            text = form.sub(shown, text)
        return text

    def everywhere(self, value: Any) -> Any:
        """A JSON value with its texts masked."""
        match value:
            case str():
                return self(value)
            case dict():
                return {key: self.everywhere(one) for key, one in value.items()}
            case list() | tuple():
                return [self.everywhere(one) for one in value]
        return value

    def command(self, words: Iterable[str]) -> tuple[str, ...]:
        """The words of a command line without their secrets."""
        shown, last = list[str](), ""
        for word in words:
            flag, mark, _ = word.partition("=")
            if _follows(last, word) and _is_flag(last, self._more):
                shown.append(HIDDEN)
            elif mark and _is_flag(flag, self._more):
                shown.append(f"{flag}={HIDDEN}")
            else:
                shown.append(self(word))
            last = word
        return tuple(shown)

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Variables without the values of those that are secret."""
        more = self._more
        return {
            name: HIDDEN if is_secret(name, value, more) else self(value)
            for name, value in env.items()
        }


# Masks what looks like a secret, where none is known.
BY_FORM = Mask({})


def is_secret(name: str, value: str, more: tuple[str, ...] = ()) -> bool:
    """Whether a variable is secret by its name. ``more``: patterns of further names."""
    if _SECRET.search(name) or _is_more(name, more):
        return True
    return _VARIABLE.search(name) is not None and not _HARMLESS.fullmatch(value)


def of_plan(plan: Plan | None, environ: Mapping[str, str], tokens: Iterable[str] = ()) -> Mask:
    """The mask for what is shown of a run whose agents have the environment ``environ``."""
    return Mask(known_secrets(plan, environ, tokens), plan.secrets if plan else ())


def known_secrets(
    plan: Plan | None, environ: Mapping[str, str], tokens: Iterable[str]
) -> dict[str, str]:
    """The secrets of a run that are known, and what is shown instead."""
    found = [*_in_environment(environ, plan.secrets if plan else ()), *tokens]
    urls: list[str] = []
    if plan is not None:
        found += _in_plan(plan)
        urls = [word for hook in plan.hooks for word in (hook.url or "", *hook.command)]
    known = {value: HIDDEN for value in found if len(value) >= LEAST}
    return known | {url: shown for url in urls if (shown := hooks.masked(url)) != url}


def plan_mode(plan: Plan) -> int:
    """The mode of the plan's file: for its owner only if secrets are in it, unless it says who may
    read it.
    """
    if plan.readable_by.plan is not None:
        return MODES[plan.readable_by.plan]
    return MODES["owner" if has_secrets(plan) else "all"]


def has_secrets(plan: Plan) -> bool:
    """Whether a plan holds a value that is masked where it is shown."""
    return any(hook.url for hook in plan.hooks) or any(_in_plan(plan))


def without_value(name: str, message: str) -> str:
    """What is wrong with a setting, without its value if its name looks secret."""
    if not (_SECRET.search(name) or _VARIABLE.search(name)):
        return message
    return re.sub(r', not (?:"(?:[^"\\]|\\.)*"(?:\.\.\.)?|[^;]*)', "", message)


def _in_plan(plan: Plan) -> Iterator[str]:
    """Every secret value in a plan."""
    for unit in plan.units:
        yield from _in_environment(unit.env, plan.secrets)
        probes = (unit.probes.startup, unit.probes.readiness, unit.probes.liveness)
        checks = (check for probe in probes if probe for check in probe.checks)
        for command in (unit.command, unit.stop.drain, *(check.command for check in checks)):
            yield from _in_command(command, plan.secrets)
    for hook in plan.hooks:
        yield from _in_command(hook.command, plan.secrets)


def _in_environment(environ: Mapping[str, str], more: tuple[str, ...]) -> Iterator[str]:
    for name, value in environ.items():
        if is_secret(name, value, more):
            yield value
        yield from _in_urls(value)


def _in_command(command: Iterable[str], more: tuple[str, ...]) -> Iterator[str]:
    """The values of flags with secret names, as ``--flag VALUE`` and as ``--flag=VALUE``, and the
    user and password of a URL.
    """
    last = ""
    for word in command:
        flag, mark, value = word.partition("=")
        if _follows(last, word) and _is_flag(last, more):
            yield word
        elif mark and _is_flag(flag, more):
            yield value
        else:
            yield from _in_urls(word)
        last = word


_USER = re.compile(r"\b[a-z][a-z0-9+.-]*://([^/\s@\"']+)@", re.IGNORECASE)


def _in_urls(text: str) -> Iterator[str]:
    """The user and password of each URL, and the password alone."""
    for found in _USER.finditer(text):
        yield found[1]
        yield found[1].partition(":")[2]


def _follows(flag: str, word: str) -> bool:
    """Whether a word is the value of the flag before it."""
    return flag.startswith("-") and "=" not in flag and not word.startswith("--")


def _is_flag(word: str, more: tuple[str, ...]) -> bool:
    """Whether a word is a flag, or a variable that a command sets, with a secret name."""
    name = word.lstrip("-").replace("-", "_")
    return _SECRET.search(word) is not None or _is_more(name, more) or _is_more(name.upper(), more)


def _is_more(name: str, more: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in more)
