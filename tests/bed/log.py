"""A real logger that prints nothing."""

import structlog
from structlog.testing import LogCapture


def quiet():
    """A logger, and the list of what it was told."""
    capture = LogCapture()
    level = structlog.make_filtering_bound_logger(0)
    return structlog.wrap_logger(None, [capture], wrapper_class=level), capture.entries
