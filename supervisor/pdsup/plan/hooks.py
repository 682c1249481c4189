"""Checks the hooks of a plan, and describes them without their secrets, such as URLs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from pdsup.errors import Problem
from pdsup.plan import check_sizes
from pdsup.plan.check_sizes import positive
from pdsup.plan.model import Hook

# A hook that hangs must not delay later events for long.
LONGEST_S = 600.0
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
WAYS = ("command", "url", "url_env")
_URL = re.compile(r"(?P<scheme>\w[\w+.-]*://)(?:[^/?#\s]*@)?(?P<host>[^/?#\s]*)(?P<rest>[^\s'\"]*)")


def check(hooks: tuple[Hook, ...]) -> Iterator[Problem]:
    """A problem for every value that can't be used."""
    for index, hook in enumerate(hooks):
        yield from _hook(f"hooks.{index}", hook)


def _hook(at: str, hook: Hook) -> Iterator[Problem]:
    ways = [name for name in WAYS if getattr(hook, name) not in (None, ())]
    if len(ways) != 1:
        has = f"not {' and '.join(ways)}" if ways else "and has none"
        yield Problem(at, f"takes one of {', '.join(WAYS)}, {has}")
    if not hook.events:
        yield Problem(f"{at}.events", "is empty: the hook would never run")
    for number, name in enumerate(hook.events):
        if name in hook.events[:number]:
            yield Problem(f"{at}.events.{number}", f"{name!r} is a duplicate")
    if hook.command and not hook.command[0]:
        yield Problem(f"{at}.command", "names no program")
    if any("\0" in word for word in hook.command):
        yield Problem(f"{at}.command", "contains a NUL character")
    yield from check_sizes.command(f"{at}.command", hook.command)
    if hook.url is not None and not usable(hook.url):
        yield Problem(f"{at}.url", "must be a URL such as https://host/path")
    if hook.url_env is not None and not VARIABLE.fullmatch(hook.url_env):
        yield Problem(f"{at}.url_env", "must be the name of an environment variable")
    if hook.timeout_s > LONGEST_S:
        yield Problem(f"{at}.timeout_s", f"must be at most {LONGEST_S:g}, not {hook.timeout_s:g}")
    else:
        yield from positive(at, timeout_s=hook.timeout_s)


def usable(url: str) -> bool:
    """Whether a URL can receive a POST: http or https, with a host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    named = bool(parts.hostname) and port != 0
    return parts.scheme in ("http", "https") and named and url.isprintable() and " " not in url


def shown(hook: Hook) -> str:
    """How a hook sends events, without anything that may be secret."""
    if hook.command:
        return f"run {' '.join(map(masked, hook.command))}"
    return f"post to {masked(hook.url) if hook.url else f'the URL in ${hook.url_env}'}"


def masked(text: str) -> str:
    """The text with each URL reduced to scheme and host: user, path and query may be secret."""
    return _URL.sub(_where, text)


def _where(url: re.Match[str]) -> str:
    return f"{url['scheme']}{url['host']}{'/...' if url['rest'] else ''}"
