"""Reading the files of a config directory: only regular files, only of a sane size, mode and bytes from one open."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from dbroster.model import Problem

MAX_BYTES = 32 * 1024 * 1024
_UNSAFE_BITS = stat.S_IRWXO | stat.S_IWGRP
_OTHER_WRITERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file's bytes and permission bits; `problem` says why it can't be used, `missing` that it isn't there."""

    name: str
    data: bytes = b""
    mode: int = 0
    problem: Problem | None = None
    missing: bool = False


def read_file(path: Path) -> FileContent:
    """Read a file of the config directory; never blocks on a FIFO, never follows the content of a device."""
    name = path.name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return FileContent(name, problem=Problem(f"{path} does not exist", name), missing=True)
    except ValueError:  # a NUL, or what no file name can hold
        return FileContent(name, problem=Problem(f"{path} can't be the name of a file", name))
    except OSError as error:
        return FileContent(name, problem=Problem(f"{path} can't be opened: {error.strerror}", name))
    try:
        return _read(descriptor, path)
    finally:
        os.close(descriptor)


def _read(descriptor: int, path: Path) -> FileContent:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return FileContent(path.name, problem=Problem(f"{path} is not a regular file", path.name))
    if status.st_size > MAX_BYTES:
        text = f"{path} has {status.st_size} bytes, more than the {MAX_BYTES} that a roster can need"
        return FileContent(path.name, problem=Problem(text, path.name))
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return FileContent(path.name, file.read(MAX_BYTES + 1), stat.S_IMODE(status.st_mode))


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
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None if path.parent.is_dir() else f"{path.parent} does not exist"
    except OSError as error:
        return f"{path} can't be used: {error.strerror}"
    if not stat.S_ISDIR(mode):
        return f"{path} is not a directory"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path} has mode {stat.S_IMODE(mode):04o}, so others may read archives; mend it with: chmod 700 {path}"
    return None
