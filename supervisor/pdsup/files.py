"""Writes whole files atomically: a reader sees the old content or the new, never half of it.

The new content is written to a temporary file beside the target, on the same file system, which is
then renamed over it. No other module does that by hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

# As many as the kernel follows.
MOST_LINKS = 40
# /dev/null and /dev/full.
SINKS = frozenset({os.makedev(1, 3), os.makedev(1, 7)})


def open_regular(path: Path | str, flags: int, mode: int = 0o666, *, sinks: bool = False) -> int:
    """Opens a regular file, close-on-exec, or one of ``SINKS`` if ``sinks``. Raises OSError for
    anything else.

    To open a named pipe waits for its other end, maybe for ever, and a device may never end. What
    is opened to be written to is not reached through a symbolic link of another user. What a unit
    could put a link in the place of must be opened with O_NOFOLLOW: a unit may run in a container,
    where it reaches less than its agent does. Then only a link to a sink is followed.
    """
    flags |= os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    if flags & os.O_NOFOLLOW:
        descriptor = _open_itself(path, flags, mode, sinks=sinks)
    else:
        descriptor = _open(path, flags, mode)
    try:
        status = os.fstat(descriptor)
        if not (stat.S_ISREG(status.st_mode) or (sinks and _is_sink(status))):
            number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
            said = os.strerror(number) if number == errno.EISDIR else "not a regular file"
            raise OSError(number, said, str(path))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_itself(path: Path | str, flags: int, mode: int, *, sinks: bool) -> int:
    try:
        return os.open(path, flags, mode)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if sinks:
        with contextlib.suppress(OSError):
            opened = os.open(path, flags & ~(os.O_NOFOLLOW | os.O_CREAT | os.O_TRUNC))
            if _is_sink(os.fstat(opened)):
                return opened
            os.close(opened)
    raise OSError(errno.ELOOP, "it is a symbolic link", str(path))


def _is_sink(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev in SINKS


def _open(path: Path | str, flags: int, mode: int) -> int:
    if not flags & (os.O_WRONLY | os.O_RDWR):
        return os.open(path, flags, mode)
    for _ in range(MOST_LINKS):
        try:
            return os.open(path, flags | os.O_NOFOLLOW, mode)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        path = _target(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _target(path: Path | str) -> str:
    """Where a symbolic link of this user, or of root, points. Raises OSError for other links."""
    link = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(link).st_uid not in (os.geteuid(), 0):
            raise OSError(errno.ELOOP, "it is a symbolic link of another user", str(path))
        # Of the link that was looked at: somebody may have put another one in its place.
        target = os.readlink("", dir_fd=link)
    finally:
        os.close(link)
    return os.path.join(os.path.dirname(path), target)  # noqa: PTH118, PTH120


def make_directory(path: Path) -> None:
    """Makes a directory, and those above it, in which only its owner can write, whatever the umask
    is: others could put links in the place of its files. Raises OSError.
    """
    try:
        path.mkdir(0o755, exist_ok=True)
    except FileNotFoundError:
        make_directory(path.parent)
        path.mkdir(0o755, exist_ok=True)


def read_regular(path: Path | str, most: int | None = None) -> bytes:
    """The content of a regular file. Raises OSError, also for anything else, and for a file of more
    than ``most`` bytes.
    """
    with os.fdopen(open_regular(path, os.O_RDONLY), "rb") as file:
        text = file.read() if most is None else file.read(most + 1)
    if most is not None and len(text) > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return text


def write_atomically(path: Path, text: bytes, mode: int) -> None:
    """Replaces the content of a file. Raises OSError, and then the file is unchanged."""
    with _beside(path, text, mode) as aside:
        put_in_place(aside, path)


def make_way(path: Path, *, for_directory: bool = False) -> None:
    """Removes what is in the place of a file, or of a directory: something of another kind.

    Raises OSError.
    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() and not path.is_symlink():
        if not for_directory:
            import shutil  # late: a query would import four compressions with it

            shutil.rmtree(path)
    elif for_directory or not path.is_file():
        path.unlink()


def write_if_different(path: Path, text: bytes, mode: int) -> None:
    """Replaces the content of a file unless it is the same: a full disk is no reason to fail then.

    Raises OSError.
    """
    with contextlib.suppress(OSError):
        if read_regular(path, len(text)) == text:
            return
    write_atomically(path, text, mode)


def write_output(path: Path, text: bytes, mode: int = 0o644) -> None:
    """Writes a command's output file: straight into an existing device or pipe, else atomically,
    through symbolic links. Raises OSError.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(text)
    else:
        write_atomically(Path(os.path.realpath(path)), text, mode)


def create_once(path: Path, text: bytes) -> None:
    """Creates a file that only its owner can read, unless it exists already. Raises OSError.

    Of several writers the first to link wins: link(2) is atomic on every shared file system,
    O_EXCL is not.
    """
    with _beside(path, text, 0o600) as aside, contextlib.suppress(FileExistsError):
        path.hardlink_to(aside)


def put_in_place(aside: Path, path: Path) -> None:
    """Renames a temporary file over its target, for a writer that checks it first.

    Raises OSError.
    """
    aside.replace(path)


@contextlib.contextmanager
def _beside(path: Path, text: bytes, mode: int) -> Iterator[Path]:
    """A temporary file beside ``path``, deleted afterwards unless it was renamed. The user's umask
    takes from ``mode`` what others shall not have.
    """
    aside = path.with_name(f".{path.name[:100]}.{os.urandom(8).hex()}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
        yield aside
    finally:
        aside.unlink(missing_ok=True)
