"""``pdsup web``: a link to the live page."""

from __future__ import annotations

import argparse

from pdsup import typed
from pdsup.address import endpoint
from pdsup.answers.commands import PageLink
from pdsup.cli import client, options
from pdsup.cli.terminal.say import say

EXAMPLE = "pdsup web"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which run."""
    options.as_json(parser, "one JSON value instead of the link")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The page can only look. Its link is good for one visit within ten minutes; the browser that
    used it may come back for twelve hours.
    """
    cluster = client.cluster(args.run_dir, "link to the live page")
    link = client.read(PageLink, client.tell(client.first_agent(cluster), "/v1/link", {}))
    if args.json:
        print(typed.dumps(link, indent=2))
        return 0
    agent = endpoint(link.address, link.port)
    print(link.url)
    say(
        f"good for one visit within {link.seconds / 60:.0f} minutes; from a machine that does "
        f"not reach {link.address}: ssh -L {link.port}:{agent} HOST, and localhost instead "
        "of the address"
    )
    return 0
