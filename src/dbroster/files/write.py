"""Writing files so that there is always the old one or the new one, and wiping them."""

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from dbroster.errors import ChangedMeanwhile, ConfigError
from dbroster.files.lock import wait_for_lock
from dbroster.files.permissions import place_problem
from dbroster.files.read import read_file
from dbroster.model.problems import Problem

PATIENCE = 5.0
"""Seconds to wait for another edit; everybody who may read the directory can hold its lock, so not for ever."""

_BLOCK = bytes(65536)


def create_file(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600. Raises ConfigError, also when the name is taken by then."""
    with failing(path), _beside(path, data) as new:
        os.link(new, path)
        sync_directory(path.parent)


def replace_file(path: Path, before: bytes, data: bytes) -> None:
    """Replace a file that still holds what it held before; owner, group and mode stay. Raises ConfigError."""
    with failing(path), _beside(path, data, path.stat()) as new, alone_in(path.parent):
        if read_file(path).data != before:
            raise ChangedMeanwhile(
                [Problem(f"{path} was changed by somebody else meanwhile; it was left so", path.name)]
            )
        new.rename(path)
        sync_directory(path.parent)


def write_public_file(path: Path, data: bytes) -> None:
    """Write a file that everybody may read, whether there was one or not. Raises ConfigError.

    The directory may be somebody else's, who may put a link in the place of the temporary file at any moment.
    """
    with failing(path), _beside(path, data, mode=0o644) as new:
        new.rename(path)


def write_private_file(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read, in the place of an own one if there is one. Raises ConfigError.

    A link, another kind of file, another's file and a directory in which others may exchange it are refused.
    """
    with failing(path):
        if reason := place_problem(path.parent) or taken_problem(path):
            raise ConfigError([Problem(f"{reason}; {path} was not written")])
        with _beside(path, data) as new:
            new.rename(path)
            sync_directory(path.parent)


def write_private_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a directory that nobody else may enter, with these files: all of it, or nothing. Raises ConfigError."""
    with failing(path):
        refuse_directory(path)
        new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        try:
            for name, data in files.items():
                create_file(new / name, data)
            new.rename(path)  # an empty directory gives way, anything else does not
            sync_directory(path.parent)
        finally:
            if new.exists():
                for left in new.iterdir():
                    wipe_file(left)
                new.rmdir()


def refuse_directory(path: Path) -> None:
    """Raise ConfigError where no new directory can be made: there is one with something in it, a link, another's."""
    with failing(path):
        if reason := place_problem(path.parent) or _in_the_way(path):
            raise ConfigError([Problem(f"{reason}; nothing was written")])


def _in_the_way(path: Path) -> str | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link: remove it, or name another directory"
    if not stat.S_ISDIR(status.st_mode):
        return f"{path} is not a directory: name another one"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user (uid {status.st_uid}): name another directory"
    return f"{path} is not empty: name a new directory" if any(path.iterdir()) else None


def taken_problem(path: Path) -> str | None:
    """Say why what stands there must not be replaced."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link: remove it, or name another file"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a regular file: name another one"
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user (uid {status.st_uid}): remove it, or name another file"
    return None


def wipe_file(path: Path | str, directory: int | None = None) -> None:
    """Overwrite a file and remove it; on most disks and file systems, that is an attempt only. A link is only removed.

    With the descriptor of a directory, the path is looked up there. Raises OSError when it can't be removed.
    """
    with suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = os.fstat(descriptor).st_size
            while left > 0:
                left -= file.write(_BLOCK[:left])
            os.fsync(descriptor)
    with suppress(FileNotFoundError):
        os.unlink(path, dir_fd=directory)


@contextmanager
def _beside(path: Path, data: bytes, like: os.stat_result | None = None, mode: int = 0o600) -> Iterator[Path]:
    """Write a temporary file in the same directory, with a mode or as another; gone in the end, if not renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if like:
                _look_like(file.fileno(), like)
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _look_like(descriptor: int, like: os.stat_result) -> None:
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (like.st_uid, like.st_gid):
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep other edits out while the file is compared and replaced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not wait_for_lock(descriptor, PATIENCE):
            text = f"another process holds {directory} locked; nothing was changed; see: fuser -v {directory}"
            raise ConfigError([Problem(text)])
        yield
    finally:
        os.close(descriptor)


@contextmanager
def failing(path: Path) -> Iterator[None]:
    """Turn what the system says of the path into a ConfigError."""
    try:
        yield
    except OSError as error:
        text = f"{path} can't be written: {error.strerror}; nothing was changed"
        raise ConfigError([Problem(text, path.name)]) from None


def sync_directory(path: Path) -> None:
    """Wait until a directory's entries are on the disk, so that a power cut can't undo a rename. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
