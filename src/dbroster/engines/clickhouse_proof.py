"""What proves, just before a change, that an account or a database is ours to change.

Reading system tables costs as much for one object as for many, so a batch is read at once. What was read ahead serves
until the object is changed, and ends with the batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from dbroster.config import Connection
from dbroster.engines.clickhouse_session import Session
from dbroster.engines.clickhouse_state import (
    Account,
    GrantsOn,
    judge_database,
    read_accounts,
    read_comments,
    read_grants,
    role_of,
)
from dbroster.errors import OperationError
from dbroster.model import Action, ExistingDatabase, Verb


class Proof:
    """Accounts, databases and privileges, as the server has them right now or had them when the batch began."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection
        self._accounts: dict[str, Account | None] = {}
        self._comments: dict[str, str | None] = {}
        self._granted: dict[str, Mapping[str, GrantsOn]] = {}

    @contextmanager
    def ahead(self, actions: Sequence[Action]) -> Iterator[None]:
        """Read what these actions will ask for, in one query for each kind. Raises ConnectError, OperationError."""
        self._accounts |= self._read_accounts({action.user: None for action in actions})
        databases = list(dict.fromkeys(action.database for action in actions if action.database))
        if databases:
            self._comments |= self._read_comments(databases)
        if databases and actions[0].verb in (Verb.GRANT_PRIVILEGES, Verb.DROP_DATABASE):
            self._granted |= self._read_grants(databases)
        try:
            yield
        finally:
            for read in (self._accounts, self._comments, self._granted):
                read.clear()

    def forget(self, name: str) -> None:
        """Tell that an account or a database is about to change."""
        self._accounts.pop(name, None)
        self._comments.pop(name, None)
        self._granted.pop(name, None)

    def account(self, user: str) -> Account | None:
        """One account."""
        return self._accounts[user] if user in self._accounts else self._read_accounts([user])[user]

    def managed(self, user: str) -> Account:
        """One of our accounts. Raises OperationError for one that is not ours, or is gone."""
        account = self.managed_if_any(user)
        if account is None:
            raise OperationError(f"the account {user} does not exist any more")
        return account

    def managed_if_any(self, user: str) -> Account | None:
        """One of our accounts, or None where nobody has the name. Raises OperationError for one that is not ours."""
        account = self.account(user)
        if account is not None and not account.existing.managed:
            reason = account.existing.protected or f"it does not have the role {role_of(self._connection.roster)}"
            raise OperationError(f"the account {user} is not managed by dbroster and is left alone: {reason}")
        return account

    def database(self, name: str) -> ExistingDatabase | None:
        """One database, and whose it is."""
        comment = self._comments[name] if name in self._comments else self._read_comments([name])[name]
        return None if comment is None else judge_database(self._connection.roster, name, comment)

    def own(self, user: str, database: str) -> bool:
        """Whether the database exists. Raises OperationError for one that is not this user's."""
        found = self.database(database)
        if found and found.owner != user:
            raise OperationError(f"the database {database} is not proven to be {user}'s and is left alone")
        return found is not None

    def granted(self, database: str) -> Mapping[str, GrantsOn]:
        """What users of the roster have on a database."""
        return self._granted[database] if database in self._granted else self._read_grants([database])[database]

    def _read_accounts(self, names: Sequence[str] | Mapping[str, None]) -> dict[str, Account | None]:
        found = read_accounts(self._session, self._connection, list(names))
        return {name: found.get(name) for name in names}

    def _read_comments(self, names: Sequence[str]) -> dict[str, str | None]:
        found = read_comments(self._session, names)
        return {name: found.get(name) for name in names}

    def _read_grants(self, names: Sequence[str]) -> dict[str, Mapping[str, GrantsOn]]:
        found = read_grants(self._session, self._connection.roster, names)
        return {name: found.get(name, {}) for name in names}
