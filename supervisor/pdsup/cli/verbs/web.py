"""``pdsup web``: prints a link to the live page."""

from __future__ import annotations

import argparse
import os

from pdsup import typed
from pdsup.address import endpoint
from pdsup.answers.commands import PageLink
from pdsup.cli import client, options
from pdsup.cli.terminal.say import say
from pdsup.times import duration

EXAMPLE = "pdsup web"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.as_json(parser, "print one JSON value instead of the link")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The page is read-only. The link works once, within ten minutes; the browser that opened it
    can come back for twelve hours.
    """
    cluster = client.cluster(args.run_dir, "link to the live page", looks=True)
    link = client.read(PageLink, client.tell(client.first_agent(cluster), "/v1/link", {}))
    if args.json:
        print(typed.dumps(link, indent=2))
        return 0
    agent = endpoint(link.address, link.port)
    print(link.url)
    say(
        f"The link works once, within {duration(link.seconds)}. From a machine that cannot reach "
        f"{link.address}:\n  ssh -L {link.port}:{agent} {os.uname().nodename}\n"
        f"  {link.url.replace(f'//{agent}', f'//localhost:{link.port}', 1)}"
    )
    return 0
