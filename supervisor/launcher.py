"""Lets a running agent of the code before this package was called ``pdsup`` hand over to this one.

Its guardian starts ``python -m supervisor.launcher`` in the checkout, until the cluster ends.
"""

import sys

from pdsup.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
