"""What proves, just before a change, that an account or a database is ours to change.

Reading system tables costs as much for one object as for many, so a batch is read at once. What was read ahead serves
until the object is changed, and ends with the batch.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dbroster.engines.base import gone, prove_managed, prove_own
from dbroster.engines.clickhouse.access.grants import Grants, read_grants
from dbroster.engines.clickhouse.access.show_create_users import Shown, show
from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.markers import Marker
from dbroster.engines.clickhouse.session import Session, identifier, literal
from dbroster.engines.clickhouse.state import read_accounts, read_databases
from dbroster.errors import OperationError
from dbroster.model.plan import Action, Verb
from dbroster.model.state import ExistingDatabase

_FRESH = 2.0
"""Seconds for which a removal trusts what was read ahead; one before it in the batch may take minutes."""


class Ownership:
    """Accounts, databases and privileges, as the server has them right now or had them when the batch began."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._accounts: dict[str, Account | None] = {}
        self._databases: dict[str, ExistingDatabase | None] = {}
        self._granted: dict[str, Grants] = {}
        self._ends: dict[str, tuple[str, ...]] = {}
        self._ahead: Sequence[Action] = ()
        self._old = 0.0

    @contextmanager
    def ahead(self, actions: Sequence[Action]) -> Iterator[None]:
        """Read what these actions will ask for, in one query for each kind. Raises ConnectError, OperationError."""
        self._read_ahead(actions)
        self._ahead = actions if actions[0].verb in (Verb.LOCK_USER, Verb.DROP_DATABASE, Verb.DROP_USER) else ()
        try:
            yield
        finally:
            self._ahead = ()
            for read in (self._accounts, self._databases, self._granted, self._ends):
                read.clear()

    def _read_ahead(self, actions: Sequence[Action]) -> None:
        self._old = time.monotonic() + _FRESH
        self._accounts |= self._read_accounts({action.user: None for action in actions})
        databases = list(dict.fromkeys(action.database for action in actions if action.database))
        if databases:
            self._databases |= self._read_databases(databases)
        if databases and actions[0].verb in (Verb.GRANT_PRIVILEGES, Verb.DROP_DATABASE):
            self._granted |= dict.fromkeys(databases, read_grants(self._session, databases, few=True))
        if actions[0].verb is Verb.UPDATE_PASSWORD:
            self._ends |= {name: shown.until for name, shown in show(self._session).items()}

    def _renew(self) -> None:
        """Read ahead once more, if that was too long ago for what is removed."""
        if self._ahead and time.monotonic() > self._old:
            self._read_ahead(self._ahead)

    def forget(self, name: str) -> None:
        """Tell that an account or a database is about to change."""
        self._accounts.pop(name, None)
        self._databases.pop(name, None)
        self._granted.pop(name, None)

    def managed(self, user: str) -> Account:
        """One of our accounts. Raises OperationError for one that is not ours, or is gone."""
        account = self.managed_if_any(user)
        if account is None:
            raise gone(user)
        return account

    def managed_if_any(self, user: str) -> Account | None:
        """One of our accounts, or None where nobody has the name. Raises OperationError for one that is not ours."""
        self._renew()
        account = self._accounts[user] if user in self._accounts else self._read_accounts([user])[user]
        if account:
            prove_managed(user, account.existing, self._session.roster)
        return account

    def claimed_if_any(self, user: str) -> Account | None:
        """One of our accounts whose marker names it, since nothing else may be removed; None where there is none."""
        account = self.managed_if_any(user)
        if account and not account.claimed:
            raise OperationError(unnamed(self._session, user))
        return account

    def end(self, user: str) -> str | None:
        """Until when an account is valid, by VALID UNTIL; None for ever."""
        ends = self._ends[user] if user in self._ends else show(self._session, user).get(user, Shown()).until
        return ends[0] if ends else None

    def database(self, name: str) -> ExistingDatabase | None:
        """One database, and whose it is."""
        self._renew()
        return self._databases[name] if name in self._databases else self._read_databases([name])[name]

    def own(self, user: str, database: str) -> ExistingDatabase | None:
        """The database, if it exists. Raises OperationError for one that is not this user's."""
        found = self.database(database)
        if found:
            prove_own(user, database, found.owner)
        return found

    def granted(self, database: str) -> Grants:
        """What users of the roster have on a database."""
        self._renew()
        return self._granted.get(database) or read_grants(self._session, [database], few=True)

    def _read_accounts(self, names: Sequence[str] | Mapping[str, None]) -> dict[str, Account | None]:
        found = read_accounts(self._session, list(names))
        return {name: found.get(name) for name in names}

    def _read_databases(self, names: Sequence[str]) -> dict[str, ExistingDatabase | None]:
        found = read_databases(self._session, names)
        return {name: found.get(name) for name in names}


def unnamed(session: Session, user: str) -> str:
    """Why an account that has our role, but no marker that names it, is not removed, and what to do."""
    marker = literal(str(Marker(session.roster, user)))
    text = f"the account {user} has the role {session.role}, but its settings don't name it any more"
    return (
        f"{text}, so it may be another account of that name, and stays. If dbroster shall remove it: "
        f"ALTER USER {identifier(user)} SETTINGS log_comment = {marker}; "
        f"if it shall stay: REVOKE {identifier(session.role)} FROM {identifier(user)};"
    )
