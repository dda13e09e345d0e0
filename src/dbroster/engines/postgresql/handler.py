"""PostgreSQL 13 and newer.

An account is a role marked by its comment, in the transaction that creates it. A database is created closed, owned by
its user, and is opened only in the transaction that takes it away from everybody else and marks it. dbroster never
connects to a user's database. Statements that carry verifiers are kept out of the server's log where possible.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, LiteralString, Self

from psycopg import sql

from dbroster.engines.archiver import Archiver
from dbroster.engines.base import Handler, Owned, no_adoption, prove_managed, prove_own
from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.access.markers import Claim, Marker, marker_role
from dbroster.engines.postgresql.access.password_logins import check_logins
from dbroster.engines.postgresql.beforehand.warnings import warnings
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.removal import eviction
from dbroster.engines.postgresql.removal.dependencies import dependencies, explain
from dbroster.engines.postgresql.session import (
    DEPENDED_ON,
    DUPLICATE,
    MEMBERSHIP_OPTIONS,
    Session,
    open_session,
    quoted,
    stated,
)
from dbroster.engines.postgresql.state import DatabaseState, read_databases, read_sizes, read_users
from dbroster.engines.postgresql.sync_lock import acquire_sync_lock
from dbroster.engines.renamer import Renamer
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, Lock, PasswordCheck, Server
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.passwords.verifiers.scram import scram_sha_256

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

_BATCH = 50

SESSIONS = 2
"""What a run needs at least: one session holds the sync lock, the others work."""


def connect(connection: Connection) -> Handler:
    """Open a connection. Raises ConnectError or UnsupportedServer."""
    return PostgreSQLHandler.open(connection)


class PostgreSQLHandler(Handler):
    """A PostgreSQL server."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {
        Verb.CREATE_USER: _BATCH,
        Verb.UPDATE_PASSWORD: _BATCH,
        Verb.GRANT_PRIVILEGES: _BATCH,
        Verb.LOCK_USER: _BATCH,
        Verb.DROP_USER: _BATCH,
    }
    together: ClassVar[Collection[Verb]] = batch_sizes.keys()

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session
        self._seen: tuple[int, dict[str, ExistingUser]] | None = None
        self._marker_role = marker_role(connection.roster)
        self._marker_role_stands = False

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Connect as the admin. Raises ConnectError or UnsupportedServer (too old, standby, pooler)."""
        return cls(connection, open_session(connection))

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._session.close()

    def abort(self) -> None:
        """Break whatever this session waits for."""
        self._session.abort()

    # --- the server -------------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """Product with version, and address."""
        return Server(self._session.product, f"{self.connection.host}:{self.connection.port}")

    def now(self) -> datetime:
        """The time by the server's clock."""
        ((seconds,),) = self._session.rows("SELECT extract(epoch FROM clock_timestamp())::bigint")
        return datetime.fromtimestamp(seconds, UTC)

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:  # noqa: ARG002 - the same for all databases
        """State the role attributes that the admin lacks; a superuser lacks none."""
        session = self._session
        needed = {"CREATEROLE": session.createrole, "CREATEDB": session.createdb}
        if session.version < MEMBERSHIP_OPTIONS:
            needed["INHERIT"] = session.inherits  # later each membership has this option for itself
        if session.superuser:
            return []
        lacking = [name for name, has in needed.items() if not has]
        if 0 <= session.limit < SESSIONS:
            lacking.append(f"CONNECTION LIMIT {SESSIONS + self.default_jobs}")
        missing = [f"ALTER ROLE {quoted(session.admin)} {' '.join(lacking)};"] if lacking else []
        return [*missing, *self._foreign_marker_role()]

    def admin_script(self, templates: Sequence[str], password: str) -> "AdminScript":  # noqa: ARG002 - for all databases
        """What makes the admin."""
        from dbroster.engines.postgresql.admin_script import script

        return script(self.connection, password, self._session.product, self._session.version)

    def jobs(self) -> int:
        """No more sessions than the admin may have beside the one that holds the lock."""
        limit = self._session.limit
        unlimited = limit < 0 or self._session.superuser
        return self.default_jobs if unlimited else max(1, min(self.default_jobs, limit - 1))

    def _foreign_marker_role(self) -> list[str]:
        """State what an admin lacks who has not created the marker role; before PostgreSQL 16 nothing."""
        query: LiteralString = (
            "SELECT 1 FROM pg_roles WHERE rolname = %s AND NOT pg_has_role(oid, 'MEMBER WITH ADMIN OPTION')"
        )
        if self._session.version < MEMBERSHIP_OPTIONS or not self._session.rows(query, [self._marker_role]):
            return []
        return [self._session.text(stated("GRANT {} TO {} WITH ADMIN OPTION;", self._marker_role, self._session.admin))]

    def acquire_sync_lock(self) -> None:
        """Hold an advisory lock until `close`. Raises SyncLockHeld, naming who has it."""
        acquire_sync_lock(self._session)

    def prepare(self) -> None:
        """Create the role whose settings mark databases, once for each roster."""
        session, role = self._session, self._marker_role
        if not session.rows("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]):
            given = [] if session.superuser else [statements.give_membership(role, session.version)]
            try:
                session.run([stated("CREATE ROLE {} NOLOGIN", role), *given])
            except OperationError as error:
                if error.code != DUPLICATE:  # somebody else has just created it
                    raise
        self._marker_role_stands = True

    def warnings(self) -> list[Problem]:
        """Who is out of this admin's reach or has too much, md5 verifiers, and a log that shows verifiers."""
        seen = self._seen
        users = seen[1] if seen and seen[0] == self._session.messages_run else self.get_existing_users()
        return list(warnings(self._session, self.connection, users))

    # --- names and passwords that this server can carry -------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """Refuse names that PostgreSQL reserves or would cut."""
        return PostgreSQLOptions.of(self.connection).refuse_user(name)

    def refuse_database(self, name: str) -> str | None:
        """Refuse names that PostgreSQL would cut."""
        return PostgreSQLOptions.of(self.connection).refuse_database(name)

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every role of the server, in one query."""
        users = read_users(self._session, self.connection)
        self._seen = self._session.messages_run, users
        return users

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database of the server, in one query."""
        return {name: state.existing for name, state in read_databases(self._session, self.connection).items()}

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Ask for those that the admin may look into: PostgreSQL tells no others' sizes."""
        return read_sizes(self._session, names)

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Compare with the stored verifiers where the admin may read them, else by logging in."""
        from dbroster.passwords.verifiers.batch import matches_many  # most runs remember all passwords

        known = [user for user in users if user.name in existing]
        unknown = {user.name: PasswordCheck.UNKNOWN for user in users}
        if not self._session.reads_verifiers:
            return unknown | check_logins(self._session, self.connection, known, self.doubts)
        stored = {user.name: verifier for user in known for verifier in existing[user.name].verifiers}
        checks = [
            Check(Algorithm.POSTGRESQL, user.name, user.password, stored[user.name].value)
            for user in known
            if user.name in stored
        ]
        answers = zip((check.user for check in checks), map(PasswordCheck.of, matches_many(checks)), strict=True)
        # a managed account without a verifier has no password at all
        without = {user.name: PasswordCheck.DIFFERENT for user in known if existing[user.name].managed}
        return unknown | without | dict(answers)

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """By the catalogs: who is out of reach, what needs a role or a database, which encoding can't be."""
        from dbroster.engines.postgresql.beforehand.refusals import foresee  # seldom is there anything to do

        return foresee(self._session, self.connection, actions)

    # --- changes ----------------------------------------------------------------------------------------------------

    def create_users(self, passwords: Mapping[str, Secret]) -> None:
        """Create the roles with their markers; a role that is already ours gets the password."""
        existing = self._users(passwords)
        self._change_passwords({user: passwords[user] for user in passwords if user not in existing}, self._creation)
        self._update_passwords({user: passwords[user] for user in existing})

    def update_user_passwords(self, passwords: Mapping[str, Secret]) -> None:
        """Set the passwords, and open the roles that dbroster had shut; a lock of somebody else's stays."""
        self._past_holders(list(passwords), None, lambda: self._update_passwords(passwords))

    def _past_holders(self, users: Sequence[str], database: str | None, act: Callable[[], None]) -> None:
        """Change one user in spite of who holds it; of several it is not known who, and each is tried by itself."""
        if len(users) > 1:
            act()
        else:
            eviction.past_holders(self._session, self.connection, users, database, act)

    def create_database(self, user: str, database: str) -> None:
        """Create the database closed to all, for `grant_privileges` to open; one that is ours already will do.

        From template0, since a session in template1 would block it. Not in a transaction, as PostgreSQL wants it.
        """
        self._managed([user])
        found = self._databases([database])
        if found:
            self._prove_own([(user, database)], found)
            if found[database].existing.usable:
                return
            self.drop_database(user, database)  # what an interrupted DROP has left
        self._reach([user])
        options = PostgreSQLOptions.of(self.connection)
        claim = self._claim(user, database)
        self._session.run([statements.create_database(claim, options.encoding, options.locale)])

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Close the databases to all but their owners, mark them and open them, in one transaction."""
        users = [user for user, _ in owned]
        self._past_holders(users, owned[0][1], lambda: self._finish_databases(owned))

    def lock_users(self, users: Sequence[str]) -> None:
        """Forbid the login, note in the marker that it was us, shut the roles' databases, and end the sessions."""
        roles = self._managed(users, gone_is_fine=True)
        self._reach(roles)
        undated = [user for user, role in roles.items() if role.lock is not Lock.FOREIGN and role.locked_since is None]
        shut = [Marker(self.connection.roster, user, locked=True) for user in undated]
        locking = [part for marker in shut for part in statements.let_log_in(marker)]
        eviction.shut(self._session, self.connection, roles, locking)
        self._shut_databases(roles)
        now = self.time_of_lock() if self.connection.removals.grace_days and shut else None
        self._session.run([statements.mark_role(marker._replace(since=now)) for marker in shut if now])

    def _shut_databases(self, roles: Collection[str]) -> None:
        every = read_databases(self._session, self.connection).values()
        own = [state for state in every if state.existing.owner in roles and state.existing.usable]
        members = {
            state.existing.owner or "": [
                statements.take_membership(state.existing.owner or "", *member, self._session.version)
                for member in state.members
            ]
            for state in own
        }
        owners = {state.existing.name: state.existing.owner or "" for state in own}
        eviction.shut_databases(self._session, self.connection, owners, members)

    def drop_database(self, user: str, database: str) -> None:
        """Drop the user's database, ending the sessions in it."""
        found = self._databases([database])
        if found:
            self._prove_own([(user, database)], found)
            self._reach([user])
            eviction.past_owner(
                self._session, self.connection, user, database, lambda: self._drop_database(user, found[database])
            )

    def _drop_database(self, user: str, state: DatabaseState) -> None:
        self._session.run(self._before_drop(user, state))
        eviction.drop_database(self._session, state.existing.name)

    def _before_drop(self, user: str, state: DatabaseState) -> list[sql.Composable]:
        """Take away what its owner has put in the way of a drop, and claim what a broken drop would leave unclaimed."""
        first: list[sql.Composable] = []
        if state.template and state.existing.usable:
            first.append(stated("ALTER DATABASE {} IS_TEMPLATE false", state.existing.name))
        if not state.claimed:
            self._need_marker_role()
            first.append(statements.claim_database(self._marker_role, self._claim(user, state.existing.name)))
        return first

    def drop_users(self, users: Sequence[str]) -> None:
        """Drop the roles. One that still owns something, or has privileges elsewhere, stays; the error names it."""
        roles = self._managed(users, gone_is_fine=True)
        try:
            self._session.run([stated("DROP ROLE {}", user) for user in roles])
        except OperationError as error:
            if error.code != DEPENDED_ON:
                raise eviction.explained(self._session, error, roles) from None
            found = dependencies(self._session, roles)
            advice = f"; {explain(self._session, self.connection, found)}" if found else ""
            raise OperationError(f"{error}{advice}", error.code) from None

    def adopt_user(self, user: str, password: Secret) -> None:
        """Put our marker and the password on a foreign role; whether it may log in stays as it is."""
        role = self._users([user]).get(user)
        if reason := no_adoption(role, self.connection.roster):
            raise OperationError(f"the role {user} can't be adopted: {reason}")
        self._reach([user])
        marked = statements.mark_role(self._marker(user))
        self._change_passwords({user: password}, lambda _, verifier: [statements.set_password(user, verifier), marked])

    def adopt_database(self, user: str, database: str) -> None:
        """Give a foreign database to the user, close it to everybody else and mark it.

        What is inside keeps its owners: changing that would need a session in the database.
        """
        self._managed([user])
        state = self._databases([database]).get(database)
        if state is None:
            raise OperationError(f"there is no database {database!r} to adopt")
        if state.existing.protected or not database.startswith(f"{user}_"):
            reason = state.existing.protected or f"its name does not start with {user}_"
            raise OperationError(f"database {database!r} can't be adopted: {reason}")
        self._reach([user])
        self._need_marker_role()
        self._session.run([stated("ALTER DATABASE {} OWNER TO {}", database, user), *self._finish(user, state)])

    def renamer(self) -> Renamer:
        """By the server itself."""
        from dbroster.engines.postgresql.renaming import PostgreSQLRenamer

        return PostgreSQLRenamer(self, self._session, self._marker_role, self._to_be_renamed)

    def _to_be_renamed(self, user: str) -> dict[str, DatabaseState]:
        """Prove that an account is ours, get what it takes to rename it, and return its databases."""
        self._managed([user])
        self._reach([user])
        self._need_marker_role()
        every = read_databases(self._session, self.connection)
        return {name: state for name, state in every.items() if state.existing.owner == user}

    def archive_database(self, user: str, database: str) -> None:
        """Roll back what users have prepared in it first, whose locks pg_dump would wait for."""
        if database in self._databases([database]):
            eviction.roll_back(self._session, self.connection, [user], database)
        super().archive_database(user, database)

    def archiver(self) -> Archiver:
        """By pg_dump and pg_restore."""
        from dbroster.engines.postgresql.archive.archiver import PostgreSQLArchiver

        return PostgreSQLArchiver(self.connection, self._session)

    # --- parts of changes -------------------------------------------------------------------------------------------

    def _creation(self, user: str, verifier: str) -> list[sql.Composable]:
        role = statements.create_role(self._marker(user), verifier)
        if self._session.superuser:
            return role
        return [*role, statements.give_membership(user, self._session.version)]

    def _update_passwords(self, passwords: Mapping[str, Secret]) -> None:
        roles = self._managed(passwords)

        def update(user: str, verifier: str) -> list[sql.Composable]:
            opening = statements.let_log_in(self._marker(user)) if roles[user].lock is Lock.OURS else []
            return [statements.set_password(user, verifier), *opening]

        self._change_passwords(passwords, update)

    def _change_passwords(
        self, passwords: Mapping[str, Secret], change: Callable[[str, str], list[sql.Composable]]
    ) -> None:
        """Send what `change` makes of each user and verifier, all in one transaction and out of the server's log."""
        iterations = self._session.iterations
        verifiers = {user: scram_sha_256(secret.reveal(), iterations=iterations) for user, secret in passwords.items()}
        changes = [statement for user, verifier in verifiers.items() for statement in change(user, verifier)]
        if changes:
            secrets = [secret.reveal() for secret in passwords.values()]
            self._session.run_unlogged(changes, [*secrets, *verifiers.values()])

    def _finish_databases(self, pairs: Sequence[Owned]) -> None:
        found = self._databases([database for _, database in pairs])
        self._prove_own(pairs, found)
        for state in found.values():
            if not state.existing.usable:  # even to try to alter it would end the session
                raise OperationError(f"an interrupted drop has left {state.existing.name!r}: it can only be dropped")
        self._reach({user for user, _ in pairs})
        self._need_marker_role()
        lent = [user for user, database in pairs if found[database].members]
        acting = eviction.who_acts(self._session, lent) if lent else ()
        self._session.run([part for user, database in pairs for part in self._finish(user, found[database])])
        eviction.end_acting(self._session, acting)

    def _finish(self, user: str, state: DatabaseState) -> list[sql.Composable]:
        limit = PostgreSQLOptions.of(self.connection).connection_limit
        claim = self._claim(user, state.existing.name)
        return statements.finish_database(self._marker_role, claim, state, limit, self._session.version)

    # --- what proves that something is ours -------------------------------------------------------------------------

    def _users(self, names: Collection[str]) -> dict[str, ExistingUser]:
        return read_users(self._session, self.connection, list(names))

    def _databases(self, names: Collection[str]) -> dict[str, DatabaseState]:
        return read_databases(self._session, self.connection, list(names))

    def _managed(self, names: Collection[str], *, gone_is_fine: bool = False) -> dict[str, ExistingUser]:
        """Read roles just before a change. Raises OperationError for one that is not ours, or no longer there."""
        found = self._users(names)
        for name in names:
            if name in found or not gone_is_fine:
                prove_managed(name, found.get(name), self.connection.roster)
        return found

    def _prove_own(self, pairs: Sequence[Owned], found: Mapping[str, DatabaseState]) -> None:
        """Raise OperationError for a database that, as read just now, is not proven to be its user's."""
        for user, database in pairs:
            if database not in found:
                raise OperationError(f"database {database!r} does not exist any more")
            existing = found[database].existing
            prove_own(user, database, existing.owner, f"it belongs to {existing.holder}")

    def _reach(self, users: Collection[str]) -> None:
        """Let an admin who is no superuser act for these users: by a membership that inherits and may SET ROLE."""
        if self._session.superuser:
            return
        settable = "SET" if self._session.version >= MEMBERSHIP_OPTIONS else "MEMBER"
        query = (
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            " AND NOT (pg_has_role(oid, 'USAGE') AND pg_has_role(oid, %s))"
        )
        missing = self._session.rows(query, [list(users), settable])
        self._session.run([statements.give_membership(name, self._session.version) for (name,) in missing])

    def _need_marker_role(self) -> None:
        if not self._marker_role_stands:
            self.prepare()

    def _marker(self, user: str) -> Marker:
        return Marker(self.connection.roster, user)

    def _claim(self, user: str, database: str) -> Claim:
        return Claim(self.connection.roster, user, database)
