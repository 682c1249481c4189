"""Writes numbered lines as fast as it can until SIGTERM, SIZE bytes at a time (0: a line).

    writes.py NAME SIZE FILE

Lines are ``NAME NUMBER``; how many there were is in FILE at the end.
"""

import os
import signal
import sys

name, size, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ended = []
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


number = 0
rest = b""
while not ended:
    line = b"%s %d\n" % (name.encode(), number)
    number += 1
    rest += line
    if len(rest) >= size:
        write(rest[: size or len(rest)])
        rest = rest[size or len(rest) :]
write(rest)
with open(file, "w") as told:  # noqa: PTH123 (nothing is imported that need not be)
    told.write(str(number))
