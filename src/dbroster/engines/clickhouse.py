"""ClickHouse 23.8 and newer, over HTTP.

An account is marked by a role without privileges that CREATE USER gives it, one role per roster; a database by its
comment. Both appear together with what they mark. Passwords leave this machine as salted hashes only, except for the
logins that check them. ON CLUSTER is built as the documentation says and has never been run on a cluster.
"""

from collections.abc import Mapping, Sequence
from typing import Self

from dbroster.config import Connection
from dbroster.engines.base import Handler
from dbroster.engines.clickhouse_lock import ServerLock
from dbroster.engines.clickhouse_login import check_logins
from dbroster.engines.clickhouse_privileges import Holdings, Tree, missing_grants
from dbroster.engines.clickhouse_session import (
    DATABASE_EXISTS,
    DENIED,
    USER_EXISTS,
    Session,
    identifier,
    literal,
)
from dbroster.engines.clickhouse_state import (
    SYSTEM_DATABASES,
    Account,
    GrantsOn,
    Marker,
    describe_database,
    read_accounts,
    read_comments,
    read_grants,
    role_of,
)
from dbroster.errors import OperationError, UnsupportedServer
from dbroster.model import ExistingDatabase, ExistingUser, Lock, PasswordCheck, Problem, Server, User
from dbroster.policy import unprintable
from dbroster.secret import Secret
from dbroster.verifiers import clickhouse_salt, clickhouse_sha256

OLDEST = (23, 8)
NAME_BYTES = 128
"""Databases are directories, and their names take room from those of their tables; the server's own limit is higher."""

_HELD = """
    SELECT toString(access_type), grant_option FROM system.grants
    WHERE database IS NULL AND NOT is_partial_revoke
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))"""

_MAY_MARK = """
    SELECT 1 FROM system.role_grants WHERE with_admin_option AND granted_role_name = {role}
        AND (user_name = currentUser() OR role_name IN (SELECT role_name FROM system.enabled_roles))"""


def connect(connection: Connection) -> Handler:
    """Open a connection. Raises ConnectError or UnsupportedServer."""
    return ClickHouse.open(connection)


class ClickHouse(Handler):
    """A ClickHouse server, or one node of a cluster; reads see this node only."""

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session
        self._lock = ServerLock(session, connection)
        self._role = role_of(connection.roster)
        self._databases_on = self._accounts_on = ""
        self._tree = Tree({})
        self._wanted: list[str] = []

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Log in as the admin. Raises ConnectError or UnsupportedServer (too old, read-only)."""
        session = Session(connection)
        try:
            handler = cls(connection, session)
            handler._set_up()
        except BaseException:
            session.close()
            raise
        return handler

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._lock.release()
        self._session.close()

    # --- the server -------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        version = self._session.version
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedServer(f"ClickHouse {version} is too old; {oldest} or newer is needed")
        ((read_only,),) = self._session.rows("SELECT toUInt8(getSetting('readonly'))")
        if read_only:
            raise UnsupportedServer("the admin's settings profile has readonly on: give it one that may change things")
        self._tree = Tree.of(self._session.rows("SELECT privilege, parent_group FROM system.privileges"))
        self._wanted = self._tree.known(self.connection.options["privileges"])
        self._choose_cluster(self.connection.options["cluster"])

    def _choose_cluster(self, cluster: str) -> None:
        """Accounts that the server replicates by itself must not be created on every node once more."""
        if not cluster:
            return
        self._databases_on = f" ON CLUSTER {identifier(cluster)}"
        ((replicated,),) = self._session.rows(
            "SELECT count() FROM system.user_directories WHERE type = 'replicated' AND precedence = 1"
        )
        self._accounts_on = "" if replicated else self._databases_on

    def server(self) -> Server:
        """Product with version, and address."""
        return Server(f"ClickHouse {self._session.version}", self._session.address)

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:  # noqa: ARG002 - the same for all databases
        """GRANT statements for what the admin lacks; all of them when it may not even look at its own grants."""
        held = self._held()
        return missing_grants(self._tree, held, self.connection.username, self._wanted) + self._missing_role(held)

    def _held(self) -> Holdings:
        try:
            return Holdings.of(self._session.rows(_HELD))
        except OperationError as error:
            if error.code != DENIED:
                raise
            return Holdings(frozenset(), frozenset())

    def _missing_role(self, held: Holdings) -> list[str]:
        """The marker role can be given by who has it with admin option, or may give any."""
        may_give = not self._tree.lacking(["ROLE ADMIN"], held.plain)
        if may_give and (self._role_exists() or not self._tree.lacking(["CREATE ROLE"], held.plain)):
            return []
        role, admin = identifier(self._role), identifier(self.connection.username)
        if not self._tree.lacking(["SHOW ROLES"], held.plain) and self._session.rows(_MAY_MARK, role=self._role):
            return []
        return [f"CREATE ROLE IF NOT EXISTS {role};", f"GRANT {role} TO {admin} WITH ADMIN OPTION;"]

    def _role_exists(self) -> bool:
        return bool(self._session.rows("SELECT 1 FROM system.roles WHERE name = {role}", role=self._role))

    def acquire_lock(self) -> None:
        """Hold a sleeping query of a fixed id until `close`. Raises LockHeld, naming who has it."""
        self._lock.acquire()

    def prepare(self) -> None:
        """Create the role that marks accounts, if it is not there."""
        if not self._role_exists():
            self._session.run(f"CREATE ROLE IF NOT EXISTS {identifier(self._role)}{self._accounts_on}")

    def warnings(self) -> list[Problem]:
        """A marker role that gives privileges, databases that have lost their user, queries that can't be ended."""
        texts = []
        if self._session.rows("SELECT 1 FROM system.grants WHERE role_name = {role} LIMIT 1", role=self._role):
            texts.append(f"the role {self._role} only marks accounts, but has privileges, and so have all its users")
        if self._tree.lacking(["KILL QUERY"], self._held().plain):
            texts.append(
                "running queries of removed users can't be ended; to allow it: "
                f"GRANT KILL QUERY ON *.* TO {identifier(self.connection.username)};"
            )
        users = {name for (name,) in self._session.rows("SELECT name FROM system.users")}
        texts += [
            f"the database {name} belonged to {marker.user}, who has no account any more; drop it by hand"
            for name, comment in read_comments(self._session).items()
            if (marker := Marker.read(comment)) and marker.roster == self.connection.roster
            if marker.user not in users
        ]
        return [Problem(text, warning=True) for text in texts]

    # --- names and passwords that this server can carry -------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """Refuse names that would leave no room for a database name."""
        return _too_long("user", name)

    def refuse_database(self, name: str) -> str | None:
        """Refuse names that are too long for a directory with tables in it, and the server's own."""
        if name in SYSTEM_DATABASES:
            return f"{name} is a database of the server itself"
        return _too_long("database", name)

    def refuse_password(self, password: Secret) -> str | None:
        """Refuse what no client can send, and the empty password."""
        return unprintable(password) if password.reveal() else "the password is empty"

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every account of the server, in two queries."""
        return {name: account.existing for name, account in read_accounts(self._session, self.connection).items()}

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database of the server, in two queries."""
        grants = read_grants(self._session, self.connection.roster)
        return {
            name: self._describe(name, comment, grants.get(name, {}))
            for name, comment in read_comments(self._session).items()
        }

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Log in as each user; where the server's answer proves nothing, the password is UNKNOWN."""
        return check_logins(self._session, users, existing)

    # --- changes: one object each -----------------------------------------------------------------------------------

    def create_user(self, user: str, password: Secret) -> None:
        """Create the account with the marker role in one statement; one that is already ours gets the password."""
        if self._managed(user, gone_is_fine=True):
            self.update_user_password(user, password)
            return
        try:
            self._set_password(
                f"CREATE USER {identifier(user)}{self._accounts_on}", password, f"DEFAULT ROLE {identifier(self._role)}"
            )
        except OperationError as error:
            if error.code != USER_EXISTS:
                raise
            self.update_user_password(user, password)  # which refuses it, unless only the answer was lost
            return
        self._prove_login(user, password)

    def update_user_password(self, user: str, password: Secret) -> None:
        """Set the password, and open the account if dbroster had shut it; a lock of somebody else's stays."""
        account = self._managed(user)
        shut_by_us = account is not None and account.existing.lock is Lock.OURS
        opening = "HOST ANY DEFAULT ROLE ALL" if shut_by_us else ""
        self._set_password(f"ALTER USER {identifier(user)}{self._accounts_on}", password, opening)
        if shut_by_us or (account and account.unrestricted):
            self._prove_login(user, password)

    def create_database(self, user: str, database: str) -> None:
        """Create the database with its marker; nobody has privileges on it yet."""
        self._managed(user)
        if self._own(user, database):
            return
        engine = self.connection.options["database_engine"]
        marker = literal(str(Marker(self.connection.roster, user)))
        clause = f" ENGINE = {engine}" if engine else ""
        try:
            self._session.run(
                f"CREATE DATABASE {identifier(database)}{self._databases_on}{clause} COMMENT {marker}",
            )
        except OperationError as error:
            if error.code != DATABASE_EXISTS or not self._own(user, database):
                raise

    def grant_privileges(self, user: str, database: str) -> None:
        """Give the wanted privileges; if anything is too much, first take all away, as nothing else undoes parts."""
        self._managed(user)
        if not self._own(user, database):
            raise OperationError(f"the database {database} does not exist any more")
        wanted = self._tree.leaves(self._wanted)
        for name, has in self._granted(database).items():
            if name != user or has.odd or not self._tree.leaves(has.privileges) <= wanted:
                self._revoke(database, name)
        listed = ", ".join(self._wanted)
        self._session.run(f"GRANT{self._accounts_on} {listed} ON {identifier(database)}.* TO {identifier(user)}")

    def lock_user(self, user: str) -> None:
        """Let the user in from nowhere, and end running queries.

        Taking the marker from the default roles in the same statement notes that it was us.
        """
        account = self._managed(user, gone_is_fine=True)
        if account is None:
            return
        if account.existing.lock is Lock.OPEN:
            self._session.run(f"ALTER USER {identifier(user)}{self._accounts_on} HOST NONE DEFAULT ROLE NONE")
        self._session.run(f"KILL QUERY{self._databases_on} WHERE user = {literal(user)} ASYNC")

    def drop_database(self, user: str, database: str) -> None:
        """Take back the privileges on the user's database, drop it, and wait until its tables are gone.

        Privileges outlive their database, and would let the user into a foreign one of that name.
        """
        self._managed(user)
        exists = self._own(user, database)
        for name in self._granted(database):
            self._revoke(database, name)
        if exists:
            self._session.run(f"DROP DATABASE IF EXISTS {identifier(database)}{self._databases_on} SYNC")

    def drop_user(self, user: str) -> None:
        """Drop the account; one that views in foreign databases still need stays, and the error says so."""
        if self._managed(user, gone_is_fine=True):
            self._session.run(f"DROP USER IF EXISTS {identifier(user)}{self._accounts_on}")

    def adopt_user(self, user: str, password: Secret) -> None:
        """Give a foreign account our marker, then the password; hosts and other privileges stay as they are."""
        account = read_accounts(self._session, self.connection).get(user)
        if account is None:
            raise OperationError(f"there is no account {user} to adopt")
        existing = account.existing
        if existing.protected:
            raise OperationError(f"the account {user} can't be adopted: {existing.protected}")
        if existing.roster not in (None, self.connection.roster):
            raise OperationError(f"the account {user} can't be adopted: it belongs to roster {existing.roster!r}")
        if not existing.managed:
            self._session.run(f"GRANT{self._accounts_on} {identifier(self._role)} TO {identifier(user)}")
        self.update_user_password(user, password)

    def adopt_database(self, user: str, database: str) -> None:
        """Put our marker on a foreign database, then grant it. The server must know MODIFY COMMENT for databases."""
        self._managed(user)
        found = self._database(database)
        reason = "there is no such database" if found is None else found.protected
        if found is None or reason or found.owner not in (None, user):
            raise OperationError(f"the database {database} can't be adopted: {reason or 'somebody else has it'}")
        if found.owner is None:
            marker = literal(str(Marker(self.connection.roster, user)))
            self._session.run(
                f"ALTER DATABASE {identifier(database)}{self._databases_on} MODIFY COMMENT {marker}",
            )
        self.grant_privileges(user, database)

    def _set_password(self, statement: str, password: Secret, clause: str) -> None:
        salt = clickhouse_salt()
        verifier = clickhouse_sha256(password.reveal(), salt)
        auth = f"IDENTIFIED WITH sha256_hash BY {literal(verifier)} SALT {literal(salt)}"
        self._session.run(f"{statement} {auth} {clause}".rstrip(), [password.reveal(), verifier, salt])

    def _prove_login(self, user: str, password: Secret) -> None:
        """Log in once: a password that the server took, but does not accept, would be set again in every run."""
        if self._session.login(user, password) is False:
            raise OperationError(
                f"the server has taken the new password of {user}, but refuses the login; look at VALID UNTIL of the "
                "account, and at what the server's log says",
                retryable=True,  # a replicated account may take a moment
            )

    def _granted(self, database: str) -> Mapping[str, GrantsOn]:
        """What users of the roster have on a database right now."""
        return read_grants(self._session, self.connection.roster, database).get(database, {})

    def _revoke(self, database: str, user: str) -> None:
        self._session.run(f"REVOKE{self._accounts_on} ALL ON {identifier(database)}.* FROM {identifier(user)}")

    # --- what proves that something is ours -------------------------------------------------------------------------

    def _managed(self, user: str, *, gone_is_fine: bool = False) -> Account | None:
        """Read an account just before a change. Raises OperationError for one that is not ours, or is gone."""
        account = read_accounts(self._session, self.connection, user).get(user)
        if account is None:
            if gone_is_fine:
                return None
            raise OperationError(f"the account {user} does not exist any more")
        if not account.existing.managed:
            reason = account.existing.protected or f"it does not have the role {self._role}"
            raise OperationError(f"the account {user} is not managed by dbroster and is left alone: {reason}")
        return account

    def _own(self, user: str, database: str) -> bool:
        """Whether the database exists. Raises OperationError for one that, as read just now, is not this user's."""
        found = self._database(database)
        if found and found.owner != user:
            raise OperationError(f"the database {database} is not proven to be {user}'s and is left alone")
        return found is not None

    def _database(self, database: str) -> ExistingDatabase | None:
        comment = read_comments(self._session, database).get(database)
        return None if comment is None else self._describe(database, comment, {})

    def _describe(self, name: str, comment: str, granted: Mapping[str, GrantsOn]) -> ExistingDatabase:
        return describe_database(self.connection.roster, name, comment, granted, self._tree, self._wanted)


def _too_long(kind: str, name: str) -> str | None:
    """File names spell every byte but letters, digits and `_` as three (%2E)."""
    size = sum(1 if byte in _PLAIN else 3 for byte in name.encode())
    if size <= NAME_BYTES:
        return None
    return f"the {kind} name {name} has {size} bytes as a file name; at ClickHouse dbroster takes up to {NAME_BYTES}"


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
