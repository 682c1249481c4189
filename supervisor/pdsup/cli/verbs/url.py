"""``pdsup url``: prints where clients talk to."""

from __future__ import annotations

import argparse

from pdsup.cli import client, options
from pdsup.errors import SupervisorError

EXAMPLE = "url=$(pdsup url)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the verb."""
    options.as_json(parser, 'print {"url": URL} instead; null if no unit serves clients')
    options.run_dir(parser)


def run(args: argparse.Namespace) -> int:
    """The URL is nginx's, else that of the only router or aggregated worker. It is the same from
    the beginning of a run to its end, so that it may not answer yet: ``pdsup wait`` tells when it
    does. Exit status: 0, or 4 if no agent answers.
    """
    url = client.status(client.cluster(args.run_dir, "tell the URL"), every=False).url
    if args.json:
        import json

        print(json.dumps({"url": url}))
        return 0
    if url is None:
        raise SupervisorError("cannot tell the URL: no unit of the plan serves clients")
    print(url)
    return 0
