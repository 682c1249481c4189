"""``python -m supervisor``, in a checkout, is ``pdsup``; an installation has ``python -m pdsup``.

The PyPI distribution ``supervisor`` owns that import name.
"""

from pdsup.cli.main import entry

entry()
