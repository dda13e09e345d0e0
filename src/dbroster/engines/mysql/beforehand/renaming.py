"""New names by archives, for accounts that have nothing that somebody else gave."""

from collections.abc import Iterator, Sequence

from dbroster.engines.mysql.beforehand.foresight import Foresight
from dbroster.engines.mysql.grant_changes import GrantChanges
from dbroster.engines.mysql.session import Session
from dbroster.engines.mysql.state import State
from dbroster.engines.renamer import Archiving, Renamer, given_elsewhere
from dbroster.model.plan import Action, Verb


class MySQLRenamer(Renamer):
    """By archives."""

    def __init__(self, handler: Archiving, session: Session, state: State, changes: GrantChanges) -> None:
        super().__init__(handler)
        self._session, self._state, self._changes = session, state, changes

    def obstacles(self, user: str, databases: Sequence[str]) -> Iterator[str]:
        """Beside what an archive does not hold, privileges and roles that a DBA has given."""
        lock = [Action(Verb.LOCK_USER, user)]
        foresight = Foresight(self._session, self._handler.connection, self._state, self._changes, (), lock)
        taken = [problem.text for problem in foresight.taken_by_locks()]
        roles = {role for found in self._state.ours([user]) for role in found.roles}
        others = sorted(f"the role {role}" for role in roles if not role.startswith("dbroster"))
        yield from given_elsewhere(user, taken if self._session.is_mariadb else [*taken, *others])
        yield from super().obstacles(user, databases)
