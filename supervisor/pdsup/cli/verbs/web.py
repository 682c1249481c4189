"""``pdsup web``: a link to the live page."""

from __future__ import annotations

import argparse
import json

from pdsup.address import endpoint
from pdsup.cli import client, options
from pdsup.cli.terminal.say import say

EXAMPLE = "pdsup web"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of which run."""
    options.as_json(parser, "one JSON value instead of the link")
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The page can only look. Its link is good for one visit within ten minutes; the browser that
    used it may come back for twelve hours.
    """
    cluster = client.cluster(args.run_dir, "link to the live page")
    found = client.tell(client.first_agent(cluster), "/v1/link", {}).value
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    agent = endpoint(found["address"], found["port"])
    print(found["url"])
    say(
        f"good for one visit within {found['seconds'] / 60:.0f} minutes; from a machine that does "
        f"not reach {found['address']}: ssh -L {found['port']}:{agent} HOST, and localhost instead "
        "of the address"
    )
    return 0
