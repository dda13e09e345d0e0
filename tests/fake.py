"""A complete engine in memory: `FakeServer` is the server, each `FakeHandler` one connection to it.

It keeps to the rules that every engine keeps to, and passes the same contract suite. What no real server does on
demand it does when told: an action that fails for one user, a connection that breaks before or after the effect of
the n-th statement, a kill after the n-th statement.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import ClassVar, Self

from dbroster.engines.base import Handler, gone, prove_managed, prove_own
from dbroster.errors import OperationError, SyncLockHeld
from dbroster.model.admin_script import AdminScript
from dbroster.model.connection import Connection, EngineOptions
from dbroster.model.plan import Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import (
    ExistingDatabase,
    ExistingUser,
    Lock,
    PasswordCheck,
    Server,
    StoredVerifier,
    differences,
)
from dbroster.passwords.policy import PasswordRules, unprintable
from dbroster.passwords.secret import Secret
from tests.fake_archive import FakeArchiver
from tests.fake_server import Account, Database, FakeServer, Killed, digest

__all__ = ["FakeHandler", "FakeServer", "Killed", "fake_connection"]

USER_LIMIT = 32
DATABASE_LIMIT = 64
PASSWORD_LIMIT = 1024


class FakeOptions(EngineOptions):
    """The server in memory that a connection leads to."""

    def __init__(self, server: FakeServer, **more: object) -> None:
        self.__dict__.update(server=server, **more)
        self.server: FakeServer


class FakeHandler(Handler):
    """One connection to the FakeServer that stands in the connection's options as `server`."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {Verb.CREATE_USER: 5, Verb.LOCK_USER: 5, Verb.DROP_USER: 5}

    def __init__(self, connection: Connection, fake: FakeServer) -> None:
        super().__init__(connection)
        self._fake = fake
        self._session = fake.connect(connection.username)

    @classmethod
    def open(cls, connection: Connection) -> Self:
        return cls(connection, FakeOptions.of(connection).server)

    def close(self) -> None:
        self._fake.disconnect(self._session)

    def server(self) -> Server:
        return Server("Fake 1.0", self.connection.host)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._fake.clock_ahead

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        with self._read("show my privileges"):
            return list(self._fake.lacking)

    def admin_script(self, templates: Sequence[str], password: str) -> AdminScript:
        create, grant = f"CREATE ADMIN '{password}';", f"GRANT {', '.join(templates)};"
        return AdminScript("Fake 1.0", create, [grant], {"dance": ["GRANT DANCE;"]}, "fake-client")

    def acquire_sync_lock(self) -> None:
        with self._read("take the lock"):
            holder = self._fake.lock_holder
            if holder != self._session and self._fake.sessions.get(holder or 0) == self.connection.username:
                raise SyncLockHeld(f"session {holder} of the fake server is synchronising")
            self._fake.lock_holder = self._session

    def still_holds_sync_lock(self) -> bool:
        return self._session in self._fake.sessions

    def prepare(self) -> None:
        """The fake needs nothing."""

    def password_rules(self) -> Sequence[PasswordRules]:
        return self._fake.rules

    def warnings(self) -> list[Problem]:
        return self._fake.notes

    def refuse_user(self, name: str) -> str | None:
        too_long = f"the name has {len(name)} characters, the fake server takes {USER_LIMIT}"
        return too_long if len(name) > USER_LIMIT else None

    def refuse_database(self, name: str) -> str | None:
        too_long = f"the name has {len(name)} characters, the fake server takes {DATABASE_LIMIT}"
        return too_long if len(name) > DATABASE_LIMIT else None

    def refuse_password(self, password: Secret) -> str | None:
        size = len(password.bytes())
        too_long = f"the password has {size} bytes, the fake server takes {PASSWORD_LIMIT}"
        return too_long if size > PASSWORD_LIMIT else unprintable(password)

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        with self._read("list accounts"):
            return {name: self._existing_user(name, account) for name, account in self._fake.accounts.items()}

    def _existing_user(self, name: str, account: Account) -> ExistingUser:
        protected = account.protected
        if name in self.connection.protected:
            protected = protected or "connections.yaml protects it"
        itself = account.named == name
        ours = itself and account.roster == self.connection.roster and protected is None
        return ExistingUser(
            name,
            ours,
            account.roster if itself else None,
            protected,
            account.lock,
            verifiers=(StoredVerifier("fake", Secret(account.stored)),) if account.stored else (),
            locked_since=account.since,
            marked_for=None if itself or account.roster != self.connection.roster else account.named,
        )

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        with self._read("list databases"):
            return {name: self._existing_database(name) for name in self._fake.databases}

    def _existing_database(self, name: str) -> ExistingDatabase:
        database = self._fake.databases[name]
        protected = database.protected
        if database.roster not in (None, self.connection.roster):
            protected = f"it belongs to the roster {database.roster!r}"
        claimed = database.mark if database.named == name and not protected else None
        account = self._fake.accounts.get(claimed or "")
        ours = account is not None and (account.roster, account.named) == (self.connection.roster, claimed)
        return ExistingDatabase(
            name,
            claimed if ours else None,
            database.users == {database.mark},
            database.usable,
            protected=protected,
            marked_for=database.named if database.named != name and not protected else None,
            holder=next(iter(database.users)) if len(database.users) == 1 else None,
            left_by=None if ours else claimed,
            differs=differences(
                (database.mark not in database.users, f"{database.mark} may not enter"),
                (others := sorted(database.users - {database.mark}), f"{', '.join(others)} may enter"),
            ),
        )

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        with self._read("measure databases"):
            if self._fake.lacking_sizes:
                raise OperationError(self._fake.lacking_sizes)
            return {name: 1_000_000 * len(self._fake.databases[name].rows) for name in names}

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        return {user.name: self._check_password(user, existing.get(user.name)) for user in users}

    def _check_password(self, user: User, existing: ExistingUser | None) -> PasswordCheck:
        if existing is None or user.name in self._fake.unreadable:
            return PasswordCheck.UNKNOWN
        wanted = Secret(digest(user.password.reveal()))
        same = any(verifier.value == wanted for verifier in existing.verifiers)
        return PasswordCheck.SAME if same else PasswordCheck.DIFFERENT

    # --- changes ----------------------------------------------------------------------------------------------------

    def create_user(self, user: str, password: Secret) -> None:
        with self._change(Verb.CREATE_USER, user):
            if user in self._fake.accounts:
                self._ours(user).stored = digest(password.reveal())
            else:
                self._fake.accounts[user] = Account(digest(password.reveal()), self.connection.roster, user)

    def update_user_password(self, user: str, password: Secret) -> None:
        with self._change(Verb.UPDATE_PASSWORD, user):
            account = self._ours(user)
            account.stored = digest(password.reveal())
            if account.lock is Lock.OURS:
                account.lock, account.since = Lock.OPEN, None

    def create_database(self, user: str, database: str) -> None:
        """Two statements, so that a kill between them leaves an unfinished database."""
        with self._change(Verb.CREATE_DATABASE, user, database):
            self._ours(user)
            new = Database(user, self.connection.roster, database, usable=False)
            existing = self._fake.databases.setdefault(database, new)
            if (existing.mark, existing.roster, existing.named) != (user, self.connection.roster, database):
                raise OperationError(f"a database {database} exists that is not {user}'s")
        with self._change(Verb.CREATE_DATABASE, user, database):
            existing.usable = True

    def grant_privileges(self, user: str, database: str) -> None:
        with self._change(Verb.GRANT_PRIVILEGES, user, database):
            self._owned(user, database).users = {user}

    def lock_user(self, user: str) -> None:
        with self._change(Verb.LOCK_USER, user):
            account = self._ours(user)
            if account.lock is Lock.OPEN:
                account.lock = Lock.OURS
            for session in [number for number, who in self._fake.sessions.items() if who == user]:
                self._fake.disconnect(session)
        if account.lock is Lock.OURS and account.since is None and self.connection.removals.grace_days:
            with self._change(Verb.LOCK_USER, user):
                account.since = self.time_of_lock()

    def drop_database(self, user: str, database: str) -> None:
        with self._change(Verb.DROP_DATABASE, user, database):
            if database in self._fake.databases:
                self._owned(user, database)
                del self._fake.databases[database]

    def drop_user(self, user: str) -> None:
        with self._change(Verb.DROP_USER, user):
            if user in self._fake.accounts:
                self._ours(user)
                del self._fake.accounts[user]

    def adopt_user(self, user: str, password: Secret) -> None:
        with self._change(Verb.ADOPT, user):
            existing = self._fake.accounts.get(user)
            if existing is None or self._existing_user(user, existing).protected:
                raise OperationError(f"the account {user} can't be taken over")
            if existing.roster not in (None, self.connection.roster):
                raise OperationError(f"the account {user} belongs to another roster")
            existing.stored = digest(password.reveal())
            existing.roster, existing.named = self.connection.roster, user

    def adopt_database(self, user: str, database: str) -> None:
        with self._change(Verb.ADOPT, user, database):
            self._ours(user)
            if database not in self._fake.databases or self._existing_database(database).protected:
                raise OperationError(f"the database {database} can't be taken over")
            existing = self._fake.databases[database]
            if existing.named == database and existing.mark != user:
                raise OperationError(f"the database {database} belongs to {existing.mark}")
            existing.mark, existing.roster, existing.named = user, self.connection.roster, database
            existing.users = {user}

    def archiver(self) -> FakeArchiver:
        return FakeArchiver(self.connection, self._fake, self._owned)

    def archive_database(self, user: str, database: str) -> None:
        with self._change(Verb.ARCHIVE_DATABASE, user, database):
            super().archive_database(user, database)

    def _ours(self, user: str) -> Account:
        account = self._fake.accounts.get(user)
        if account is None:
            raise gone(user)
        prove_managed(user, self._existing_user(user, account), self.connection.roster)
        return account

    def _owned(self, user: str, database: str) -> Database:
        self._ours(user)
        existing = self._fake.databases.get(database)
        if existing is None:
            raise OperationError(f"there is no database {database} any more")
        prove_own(user, database, existing.mark if existing.named == database else None)
        return existing

    @contextmanager
    def _read(self, text: str) -> Iterator[None]:
        with self._fake.statement(self._session, text):
            yield

    @contextmanager
    def _change(self, verb: Verb, user: str, database: str | None = None) -> Iterator[None]:
        with self._fake.statement(self._session, f"{verb} {database or user}", change=True):
            self._fake.raise_failure(verb, user)
            yield


def fake_connection(server: FakeServer, **settings: object) -> Connection:
    """Return the connection that leads to a fake server; settings are fields of Connection."""
    common = {"engine": "fake", "server": "default", "host": "127.0.0.1", "port": 1, "username": "admin"}
    return Connection(**{"password": Secret("admin"), "options": FakeOptions(server), **common, **settings})  # type: ignore[arg-type]
