"""The directory for temporary files.

``tempfile.gettempdir`` won't do: importing it takes a query longer than asking its agent, and it
tries to write, so that on a full disk a command would look for agents in another directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

VARIABLES = ("TMPDIR", "TEMP", "TMP")
USUAL = ("/tmp", "/var/tmp", "/usr/tmp")  # noqa: S108 (what is made there is checked)


def temp_dir(environ: Mapping[str, str]) -> str:
    """The first writable directory that a variable names, or else a usual one, as an absolute path;
    the current directory if there is none.
    """
    named = [environ[name] for name in VARIABLES if environ.get(name)]
    found = (path for path in (*named, *USUAL) if _is_writable(path))
    return os.path.abspath(next(found, "."))  # noqa: PTH100 (links stay links)


def _is_writable(path: str) -> bool:
    return Path(path).is_dir() and os.access(path, os.W_OK | os.X_OK)
