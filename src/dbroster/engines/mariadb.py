"""MariaDB 10.5 and newer: a MySQL whose accounts carry no attributes.

What marks an account is a role without any privileges, `dbroster:<roster>`. GRANT of that role, with a verifier,
creates the account: there is no moment in which it exists unmarked. A second role notes that the lock is ours, and a
third one, whose name ends with a time, when the days of grace began.
Source: MariaDB documentation, "GRANT", "Roles Overview", "Account Locking", "mysql.global_priv Table".
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from dbroster.config import Connection
from dbroster.engines import mysql_accounts
from dbroster.engines.base import Handler
from dbroster.engines.mysql import MySQLHandler, accounts_list
from dbroster.engines.mysql_accounts import Account, Key
from dbroster.engines.mysql_session import Session, account, identifier, literal, reading
from dbroster.errors import OperationError, UnsupportedServer
from dbroster.grace import read_stamp
from dbroster.model import StoredVerifier, Verb
from dbroster.policy import PasswordRules
from dbroster.secret import Secret
from dbroster.verifiers import ed25519, mysql_native

ROLE_PREFIX = "dbroster:"
LOCKED_SUFFIX = ":locked"
VALIDATOR, VALIDATION = "simple_password_check", "PASSWORD VALIDATION"


def connect(connection: Connection) -> Handler:
    """Open a connection with the handler of the product that answers. Raises ConnectError, UnsupportedServer."""
    session = Session(connection)
    try:
        with reading():
            greeting = session.greeting()
    except BaseException:
        session.close()
        raise
    product = MariaDBHandler if "mariadb" in greeting.version.lower() else MySQLHandler
    return product.begin(connection, session, greeting)


class _Role(NamedTuple):
    """A role that marks accounts: may we grant it, may anybody, and has it been given to an account?"""

    grantable: bool
    administered: bool
    given: bool


# whoever creates a role holds it as well, but with the right to grant it
_MARKER_ROLES = """
    SELECT User AS name,
        User IN (SELECT ROLE_NAME FROM information_schema.APPLICABLE_ROLES WHERE IS_GRANTABLE = 'YES') AS grantable,
        User IN (SELECT Role FROM mysql.roles_mapping WHERE Admin_option = 'Y') AS administered,
        User IN (SELECT Role FROM mysql.roles_mapping WHERE Admin_option = 'N') AS given
    FROM mysql.global_priv WHERE Host = '' AND (User IN %s OR User LIKE %s)"""


class MariaDBHandler(MySQLHandler):
    """What MariaDB words, stores or allows differently."""

    product: ClassVar[str] = "MariaDB"
    oldest: ClassVar[tuple[int, ...]] = (10, 5)
    default_plugin: ClassVar[str] = "mysql_native_password"
    plugins: ClassVar[tuple[str, ...]] = ("mysql_native_password", "ed25519")
    max_user: ClassVar[int] = 128
    max_password: ClassVar[int | None] = None
    tables: ClassVar[tuple[str, ...]] = ("global_priv", "db", "roles_mapping")
    end_sessions_privilege: ClassVar[str] = "CONNECTION ADMIN"
    default_jobs: ClassVar[int] = 2  # the server works on one DDL statement at a time
    groups: ClassVar[int] = 1
    together: ClassVar[Collection[Verb]] = frozenset({Verb.GRANT_PRIVILEGES, Verb.CREATE_DATABASE})

    @property
    def _role(self) -> str:
        return f"{ROLE_PREFIX}{self._view.roster}"

    @property
    def _lock_role(self) -> str:
        return f"{self._role}{LOCKED_SUFFIX}"

    # --- the server -------------------------------------------------------------------------------------------------

    def _check_server(self) -> None:
        super()._check_server()
        validators = self._validators()
        if validators and self._is_on("strict_password_validation"):
            raise UnsupportedServer(
                f"{self.product} refuses verifiers while {', '.join(validators)} is loaded, and dbroster sends no "
                f"passwords: SET GLOBAL strict_password_validation = OFF (dbroster applies {VALIDATOR} itself)"
            )

    def _validators(self) -> list[str]:
        return [name for name, kind in self._loaded.items() if kind == VALIDATION]

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        """GRANT statements for what the admin lacks, the right to give the marker roles included."""
        missing = super().missing_privileges(templates)
        if any(f"mysql.{table} " in line for table in self.tables for line in missing):
            return missing  # whether the roles exist can't be known yet
        roles = self._marker_roles()
        lacking = sorted(name for name, role in roles.items() if not role.grantable)
        return missing + [self._admin_option(name, held_by_somebody=roles[name].administered) for name in lacking]

    def _admin_option(self, role: str, *, held_by_somebody: bool) -> str:
        """Word how the admin gets the right to grant a role; when its last holder was dropped, not even root has it."""
        if held_by_somebody:
            return f"GRANT {identifier(role)} TO {account(*self._admin)} WITH ADMIN OPTION;"
        values = ", ".join(literal(value) for value in (self._admin[1], self._admin[0], role, "Y"))
        return (
            f"REPLACE INTO mysql.roles_mapping (Host, User, Role, Admin_option) VALUES ({values}); "  # noqa: S608 - shown
            "FLUSH PRIVILEGES;"
        )

    def prepare(self) -> None:
        """Create the two marker roles; whoever creates a role may grant it. Drop the dates that are no longer used."""
        there, wanted = self._marker_roles(), (self._role, self._lock_role)
        with suppress(OperationError):  # of another admin's making: they do no harm
            for name, role in there.items():
                if name not in wanted and not role.given:
                    self._session.run(f"DROP ROLE IF EXISTS {identifier(name)}")
        for name in wanted:
            if name not in there:
                self._session.run(f"CREATE ROLE IF NOT EXISTS {identifier(name)}")

    def _marker_roles(self) -> dict[str, "_Role"]:
        """Find the roles of this roster that exist, those of dates included."""
        dated = f"{self._lock_role}:%".replace("_", r"\_")
        rows = self._session.rows(_MARKER_ROLES, (self._role, self._lock_role), dated)
        return {row["name"]: _Role(*(bool(row[field]) for field in _Role._fields)) for row in rows}

    def password_rules(self) -> Sequence[PasswordRules]:
        """Read the rules of simple_password_check. Source: MariaDB documentation, "Simple Password Check Plugin"."""
        prefix = f"{VALIDATOR}_"
        found = {k.removeprefix(prefix): int(v) for k, v in self._settings.items() if k.startswith(prefix)}
        if not found:
            return ()
        cases = found["letters_same_case"]
        counts = (cases, cases, found["digits"], found["other_characters"])
        return (PasswordRules(found["minimal_length"], 0, *counts, source=VALIDATOR),)

    def _server_warnings(self) -> list[str]:
        unknown = [name for name in self._validators() if name != VALIDATOR]
        texts = [f"the rules of {name} can't be read by clients, so they are not applied" for name in unknown]
        return super()._server_warnings() + texts

    # --- state ------------------------------------------------------------------------------------------------------

    def _read_accounts(self, users: Collection[str] | None = None) -> list[Account]:
        """Read the accounts of these names, or all, with markers and powers, in two queries."""
        roles: defaultdict[Key, set[str]] = defaultdict(set)
        edges: list[tuple[Key, Key]] = []
        for row in self._session.rows("SELECT User, Host, Role, Admin_option FROM mysql.roles_mapping"):
            edges.append(((row["Role"], ""), (row["User"], row["Host"])))
            if row["Admin_option"] == "N":  # whoever creates a role holds it too, but with the right to grant it
                roles[row["User"], row["Host"]].add(row["Role"])
        rows = self._session.converted(
            lambda row: ((row["User"], row["Host"]), json.loads(row["Priv"])),
            "SELECT User, Host, Priv FROM mysql.global_priv WHERE %s OR User IN %s",
            users is None,
            ("", *(users or ()), *{role for (role, _), _ in edges}),
        )
        entries = dict(rows)
        powerful = mysql_accounts.with_roles([key for key, entry in entries.items() if entry.get("access")], edges)
        return [
            _account(key, entry, roles[key], powerful=key in powerful)
            for key, entry in entries.items()
            if users is None or key[0] in users
        ]

    # --- statements -------------------------------------------------------------------------------------------------

    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        """Clauses that give accounts their passwords, by verifiers made here."""
        make = ed25519 if self._plugin == "ed25519" else mysql_native
        made = {user: literal(make(password.bytes())) for user, password in passwords.items()}
        return {user: f"IDENTIFIED VIA {self._plugin} USING {verifier}" for user, verifier in made.items()}

    def _write_accounts(self, keys: Iterable[Key], clauses: Mapping[str, str]) -> None:
        """Create by GRANT, which would overwrite an account that exists: so the block looks first.

        A list is not all or nothing here, but each account in it is complete or absent.
        """
        wanted = list(keys)
        places = ", ".join(f"({literal(name)}, {literal(host)})" for name, host in wanted)
        guard = (
            f"IF EXISTS (SELECT 1 FROM mysql.global_priv WHERE (User, Host) IN ({places})) THEN "  # noqa: S608 - quoted
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'somebody else has just created this account'; END IF"
        )
        self._run_block(guard, f"GRANT {identifier(self._role)} TO {accounts_list(wanted, clauses)}", clauses=clauses)

    def _write_adoption(self, accounts: Iterable[Account], clause: str) -> None:
        keys = [found.key for found in accounts]
        clauses = {name: clause for name, _ in keys}
        grant = f"GRANT {identifier(self._role)} TO {accounts_list(keys)}"
        self._run_block(f"ALTER USER {accounts_list(keys, clauses)}", grant, clauses=clauses)

    def _write_passwords(self, accounts: Iterable[Account], clauses: Mapping[str, str], *, opening: bool) -> None:
        accounts = list(accounts)
        keys = [found.key for found in accounts]
        statement = f"ALTER USER {accounts_list(keys, clauses)}"
        if not opening:
            self._session.run(statement, clauses.values())
            return
        # the note goes last: killed in between, the account still counts as locked by us, and is opened again
        forget = f"REVOKE {identifier(self._lock_role)} FROM {accounts_list(keys)}"
        self._run_block(*_undated(accounts), f"{statement} ACCOUNT UNLOCK", forget, clauses=clauses)

    def _write_lock(self, accounts: Iterable[Account]) -> None:
        listed = accounts_list(found.key for found in accounts)
        note = f"GRANT {identifier(self._lock_role)} TO {listed}"
        self._run_block(*_undated(accounts), note, f"ALTER USER {listed} ACCOUNT LOCK")

    def _write_date(self, accounts: Iterable[Account], date: str) -> None:
        role = identifier(f"{self._lock_role}:{date}")
        listed = accounts_list(found.key for found in accounts)
        self._run_block(f"CREATE ROLE IF NOT EXISTS {role}", f"GRANT {role} TO {listed}")

    def _run_block(self, *statements: str, clauses: Mapping[str, str] | None = None) -> None:
        """Send statements that belong together at once, so that only the server's own end can come between them."""
        self._session.run(f"BEGIN NOT ATOMIC {'; '.join(statements)}; END", (clauses or {}).values())


def _undated(accounts: Iterable[Account]) -> list[str]:
    """Statements that take old dates away, before anything else: an account without one is never removed."""
    holders: defaultdict[str, list[Key]] = defaultdict(list)
    for found in accounts:
        for role in found.dates:
            holders[role].append(found.key)
    return [f"REVOKE {identifier(role)} FROM {accounts_list(keys)}" for role, keys in holders.items()]


def _account(key: Key, entry: Mapping[str, Any], roles: Collection[str], *, powerful: bool) -> Account:
    """Read an entry of mysql.global_priv; of several ways to log in (`auth_or`) none is checked."""
    name, host = key
    plugin = "several" if "auth_or" in entry else entry.get("plugin", "mysql_native_password")
    ours = [role for role in roles if role.startswith(ROLE_PREFIX)]
    markers = [role for role in ours if LOCKED_SUFFIX not in role]
    dates = tuple(sorted(role for role in ours if f"{LOCKED_SUFFIX}:" in role))
    locked = bool(entry.get("account_locked"))
    noted = any(role.endswith(LOCKED_SUFFIX) for role in ours)
    return Account(
        name=name,
        host=host.lower(),
        roster=min(markers).removeprefix(ROLE_PREFIX) if markers else None,
        lock=mysql_accounts.lock_state(locked=locked, noted=noted),
        powers=mysql_accounts.powers(role=bool(entry.get("is_role")), powerful=powerful),
        verifier=StoredVerifier(plugin, Secret(entry.get("authentication_string", ""))),
        since=_since(dates) if locked and noted else None,
        dates=dates,
    )


def _since(dates: Collection[str]) -> datetime | None:
    """Return the last of the times that the names of roles end with."""
    return max(filter(None, (read_stamp(role.partition(f"{LOCKED_SUFFIX}:")[2]) for role in dates)), default=None)
