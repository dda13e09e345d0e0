"""Who else could read, write or exchange the files that decide what dbroster does: owners, modes, directories above.

Access control lists are not looked at.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from dbroster.model.problems import Problem

_UNSAFE_BITS = stat.S_IRWXO | stat.S_IWGRP
_OTHER_WRITERS = stat.S_IWGRP | stat.S_IWOTH


def me() -> str:
    """Return the name of the user that dbroster runs as, for a chown."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def trusted(directory: Path) -> frozenset[int]:
    """Return who may own what decides: root, who runs dbroster, and who keeps the directory for a service.

    Nobody keeps files for root: who owns them would be as powerful.
    """
    own = os.geteuid()
    try:
        keeper = directory.stat().st_uid
    except OSError:
        keeper = own
    return frozenset({0, own, keeper if own else own})


def owner_problem(path: Path, uid: int) -> Problem | None:
    """Refuse a file of somebody who has no say here."""
    if uid in trusted(path.parent):
        return None
    text = f"{path} belongs to another user (uid {uid}), who decides then what dbroster does; "
    return Problem(f"{text}mend it with: chown {me()} {path}", path.name)


def open_problem(path: Path, mode: int) -> Problem | None:
    """Refuse a file that everybody may write."""
    if not mode & stat.S_IWOTH:
        return None
    return Problem(f"{path} has mode {mode:04o}: everybody may write it; mend it with: chmod o-w {path}", path.name)


def mode_problem(path: Path, mode: int, what: str = "passwords") -> Problem | None:
    """Refuse a file with passwords, or another secret, that others may read or write, or that its group may write."""
    if not mode & _UNSAFE_BITS:
        return None
    return Problem(
        f"{path} holds {what} and has mode {mode:04o}: others must not read it, nor its group write it; "
        f"mend it with: chmod 600 {path}",
        path.name,
    )


def writers_problem(path: Path, mode: int, what: str) -> Problem | None:
    """Refuse a file that is no secret but decides something, when its group or others may write it."""
    if not mode & _OTHER_WRITERS:
        return None
    text = f"{path} {what} and has mode {mode:04o}: only its owner may write it; mend it with: chmod go-w {path}"
    return Problem(text, path.name)


def place_problem(directory: Path) -> str | None:
    """Say why others could exchange a directory, or what is in it, though they may write none of its files.

    In a sticky directory, as /tmp or a secret in Kubernetes is, everybody may add files, and exchange only own ones.
    """
    users = trusted(directory)
    try:
        return next(_doubts(directory, users), None)
    except (OSError, RuntimeError):  # the latter for links that lead to each other
        return None  # who reads it says why that fails


def _doubts(directory: Path, users: frozenset[int]) -> Iterator[str]:
    named = Path(os.path.abspath(directory))  # noqa: PTH100 - links stay
    real = directory.resolve(strict=True)
    for path in dict.fromkeys((real, *real.parents, named, *named.parents)):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        what = "the link" if stat.S_ISLNK(status.st_mode) else "the directory"
        if status.st_uid not in users:
            text = f"{what} {path} belongs to another user (uid {status.st_uid}), who may exchange what is in it"
            yield f"{text}; mend it with: chown {'-h ' * (what == 'the link')}{me()} {path}"
        elif what == "the directory" and _is_open(mode):
            text = f"{what} {path} has mode {mode:04o}: everybody may put another file into it"
            yield f"{text}; mend it with: chmod o-w {path}"


def _is_open(mode: int) -> bool:
    """Whether everybody may exchange what is in a directory."""
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def unsafe_link(path: Path, opened: os.stat_result) -> str | None:
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
    if _is_open(directory.stat().st_mode):
        return f"is a link to a file in {directory}, where everybody may put another one"
    return None


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
