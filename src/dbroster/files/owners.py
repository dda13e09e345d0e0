"""Who else could write, or exchange, the files that decide what dbroster does: their owners and all directories above.

Owners and modes are judged; access control lists are not looked at.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from dbroster.model.problems import Problem


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


def place_problem(directory: Path) -> str | None:
    """Say why others could exchange a directory, or what is in it, though they may write none of its files.

    In a sticky directory, as /tmp or a secret in Kubernetes is, everybody may add files, and exchange only own ones.
    """
    users = trusted(directory)
    try:
        return next(_doubts(directory, users), None)
    except OSError:
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
        elif what == "the directory" and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            text = f"{what} {path} has mode {mode:04o}: everybody may put another file into it"
            yield f"{text}; mend it with: chmod o-w {path}"
