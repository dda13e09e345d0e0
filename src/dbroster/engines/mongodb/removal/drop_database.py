"""Dropping a user's database, with everything in it, and seeing that it stays away.

A database comes into being by the first write into it. Whoever was allowed to write a moment ago may still be writing,
and an account defined inside the database may do so for ever; so those go first, and afterwards it is looked again.
"""

import re
import time

from dbroster.engines.mongodb.access.surroundings import Surroundings, told
from dbroster.engines.mongodb.removal.accounts_inside import insiders, shut_out
from dbroster.engines.mongodb.removal.end_operations import end_operations
from dbroster.engines.mongodb.session import ADMIN, MAX_TIME_EXPIRED, Session
from dbroster.errors import OperationError

FIRST_LIMIT = 30
"""Seconds that a drop waits for what others do in the database, before their sessions are ended."""

_TIMES = 6
_PAUSE = 0.05  # seconds; doubled each time


class Drop:
    """The drop of one database; its user has no roles on it any more, and nobody else of the roster has."""

    def __init__(self, session: Session, user: str, database: str, around: Surroundings) -> None:
        self._session = session
        self._user = user
        self._database = database
        # those that are defined inside it go with it
        self._strangers = around.outside([database])

    def run(self) -> None:
        """Drop it until it stays away. Raises OperationError that says who brings it back, or holds it."""
        shut_out(self._session, insiders(self._session, [self._database]))
        for command in ("dropAllUsersFromDatabase", "dropAllRolesFromDatabase"):
            self._session.change(self._database, {command: 1})
        for attempt in range(_TIMES):
            self._drop()
            if self._strangers:  # they may go on writing, and so need a moment to show it
                time.sleep(_PAUSE)
            if self._database not in self._session.database_names([self._database]):
                return
            time.sleep(_PAUSE * 2**attempt)
        raise OperationError(f"the database {self._database} comes back after each drop{self._by_whom()}")

    def _drop(self) -> None:
        try:
            self._session.change(self._database, {"dropDatabase": 1}, limit=FIRST_LIMIT)
        except OperationError as error:
            if error.code != MAX_TIME_EXPIRED:
                raise
            self._drop_again()

    def _drop_again(self) -> None:
        """An open transaction of the user was in the way, or it only takes longer."""
        end_operations(self._session, [{"user": self._user, "db": self._session.auth_database}])
        try:
            self._session.change(self._database, {"dropDatabase": 1}, limit=self._session.timeout)
        except OperationError as error:
            if error.code != MAX_TIME_EXPIRED:
                raise
            text = f"something in the database {self._database} takes longer than {self._session.timeout} s"
            raise OperationError(f"{text}{self._by_himself() or self._by_whom()}", error.code) from None

    def _by_himself(self) -> str:
        """Name what the user still does in it: an expression is worked out to its end, even if it was killed."""
        own = {"effectiveUsers.user": self._user, "ns": {"$regex": f"^{re.escape(self._database)}\\."}}
        found = self._session.command(ADMIN, {"currentOp": 1, "$all": True, **own})["inprog"]
        if not found:
            return ""
        since = f"operation {found[0]['opid']} of {self._user}, at work since {found[0].get('secs_running', 0)} s"
        return f": {since}, which the server can't break off; run again when it has ended, or restart the server"

    def _by_whom(self) -> str:
        """Name the foreign accounts that may write into it, and the commands that end that."""
        if not self._strangers:
            return ": somebody who may write into every database uses it; end that, and run again"
        return f": {told(self._strangers, 'write into it')}"
