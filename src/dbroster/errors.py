"""Every error that dbroster raises on purpose.

    DbrosterError
    ├── ConfigError            files or arguments are wrong; carries every problem found   exit 2
    │   └── ChangedMeanwhile       somebody else has written the file that was to be written
    ├── ServerError            nothing can be done on this server                          exit 2
    │   ├── ConnectError           host, port, TLS, login of the admin, connection lost
    │   │   ├── LoginRefused           the server knows no such admin, or not with this password
    │   │   └── Stalled                the server did not answer in time; not tried again
    │   ├── UnsupportedServer      product, version or role (replica, pooler) of the server
    │   ├── PrivilegeError         carries what the admin lacks
    │   └── SyncLockHeld               another sync is at work
    ├── AuditError             the audit log can't be written: no change may be made       exit 2
    └── OperationError         one action on one object failed; never leaves `apply`       exit 1

A plan that the guard refuses is a result, not an error (exit 3). Anything else is a defect: it fails the action that
brings it out (exit 1), or ends the run if there is none (exit 2).
No text here ever contains a statement, a password or a verifier.
"""

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbroster.model.plan import Action
    from dbroster.model.problems import Problem

_SCARCE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
)  # fmt: skip
"""What a file system or a machine says when it has no more to give."""


class DbrosterError(Exception):
    """The root of all errors that dbroster raises on purpose."""


class ConfigError(DbrosterError):
    """Files or arguments can't be used; `problems` holds everything that was found, not only the first."""

    def __init__(self, problems: Sequence["Problem"]) -> None:
        super().__init__("; ".join(problem.text for problem in problems))
        self.problems = tuple(problems)


class ChangedMeanwhile(ConfigError):  # noqa: N818 - reads as what it is
    """A file was to be replaced that does not hold any more what was read; it was left so."""


class ServerError(DbrosterError):
    """Nothing can be done on this server."""


class ConnectError(ServerError):
    """The server can't be reached, refused the admin's login, or the connection broke."""


class LoginRefused(ConnectError):  # noqa: N818 - reads as what it is
    """The server has refused the admin's login: the account is not there, or has another password."""


class Stalled(ConnectError):  # noqa: N818 - reads as what it is
    """The server did not answer within `timeout`; the text names the server and the key. It is not tried again.

    `action`: what was being done, where that is known.
    """

    action: "Action | None" = None


class UnsupportedServer(ServerError):  # noqa: N818 - reads as what it is
    """This server is too old, a replica, read-only, or behind a pooler that breaks sessions."""


class PrivilegeError(ServerError):
    """The admin account lacks privileges; `missing` says in the server's own words what to grant."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__("the admin account lacks privileges; grant it:\n" + "\n".join(f"  {line}" for line in missing))
        self.missing = tuple(missing)


class SyncLockHeld(ServerError):  # noqa: N818 - reads as what it is
    """Another sync holds the lock; the text says who."""


class AuditError(DbrosterError):
    """The audit log can't be written, so no change may be made."""


class OperationError(DbrosterError):
    """One action on one object failed.

    `code` is the server's own (SQLSTATE, errno, MongoDB code); `retryable` says that the same call may succeed
    a moment later (deadlock, object in use).
    """

    def __init__(self, text: str, code: str | None = None, *, retryable: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.retryable = retryable


def defect(error: Exception, *, verbose: bool = False) -> str:
    """Say where a defect of dbroster's own is; not its message, which may hold a secret. A full disk is none."""
    if reason := _out_of(error):
        return reason
    import traceback  # an error is rare, and every run would load this

    places = traceback.extract_tb(error.__traceback__)
    text = f"{type(error).__name__} in {places[-1].name}, line {places[-1].lineno}"
    more = [f"\n    {place.filename}:{place.lineno} {place.name}" for place in places if verbose]
    return f"a defect in dbroster, please report it: {text}{''.join(more)}"


def failure(error: Exception) -> str:
    """What a report tells of an action that an exception has ended: what was raised on purpose in its own words."""
    return str(error) if isinstance(error, DbrosterError) else defect(error)


def _out_of(error: Exception) -> str | None:
    """Say what this machine has run out of, whoever has asked for it."""
    if isinstance(error, MemoryError):
        return "this machine, or this process (ulimit -v), has no memory left; run again when there is more"
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return "no thread can be started: this user (ulimit -u) or this machine has too many; run again later"
    if isinstance(error, OSError) and error.errno in _SCARCE:
        where = f" at {error.filename}" if isinstance(error.filename, str) else ""
        return f"this machine refused{where}: {error.strerror}; run again when that is mended"
    return None
