"""Ending the sessions of users, and the logins that may become some."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from dbroster.engines.mysql.access.clients import Hosts
from dbroster.engines.mysql.access.grants import Rules
from dbroster.engines.mysql.session import NO_SUCH_THREAD, NOT_OWNER_OF_THREAD, Session
from dbroster.errors import OperationError

_NOBODY = "unauthenticated user"
_CHANGE_USER = "Change user"  # COM_CHANGE_USER, which logs in within a session that is somebody else's until its end
_EVENT = ("system user", "Connect")
_LOGIN = 1.0  # seconds that a login may take which a lock has to wait for
_ENDING = 5.0  # seconds in which a session that was ended may still commit; a statement that no KILL ends takes longer
_LOOK = 0.05


def end_sessions(session: Session, users: Mapping[str, Hosts], rules: Rules) -> None:
    """End the sessions of these users, and wait for their ends; without the right to it, `warnings` has said so.

    What an event or a routine does for a user is a session of that user, too. A session shows its user and its
    client, not its account: one that a foreign account of that name may have is left alone.
    """

    def is_theirs(row: Mapping[str, Any]) -> bool:
        is_own_event = row["Command"] == _EVENT[1] and row["db"] is not None and rules.belongs(row["User"], row["db"])
        return row["User"] in users and (is_own_event or users[row["User"]].has_client(row["Host"]))

    ended = {row["Id"] for row in _sessions(session) if is_theirs(row)}
    for number in ended:
        end_session(session, number)
    _await(lambda: ended & {row["Id"] for row in session.processes()}, _ENDING if ended else 0)


def _sessions(session: Session) -> list[dict[str, Any]]:
    """Find all sessions. Whose an event is only SHOW PROCESSLIST tells, and it may have to wait for nobody."""
    found = session.processes()
    if not any((row["User"], row["Command"]) == _EVENT for row in found):
        return found
    end_logins(session)
    return session.rows("SHOW PROCESSLIST")


def end_logins(session: Session) -> None:
    """Wait for the logins that are under way, and end those that take their time: they may be a locked user's.

    MySQL looks up the account when a login begins, and tells in its end whose it is. Nobody else's takes so long.
    MariaDB tells from the beginning whose a login is.
    """
    late = set() if session.is_mariadb else _logging_in(session)
    for number in _await(lambda: late & _logging_in(session), _LOGIN if late else 0):
        end_session(session, number)


def _logging_in(session: Session) -> set[int]:
    return {row["Id"] for row in session.processes() if row["User"] == _NOBODY or row["Command"] == _CHANGE_USER}


def _await(left: Callable[[], set[int]], seconds: float) -> set[int]:
    """Wait until no session is left, but not for longer; return those that are."""
    end = time.monotonic() + seconds
    found = left() if seconds else set()
    while found and time.monotonic() < end:
        time.sleep(_LOOK)
        found = left()
    return found


def end_session(session: Session, number: int) -> None:
    """End one, unless it is gone already, or out of this admin's reach."""
    try:
        session.run(f"KILL {int(number)}")
    except OperationError as error:
        if error.code not in (NO_SUCH_THREAD, NOT_OWNER_OF_THREAD):
            raise
