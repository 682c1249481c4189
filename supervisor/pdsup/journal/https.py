"""Certificates for hooks at HTTPS URLs, read when one needs them: an agent imports this file first.

When aiohttp is imported, it reads all certificates of the system, twice, and its tables of media
types. That is a tenth of the time an agent takes to start, and 2 MB for as long as it runs, while
agents talk plain HTTP to each other.
"""

from __future__ import annotations

import mimetypes
import os
import ssl

from pdsup.threads import apart

# The name that OpenSSL knows it by.
VARIABLE = "SSL_CERT_FILE"


async def context(within: float) -> ssl.SSLContext:
    """What checks the certificates of servers, as aiohttp's own would. Raises OSError, also if the
    system's certificates can't be read ``within`` seconds.
    """
    made = await apart(ssl.create_default_context, within)
    made.set_alpn_protocols(["http/1.1"])
    return made


def _import_aiohttp() -> None:
    """Imports it without anything that it would read."""
    mimetypes.init([])
    users = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = os.devnull
    try:
        import aiohttp  # noqa: F401
    finally:
        del os.environ[VARIABLE]
        if users is not None:
            os.environ[VARIABLE] = users


_import_aiohttp()
