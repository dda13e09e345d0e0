"""The half of the MySQL engine that changes nothing: opening a connection, judging the server, reading its state."""

import json
import re
import secrets
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Self

from dbroster.engines.base import Handler
from dbroster.engines.mysql.access import accounts as mysql_accounts
from dbroster.engines.mysql.access import database_owners, markers, ways_in
from dbroster.engines.mysql.access.accounts import Account, Key, View
from dbroster.engines.mysql.access.admin_privileges import Held, held, missing_grants
from dbroster.engines.mysql.access.database_owners import Claims, Survey
from dbroster.engines.mysql.access.grants import MAX_NAME, SYSTEM_DATABASES, Grant, GrantTable, Rules
from dbroster.engines.mysql.access.ways_in import FineGrant
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.engines.mysql.session import Greeting, Session, account, identifier, reading
from dbroster.errors import OperationError, SyncLockHeld, UnsupportedServer
from dbroster.model.connection import Connection
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, PasswordCheck, Server, StoredVerifier
from dbroster.passwords.policy import PasswordRules, unprintable
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.algorithms import Algorithm, Check
from dbroster.plan.grace_period import read_stamp

LOCK_PREFIX = "dbroster-lock:"
LOCK_PATIENCE = 3  # seconds
SETTINGS = (
    "version", "lower_case_table_names", "partial_revokes", "read_only", "super_read_only", "general_log",
    "caching_sha2_password_digest_rounds", "strict_password_validation", "default_password_lifetime", "datadir",
    "mandatory_roles",
)  # fmt: skip
# tables with a column for each privilege are read with all of them as one text or word: the driver takes a microsecond
# for each value
_USERS = """
    SELECT User, Host, User_attributes, HEX(authentication_string) AS verifier, account_locked, password_expired,
        plugin, COALESCE(password_lifetime, @@default_password_lifetime) > 0
        AND password_last_changed + INTERVAL COALESCE(password_lifetime, @@default_password_lifetime) DAY < NOW()
        AS overdue, 'Y' IN ({privileges}) AS privileged FROM mysql.user WHERE %s OR User IN %s"""
_GRANTS = "SELECT User, Host, Db, CONCAT({privileges}) AS flags FROM mysql.db"
_FINE_GRANTS = """
    SELECT User, Host, Db, Table_name AS name, '' AS kind, '' AS col, CAST(Table_priv AS CHAR) AS privileges
        FROM mysql.tables_priv
    UNION ALL SELECT User, Host, Db, Table_name, '', Column_name, CAST(Column_priv AS CHAR) FROM mysql.columns_priv
    UNION ALL SELECT User, Host, Db, Routine_name, CAST(Routine_type AS CHAR), '', CAST(Proc_priv AS CHAR)
        FROM mysql.procs_priv"""
OFF = frozenset({"OFF", "0", ""})


class MySQLState(Handler):
    """Reads a MySQL server; `MySQLHandler` adds the changes."""

    product: ClassVar[str] = "MySQL"
    oldest: ClassVar[tuple[int, ...]] = (8, 0, 21)  # ATTRIBUTE came with it
    default_plugin: ClassVar[str] = "caching_sha2_password"
    plugins: ClassVar[tuple[str, ...]] = ("caching_sha2_password", "mysql_native_password")
    max_user: ClassVar[int] = 32
    max_password: ClassVar[int | None] = 256  # bytes; MySQL denies the login with more
    tables: ClassVar[tuple[str, ...]] = ("user", "db", "global_grants", "role_edges")
    end_sessions_privilege: ClassVar[str] = "CONNECTION_ADMIN"
    role_host: ClassVar[str] = "%"
    """What stands in the place of a role's host."""
    commenting: ClassVar[bool] = False
    """Whether databases of this product have comments."""
    compound: ClassVar[bool] = False
    """Whether several statements are sent as one block, instead of one after the other in a message."""

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session
        session.compound = self.compound
        self._settings: dict[str, str] = {}
        self._loaded: dict[str, str] = {}
        self._columns: dict[str, tuple[str, ...]] = {}
        self._admin: Key = ("", "")
        self._round_trip = 0.0
        self._options = MySQLOptions.of(connection)
        wanted = self._options.auth_plugin
        self._plugin: str = self.default_plugin if wanted == "auto" else wanted
        hosts = tuple(dict.fromkeys(host.lower() for host in self._options.hosts))
        self._view = View(connection.roster, hosts, connection.protected, connection.username)
        self._survey: Survey | None = None
        self._edges: list[tuple[Key, Key]] = []
        self._powerful: Set[Key] = frozenset()
        self._all_grants: list[Grant] = []
        self._fine: dict[str, list[FineGrant]] | None = None
        self._fine_unseen = False
        self._notes: list[Problem] = []
        self._renewed: Set[str] = frozenset()
        self._seen: tuple[int, list[Account]] | None = None
        self._grants_of_all: GrantTable | None = None

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Connect and set up the session. Raises ConnectError, UnsupportedServer (too old, replica, no plugin)."""
        return cls.begin(connection, Session(connection))

    @classmethod
    def begin(cls, connection: Connection, session: Session, greeting: Greeting | None = None) -> Self:
        """Set up a session that is open already, and close it if this server can't be served."""
        try:
            handler = cls(connection, session)
            with reading():
                handler._set_up(greeting or session.greeting())
        except BaseException:
            session.close()
            raise
        return handler

    def close(self) -> None:
        """Close the connection, which gives the lock back; never raises."""
        self._session.close()

    def abort(self) -> None:
        """Break off what this connection waits for, from another thread."""
        self._session.abort()

    # --- the server -------------------------------------------------------------------------------------------------

    def _set_up(self, greeting: Greeting) -> None:
        self._admin, self._round_trip = greeting.account, greeting.seconds
        rows = self._session.rows(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN %s OR Variable_name LIKE %s OR Variable_name LIKE %s",
            SETTINGS,
            "validate_password%",
            "simple_password_check%",
        )
        self._settings = {row["Variable_name"].lower(): str(row["Value"]) for row in rows}
        statement = "SELECT PLUGIN_NAME, PLUGIN_TYPE FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'"
        self._loaded = {row["PLUGIN_NAME"]: row["PLUGIN_TYPE"] for row in self._session.rows(statement)}
        self._check_server()

    def _check_server(self) -> None:
        version = self._settings["version"]
        numbers = self._version()
        if numbers < self.oldest:
            oldest = ".".join(str(part) for part in self.oldest)
            raise UnsupportedServer(f"{self.product} {version} is too old; {oldest} or newer is needed")
        if self._is_on("read_only") or self._is_on("super_read_only"):
            raise UnsupportedServer(
                f"{self.product} {version} is read-only: connected to a replica? Name the primary in connections.yaml"
            )
        if self._plugin not in self.plugins or self._plugin not in self._loaded:
            raise UnsupportedServer(
                f"{self.product} {version} lacks the plugin {self._plugin}: load it, or set auth_plugin: auto"
            )

    def _version(self) -> tuple[int, ...]:
        return _numbers(self._settings["version"])

    def _is_on(self, setting: str) -> bool:
        return self._settings.get(setting, "OFF").upper() not in OFF

    def server(self) -> Server:
        """Product with version, and address."""
        version = self._settings["version"].split("-")[0]
        socket = self.connection.host.startswith("/")
        host = self.connection.host if socket else f"{self.connection.host}:{self.connection.port}"
        return Server(f"{self.product} {version}", host)

    def now(self) -> datetime:
        """The time by the server's clock."""
        ((seconds,),) = (row.values() for row in self._session.rows("SELECT UNIX_TIMESTAMP() AS seconds"))
        return datetime.fromtimestamp(seconds, UTC)

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        """GRANT statements for what the admin lacks."""
        admin = account(*self._admin)
        unreadable = [] if self._are_readable(*self.tables) else [t for t in self.tables if not self._are_readable(t)]
        return [f"GRANT SELECT ON mysql.{name} TO {admin};" for name in unreadable] + missing_grants(
            self._privileges, admin, self._options.privileges, templates, literal=self._rules.literal
        )

    @cached_property
    def _privileges(self) -> Held:
        return held(str(next(iter(line.values()))) for line in self._session.rows("SHOW GRANTS"))

    def _are_readable(self, *names: str) -> bool:
        """All at once, since each message is a round trip."""
        try:
            self._columns |= self._session.columns(names)
        except OperationError:
            return False
        return True

    def acquire_sync_lock(self) -> None:
        """Hold a lock of the server until `close`; the server frees it when this connection ends, however it ends.

        Any user may hold any lock whose name it knows. So the name is random, and stands where only admins can read:
        it is that of a role without privileges. It is not replicated: every sync has to go to the same node of a
        cluster. Source: MySQL Reference Manual, "Locking Functions".
        """
        with reading():
            names = self._lock_names()
            if not names:
                self._session.run(f"CREATE ROLE {identifier(LOCK_PREFIX + secrets.token_hex(8))}")
                names = self._lock_names()  # of two who create one at the same time, at least one sees both
            for name in names:
                statement = "SELECT GET_LOCK(%s, %s) AS held, IS_USED_LOCK(%s) AS holder"
                row = self._session.rows(statement, name, LOCK_PATIENCE, name)[0]
                if row["held"] != 1:
                    raise SyncLockHeld(f"another sync is at work on this server: {self._session_words(row['holder'])}")

    def _lock_names(self) -> list[str]:
        statement = f"SELECT User AS name FROM mysql.{self.tables[0]} WHERE Host = %s AND User LIKE %s"  # noqa: S608 - constants
        rows = self._session.rows(statement, self.role_host, LOCK_PREFIX + "%")
        return sorted(row["name"] for row in rows)

    def _session_words(self, number: int) -> str:
        visible = (row for row in self._session.processes() if row["Id"] == number)
        return next(
            (f"connection {number}, {row['User']} from {row['Host']}" for row in visible), f"connection {number}"
        )

    def password_rules(self) -> Sequence[PasswordRules]:
        """Read the rules of validate_password, as component (names with a dot) or as plugin.

        `check_user_name` refuses the name itself and the name backwards; here every password with the name in it.
        Source: MySQL Reference Manual, "Password Validation Options and Variables".
        """
        prefix = "validate_password"
        found = {key[len(prefix) + 1 :]: value for key, value in self._settings.items() if key.startswith(prefix)}
        if not found:
            return ()
        lax = found["policy"].upper() in ("LOW", "0")
        cases, digits, others = (
            0 if lax else int(found[f"{kind}_count"]) for kind in ("mixed_case", "number", "special_char")
        )
        return (
            PasswordRules(
                int(found["length"]), 0, cases, cases, digits, others, found.get("check_user_name", "OFF") == "ON",
                source=prefix,
            ),
        )  # fmt: skip

    # --- names and passwords ----------------------------------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """By length only: the roster's own rule for names is narrower than the server's."""
        if len(name) > (most := self._max_user()):
            return f"the user name has {len(name)} characters, {self.product} takes {most}"
        return None

    def _max_user(self) -> int:
        return self.max_user

    def refuse_database(self, name: str) -> str | None:
        """By length, in grants too, where `_` takes two characters; and the server's own databases."""
        spelled = self._rules.spelled(name)
        if name.lower() in SYSTEM_DATABASES:
            return f"{name} is a database of the server itself"
        if len(name) > MAX_NAME:
            return f"the database name {name} has {len(name)} characters, {self.product} takes {MAX_NAME}"
        if len(spelled) > MAX_NAME:
            return (
                f"the database name {name} has {len(spelled)} characters as grants have to spell it ({spelled}), "
                f"{self.product} takes {MAX_NAME}"
            )
        return None

    def refuse_password(self, password: Secret) -> str | None:
        """By what clients can send, and by length in bytes; an empty one would be stored as none at all."""
        size = len(password.bytes())
        if not size:
            return "the password is empty"
        if self.max_password and size > self.max_password:
            return f"the password has {size} bytes in UTF-8, {self.product} takes {self.max_password}"
        return unprintable(password)

    def fold_database(self, name: str) -> str:
        """Lower case where the server takes names without regard to it."""
        return self._rules.fold(name)

    @cached_property
    def _ignores_case(self) -> bool:
        return self._is_on("lower_case_table_names")

    # --- state ------------------------------------------------------------------------------------------------------

    @cached_property
    def _rules(self) -> Rules:
        wanted = frozenset(self._options.privileges)
        fold = str.lower if self._ignores_case else str
        return Rules(wanted, self._view.hosts, self._is_on("partial_revokes"), fold)

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every user name that concerns us: foreign accounts on hosts that are not configured stand beside ours."""
        grouped: defaultdict[str, list[Account]] = defaultdict(list)
        with reading():
            accounts = self._read_accounts()
        self._seen = self._session.statements_run, accounts
        for found in accounts:
            grouped[found.name].append(found)
        summaries = (self._view.summary(name, accounts) for name, accounts in grouped.items())
        return {summary.name: summary for summary in summaries if summary}

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database that the admin can see, and those that are claimed by a user and not created yet.

        Whose they are is told by the accounts that `get_existing_users` has read, if nothing was changed since.
        """
        with reading():
            accounts = self._accounts_seen()
            grants = self._read_grants()
            databases = self._read_databases()
            claims = Claims(accounts, self._view, self._rules)
            doubtful = [name for name in claims.unfinished if name in {self.fold_database(name) for name in databases}]
            filled = self._filled(doubtful) if doubtful else set()
        others = {a.key: a.roster for a in accounts if a.roster and not self._view.is_ours(a)}
        self._all_grants = grants
        self._grants_of_all = self._table(accounts, grants)
        self._fine = self._fine_table(accounts)
        taken, holders = (
            database_owners.taken(grants, others, self._rules),
            database_owners.holders(grants, self._rules),
        )
        self._survey = Survey(
            databases,
            claims,
            self._grants_of_all,
            self._rules,
            self._view,
            taken,
            holders,
            filled,
            self.commenting,
            self._fine,
        )
        return dict(self._survey.described)

    def _read_databases(self, names: Collection[str] | None = None) -> dict[str, str]:
        """Read the names and comments of these databases, or of all that the admin can see."""
        comment = "SCHEMA_COMMENT" if self.commenting else "''"
        statement = f"SELECT SCHEMA_NAME AS name, {comment} AS text FROM information_schema.SCHEMATA"  # noqa: S608 - constants
        if names is None:
            return {row["name"]: row["text"] for row in self._session.rows(statement)}
        return {self.fold_database(row["name"]): row["text"] for row in self._named(statement, list(names))}

    def _named(self, statement: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Ask for these databases only."""
        return self._session.rows(f"{statement} WHERE SCHEMA_NAME IN %s", names)

    def _filled(self, names: Collection[str]) -> set[str]:
        """Find the databases that have anything in them."""
        kinds = (("TABLE_SCHEMA", "TABLES"), ("ROUTINE_SCHEMA", "ROUTINES"), ("EVENT_SCHEMA", "EVENTS"))
        parts = [
            f"SELECT DISTINCT {column} AS name FROM information_schema.{table} WHERE {column} IN %s"  # noqa: S608 - constants
            for column, table in kinds
        ]
        rows = self._session.rows(" UNION ".join(parts), *[tuple(names)] * len(parts))
        return {self.fold_database(row["name"]) for row in rows}

    def _accounts_seen(self) -> list[Account]:
        if self._seen and self._seen[0] == self._session.statements_run:
            return self._seen[1]
        return self._read_accounts()

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Compute each stored verifier anew from the roster's password, in parallel processes when there are many."""
        from dbroster.passwords.verifiers.batch import matches_many  # most runs remember all passwords

        asked = [user for user in users if user.name in existing]
        stored = [(user, verifier) for user in asked for verifier in existing[user.name].verifiers]
        known = [(user, verifier) for user, verifier in stored if mysql_accounts.is_known(verifier.algorithm)]
        answers = matches_many([Check(Algorithm(v.algorithm), user.name, user.password, v.value) for user, v in known])
        found: defaultdict[str, list[PasswordCheck]] = defaultdict(list)
        for (user, _), answer in zip(known, answers, strict=True):
            # what a known plugin can't read is no password at all (empty, or `invalid`): it has to be set
            found[user.name].append(PasswordCheck.SAME if answer else PasswordCheck.DIFFERENT)
        for user, verifier in stored:
            if not mysql_accounts.is_known(verifier.algorithm):
                found[user.name].append(PasswordCheck.UNKNOWN)
                self.doubts[user.name] = mysql_accounts.doubt(
                    verifier.algorithm, [account(user.name, host) for host in self._view.hosts]
                )
        return {user.name: mysql_accounts.strictest(found[user.name]) for user in users}

    def _table(self, accounts: Iterable[Account], grants: Iterable[Grant]) -> GrantTable:
        ours = {a.key for a in accounts if self._view.is_ours(a)}
        return GrantTable(
            (grant for grant in grants if (grant.user, grant.host) in ours or ways_in.is_public(grant)),
            self._rules,
        )

    def _fine_table(self, accounts: Iterable[Account]) -> dict[str, list[FineGrant]]:
        """Read what our accounts have on single tables and routines, if the admin may see it."""
        try:
            grants = self._session.converted(FineGrant.of, _FINE_GRANTS)
        except OperationError:
            self._fine_unseen = True
            return {}
        return ways_in.by_database(grants, {a.key for a in accounts if self._view.is_ours(a)}, self._rules)

    def _read_grants(self, users: Collection[str] | None = None) -> list[Grant]:
        """Read mysql.db: information_schema has the same in a form that takes ten times as long."""
        columns = self._privilege_columns("db")
        statement = _GRANTS.format(privileges=", ".join(columns))
        some = ("", ()) if users is None else (" WHERE User IN %s", (tuple(users),))
        return self._session.converted(lambda row: Grant.of(row, columns), statement + some[0], *some[1])

    def _privilege_columns(self, table: str) -> tuple[str, ...]:
        """Columns that hold Y or N for one privilege each; every version has its own."""
        if table not in self._columns:
            self._columns |= self._session.columns([table])
        return tuple(name for name in self._columns[table] if name.endswith("_priv"))

    def _read_accounts(self, users: Collection[str] | None = None) -> list[Account]:
        """Read the accounts of these names, or all, with markers and powers, in a fixed number of queries."""
        edges = [
            ((row["FROM_USER"], row["FROM_HOST"]), (row["TO_USER"], row["TO_HOST"]))
            for row in self._session.rows("SELECT * FROM mysql.role_edges")
        ]
        self._edges = edges if users is None else self._edges
        roles = {role for role, _ in edges}
        held: defaultdict[Key, list[str]] = defaultdict(list)
        for role, grantee in edges:
            held[grantee].append(markers.named(role))
        rows = self._session.rows(
            _USERS.format(privileges=", ".join(self._privilege_columns("user"))),
            users is None,
            ("", *(users or ()), *(name for name, _ in roles)),
        )
        dynamic = {
            (row["USER"], row["HOST"]) for row in self._session.rows("SELECT USER, HOST FROM mysql.global_grants")
        }
        static = {(row["User"], row["Host"]) for row in rows if row["privileged"]}
        powerful = mysql_accounts.with_roles(dynamic | static, edges)
        self._powerful = powerful if users is None else self._powerful
        return [
            self._account(row, key in powerful, key in roles, tuple(held.get(key, ())))
            for row in rows
            if users is None or row["User"] in users
            for key in [(row["User"], row["Host"])]
        ]

    def _account(
        self, row: Mapping[str, Any], powerful: bool, granted_as_role: bool, roles: tuple[str, ...]
    ) -> Account:
        attributes = json.loads(row["User_attributes"] or "{}")
        mark = markers.read_attribute(attributes.get("metadata") or {})
        named = mark.account == markers.named((row["User"], row["Host"]))
        locked, expired = (row[column] == "Y" for column in ("account_locked", "password_expired"))
        expired = expired or bool(row["overdue"])
        stored = bytes.fromhex(row["verifier"] or "").decode("utf-8", "replace")
        # CREATE ROLE makes exactly this; an account of a person may be locked and expired, but has a password
        is_role = (granted_as_role and not named) or (
            row["account_locked"] == row["password_expired"] == "Y" and not stored
        )
        return Account(
            name=row["User"],
            host=row["Host"].lower(),
            roster=mark.roster if named else None,
            lock=mysql_accounts.lock_state(locked=locked, noted=named and bool(mark.locked)),
            powers=mysql_accounts.powers(role=is_role and not named, powerful=powerful),
            verifier=StoredVerifier(row["plugin"], Secret(stored)),
            since=read_stamp(mark.locked) if locked and named else None,
            marked_for=None if named or mark.roster != self._view.roster else mark.account,
            claims=mark.claims if named else {},
            roles=roles,
            roles_before=mark.roles if named else (),
            second_password="additional_password" in attributes,
            unusable=self._unusable(row["plugin"], expired=expired),
        )

    def _unusable(self, plugin: str, *, expired: bool) -> str | None:
        """Say why nobody can log in to an account that is not locked."""
        if plugin not in self._loaded:
            return f"the server has not loaded its authentication plugin {plugin}: a new password opens it by another"
        return "its password has expired: a new one in users.txt opens it" if expired else None

    @abstractmethod
    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        """Clauses that give accounts their passwords, by verifiers made here."""


@lru_cache
def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
