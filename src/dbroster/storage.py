"""Writing files so that there is always the old one or the new one, and plain text in a place that is wiped."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dbroster.errors import ConfigError
from dbroster.files import read_file, sync_directory
from dbroster.model import Problem

_BLOCK = bytes(65536)


def create_file(path: Path, data: bytes) -> None:
    """Write a new file, mode 0600. Raises ConfigError, also when the name is taken by then."""
    with _failing(path), _beside(path, data) as new:
        os.link(new, path)
        sync_directory(path.parent)


def replace_file(path: Path, before: bytes, data: bytes) -> None:
    """Replace a file that still holds what it held before; owner, group and mode stay. Raises ConfigError."""
    with _failing(path), _beside(path, data, path.stat()) as new, _alone_in(path.parent):
        if read_file(path).data != before:
            raise ConfigError([Problem(f"{path} was changed by somebody else meanwhile; it was left so", path.name)])
        new.rename(path)
        sync_directory(path.parent)


def write_public_file(path: Path, data: bytes) -> None:
    """Write a file that everybody may read, whether there was one or not. Raises ConfigError."""
    with _failing(path), _beside(path, data) as new:
        new.chmod(0o644)
        new.rename(path)


def wipe_file(path: Path) -> None:
    """Overwrite a file and remove it; on most disks and file systems, that is an attempt only."""
    with suppress(OSError), path.open("r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(_BLOCK[:left])
        os.fsync(file.fileno())
    path.unlink(missing_ok=True)


@contextmanager
def private_file(name: str, data: bytes) -> Iterator[Path]:
    """Give a file in a directory that nobody else may enter, in memory where there is such a place.

    In the end everything in the directory is wiped, with what an editor left there. Raises ConfigError.
    """
    place = _place()
    with _failing(Path(place or "a temporary file")):
        directory = Path(tempfile.mkdtemp(prefix="dbroster-", dir=place))  # mode 0700
    try:
        path = directory / name
        with _failing(path):
            path.touch(0o600, exist_ok=False)
            path.write_bytes(data)
        yield path
    finally:
        for parent, _, names in os.walk(directory):
            for name in names:
                path = Path(parent, name)
                if not path.is_symlink():
                    wipe_file(path)
        shutil.rmtree(directory, ignore_errors=True)


def _place() -> str | None:
    """Where plain text touches no disk: the user's own directory of the session, or shared memory."""
    for name in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - mkdtemp makes it private
        if name and Path(name).is_dir() and os.access(name, os.W_OK | os.X_OK):
            return name
    return None


@contextmanager
def _beside(path: Path, data: bytes, like: os.stat_result | None = None) -> Iterator[Path]:
    """Write a temporary file in the same directory, mode 0600 or as another; gone in the end, if not renamed."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
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
def _alone_in(directory: Path) -> Iterator[None]:
    """Keep other edits out while the file is compared and replaced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        text = f"{path} can't be written: {error.strerror}; nothing was changed"
        raise ConfigError([Problem(text, path.name)]) from None
