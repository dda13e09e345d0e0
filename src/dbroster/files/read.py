"""Reading the files of a config directory: regular files of a sane size, unchanged, mode and bytes from one open."""

import os
import stat
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from dbroster.files.owners import me, place_problem
from dbroster.model.problems import Problem

MAX_BYTES = 32 * 1024 * 1024
"""A roster of a million users has 20 to 30 MB."""

MAX_SETTINGS = 128 * 1024
"""For what people write by hand: connections.yaml, whose parser is slow, and template lists."""

_UNSAFE_BITS = stat.S_IRWXO | stat.S_IWGRP
_OTHER_WRITERS = stat.S_IWGRP | stat.S_IWOTH


class FileContent(NamedTuple):
    """A file's bytes, permission bits and owner; `problem` says why it can't be used, `missing` that it isn't there."""

    name: str
    data: bytes = b""
    mode: int = 0
    owner: int = 0
    problem: Problem | None = None
    missing: bool = False


class Files:
    """The files of a config directory as one run sees them: each is read once, by whoever comes first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._contents: dict[str, FileContent] = {}
        self._reading = Lock()

    def read(self, name: str, limit: int = MAX_BYTES) -> FileContent:
        """Return what was read of a file, or read it."""
        with self._reading:  # each server has a thread of its own
            if name not in self._contents:
                self._contents[name] = read_file(self.directory / name, limit)
            return self._contents[name]


def read_file(path: Path, limit: int = MAX_BYTES) -> FileContent:
    """Read a file of the config directory, once more when it changes meanwhile.

    Never blocks on a FIFO, never follows the content of a device, and never a link that somebody else may have laid.
    """
    return _open(path, limit) or _open(path, limit) or _unusable(path, "changes while it is read; wait until it stops")


def _unusable(path: Path, why: str, *, missing: bool = False) -> FileContent:
    return FileContent(path.name, problem=Problem(f"{path} {why}", path.name), missing=missing)


def _open(path: Path, limit: int) -> FileContent | None:
    """Read a file, or say why it can't be; None when it changed while it was read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return _unusable(path, "does not exist", missing=True)
    except ValueError:  # a NUL, or what no file name can hold
        return _unusable(path, "can't be the name of a file")
    except OSError as error:
        return _unusable(path, f"can't be opened: {error.strerror}")
    try:
        return _read(descriptor, path, limit)
    except OSError as error:
        return _unusable(path, f"can't be read: {error.strerror}")
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: Path, limit: int) -> FileContent | None:
    before = os.fstat(descriptor)
    if not stat.S_ISREG(before.st_mode):
        return _unusable(path, "is not a regular file")
    if before.st_size > limit:
        return _unusable(path, f"has {before.st_size} bytes, more than the {limit} that it can need")
    if unsafe := _unsafe_link(path, before):
        return _unusable(path, unsafe)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read(limit + 1)
    changed = len(data) != before.st_size or _fingerprint(path.stat()) != _fingerprint(before)
    return None if changed else FileContent(path.name, data, stat.S_IMODE(before.st_mode), before.st_uid)


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is written to, or another one is put in its place."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _unsafe_link(path: Path, opened: os.stat_result) -> str | None:
    """Why a link must not be followed: what it leads to could be exchanged by others.

    Links as such are usual: Kubernetes mounts a secret as links into a directory that it exchanges as a whole. There a
    directory is open to all, but sticky, and then nobody can put another file in the place of ours.
    """
    link = path.lstat()
    if not stat.S_ISLNK(link.st_mode):
        return None
    trusted = {0, os.geteuid()}
    if not {link.st_uid, opened.st_uid} <= trusted:
        return "is a link, and it or its target belongs neither to root nor to the user that dbroster runs as"
    directory = path.resolve().parent
    mode = directory.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return f"is a link to a file in {directory}, where everybody may put another one"
    return None


def mode_problem(path: Path, mode: int, what: str = "passwords") -> Problem | None:
    """Refuse a file with passwords, or another secret, that others may read or write, or that its group may write."""
    if not mode & _UNSAFE_BITS:
        return None
    return Problem(
        f"{path} holds {what} and has mode {mode:04o}: others must not read it, nor its group write it; "
        f"mend it with: chmod 600 {path}",
        path.name,
    )


def log_problem(path: Path, status: os.stat_result) -> str | None:
    """Say why nothing that is written to this file could be believed: what it is, whose, or who may write it."""
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a symbolic link; name its target with --audit-log"
    if not stat.S_ISREG(status.st_mode):
        return f"{path} is not a regular file"
    if status.st_uid not in {os.geteuid(), 0, path.parent.stat().st_uid}:
        return f"{path} belongs to another user (uid {status.st_uid}), who may change it; move it away, or chown it"
    if status.st_mode & _OTHER_WRITERS:
        mode = stat.S_IMODE(status.st_mode)
        return f"{path} has mode {mode:04o}: nobody but its owner may write it; mend it with: chmod 600 {path}"
    return None


def writers_problem(path: Path, mode: int, what: str) -> Problem | None:
    """Refuse a file that is no secret but decides something, when its group or others may write it."""
    if not mode & _OTHER_WRITERS:
        return None
    text = f"{path} {what} and has mode {mode:04o}: only its owner may write it; mend it with: chmod go-w {path}"
    return Problem(text, path.name)


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are a text. The error that tells it would carry all of them, so it ends here."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def closed_directory_problem(path: Path) -> str | None:
    """Say why a directory can't hold archives: it is none, or others may enter it. One to be made needs a parent."""
    try:
        status = path.stat()
        mode = status.st_mode
    except FileNotFoundError:
        return place_problem(path.parent) if path.parent.is_dir() else f"{path.parent} does not exist"
    except OSError as error:
        return f"{path} can't be used: {error.strerror}"
    if not stat.S_ISDIR(mode):
        return f"{path} is not a directory"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path} has mode {stat.S_IMODE(mode):04o}, so others may read archives; mend it with: chmod 700 {path}"
    if status.st_uid not in {0, os.geteuid()}:
        text = f"{path} belongs to another user (uid {status.st_uid}), who may read archives"
        return f"{text}; mend it with: chown {me()} {path}"
    return place_problem(path)


def sync_directory(path: Path) -> None:
    """Wait until a directory's entries are on the disk, so that a power cut can't undo a rename. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
