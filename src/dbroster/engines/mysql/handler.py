"""MySQL 8.0.21 and newer.

An account is ours by the ATTRIBUTE that CREATE USER sets in the same statement, and that names the account. There its
databases are written down, too, before they are created: killed in between, the next run sees whose each was to be.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from dbroster.engines.base import Handler
from dbroster.engines.mysql.access import markers
from dbroster.engines.mysql.access.accounts import Account, Key, lock_state, powers, with_roles
from dbroster.engines.mysql.access.admin_privileges import MYSQL, Wording
from dbroster.engines.mysql.access.database_owners import Estate
from dbroster.engines.mysql.access.markers import MADE, NEW
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.engines.mysql.session import Session, account, accounts_list, literal, reading
from dbroster.engines.mysql.state import Accounts
from dbroster.model.connection import Connection
from dbroster.model.state import StoredVerifier
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.batch import caching_sha2_many
from dbroster.passwords.verifiers.digests import mysql_native
from dbroster.plan.grace_period import read_stamp, stamp

MIN_ROUNDS = 5000
FAR = 0.003  # seconds of a round trip from which on more sessions than usual pay
FAR_JOBS = 8
# columns of privileges are read as one word: the driver takes a microsecond for each value
_USERS = """
    SELECT User, Host, User_attributes, HEX(authentication_string) AS verifier, account_locked, password_expired,
        plugin, COALESCE(password_lifetime, @@default_password_lifetime) > 0
        AND password_last_changed + INTERVAL COALESCE(password_lifetime, @@default_password_lifetime) DAY < NOW()
        AS overdue, 'Y' IN ({privileges}) AS privileged FROM mysql.user WHERE %s OR User IN %s"""


def connect(connection: Connection) -> Handler:
    """Open a connection with the handler of the product that answers. Raises ConnectError, UnsupportedServer."""
    session = Session(connection)
    with session.closed_on_error(), reading():
        if not session.is_mariadb:
            return MySQLHandler(connection, session)
        from dbroster.engines.mysql.mariadb import MariaDBHandler

        return MariaDBHandler(connection, session)


class MySQLHandler(MySQLFamily):
    """What MySQL words, stores or allows in its own way."""

    product: ClassVar[str] = "MySQL"
    oldest: ClassVar[tuple[int, ...]] = (8, 0, 21)  # ATTRIBUTE came with it
    plugins: ClassVar[tuple[str, ...]] = ("caching_sha2_password", "mysql_native_password")
    max_password: ClassVar[int | None] = 256  # MySQL denies the login with more
    wording: ClassVar[Wording] = MYSQL
    role_host: ClassVar[str] = "%"
    groups: ClassVar[int] = 2  # more would be more round trips

    def jobs(self) -> int:
        """More sessions for a server that is far away, where each statement is waited for."""
        return FAR_JOBS if self._session.greeting.seconds > FAR else self.default_jobs

    def _max_user(self) -> int:
        return 32

    def password_rules(self) -> Sequence[PasswordRules]:
        """Read the rules of validate_password, as component (names with a dot) or as plugin.

        `check_user_name` refuses the name itself and the name backwards; here every password with the name in it.
        Source: MySQL Reference Manual, "Password Validation Options and Variables".
        """
        found = self._facts.of("validate_password")
        if not found:
            return ()
        lax = found["policy"].upper() in ("LOW", "0")
        cases, digits, others = (
            0 if lax else int(found[f"{kind}_count"]) for kind in ("mixed_case", "number", "special_char")
        )
        named = found.get("check_user_name", "OFF") == "ON"
        return (
            PasswordRules(int(found["length"]), 0, cases, cases, digits, others, named, source="validate_password"),
        )

    # --- reading accounts -------------------------------------------------------------------------------------------

    def _read_accounts(self, users: Collection[str] | None = None) -> Accounts:
        rows = self._session.rows("SELECT * FROM mysql.role_edges")
        edges = [((row["FROM_USER"], row["FROM_HOST"]), (row["TO_USER"], row["TO_HOST"])) for row in rows]
        roles = {role for role, _ in edges}
        held: defaultdict[Key, list[str]] = defaultdict(list)
        for role, grantee in edges:
            held[grantee].append(markers.named(role))
        rows = self._session.rows(
            _USERS.format(privileges=", ".join(self._session.privilege_columns("user"))),
            users is None,
            ("", *(users or ()), *(name for name, _ in roles)),
        )
        dynamic = {
            (row["USER"], row["HOST"]) for row in self._session.rows("SELECT USER, HOST FROM mysql.global_grants")
        }
        static = {(row["User"], row["Host"]) for row in rows if row["privileged"]}
        powerful = with_roles(dynamic | static, edges)
        found = [
            self._account(row, key in powerful, key in roles, tuple(held.get(key, ())))
            for row in rows
            if users is None or row["User"] in users
            for key in [(row["User"], row["Host"])]
        ]
        return Accounts(found, edges, powerful)

    def _account(
        self, row: Mapping[str, Any], powerful: bool, granted_as_role: bool, roles: tuple[str, ...]
    ) -> Account:
        attributes = json.loads(row["User_attributes"] or "{}")
        mark = markers.read_attribute(attributes.get("metadata") or {})
        named = mark.account == markers.named((row["User"], row["Host"]))
        locked, expired = (row[column] == "Y" for column in ("account_locked", "password_expired"))
        stored = bytes.fromhex(row["verifier"] or "").decode("utf-8", "replace")
        # CREATE ROLE makes exactly this; an account of a person may be locked and expired, but has a password
        is_role = (granted_as_role and not named) or (locked and expired and not stored)
        return Account(
            name=row["User"],
            host=row["Host"].lower(),
            roster=mark.roster if named else None,
            lock=lock_state(locked=locked, noted=named and bool(mark.locked)),
            powers=powers(role=is_role and not named, powerful=powerful),
            verifier=StoredVerifier(row["plugin"], Secret(stored)),
            since=read_stamp(mark.locked) if locked and named else None,
            marked_for=None if named or mark.roster != self._ownership.roster else mark.account,
            claims=mark.claims if named else {},
            roles=roles,
            roles_before=mark.roles if named else (),
            second_password="additional_password" in attributes,
            unusable=self._unusable(row["plugin"], expired=expired or bool(row["overdue"])),
        )

    # --- writing accounts -------------------------------------------------------------------------------------------

    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        if self._plugin == "mysql_native_password":
            made = {user: literal(mysql_native(password.bytes())) for user, password in passwords.items()}
        else:
            rounds = int(self._facts.settings.get("caching_sha2_password_digest_rounds", MIN_ROUNDS))
            verifiers = caching_sha2_many(list(passwords.values()), rounds)
            made = {user: f"0x{verifier.hex()}" for user, verifier in zip(passwords, verifiers, strict=True)}
        return {user: f"IDENTIFIED WITH {self._plugin} AS {verifier}" for user, verifier in made.items()}

    def _write_accounts(self, keys: Sequence[Key], clauses: Mapping[str, str]) -> None:
        """One statement for each, since each marker names its account."""
        for key in keys:
            self._session.run(f"CREATE USER {account(*key)} {self._marked(key, clauses[key[0]])}", [clauses[key[0]]])

    def _write_adoption(self, accounts: Sequence[Account], clause: str) -> None:
        for found in accounts:
            self._session.run(f"ALTER USER {account(*found.key)} ATTRIBUTE {literal(json.dumps({'dbroster': None}))}")
            self._session.run(f"ALTER USER {account(*found.key)} {self._marked(found.key, clause)}", [clause])
        self._discard_second_passwords(accounts)

    def _marked(self, key: Key, clause: str) -> str:
        return f"{clause} ATTRIBUTE {_attribute(**markers.marker(self._ownership.roster, key))}"

    def _write_passwords(self, accounts: Sequence[Account], clauses: Mapping[str, str], *, opening: bool) -> None:
        """Set passwords, and take away what RETAIN CURRENT PASSWORD has kept of older ones.

        Source: MySQL Reference Manual, "ALTER USER Statement", on dual passwords.
        """
        for found in accounts if opening else ():
            if back := [role for role in found.roles if role in found.roles_before]:
                roles = ", ".join(account(*role.rsplit("@", 1)) for role in back)
                self._session.run(f"SET DEFAULT ROLE {roles} TO {account(*found.key)}")
        listed = accounts_list((found.key for found in accounts), clauses)
        suffix = f" ACCOUNT UNLOCK ATTRIBUTE {_attribute(locked=None, roles=None)}" if opening else ""
        self._session.run(f"ALTER USER {listed}{suffix}", clauses.values())
        self._discard_second_passwords(accounts)

    def _discard_second_passwords(self, accounts: Sequence[Account]) -> None:
        if two := [found.key for found in accounts if found.second_password]:
            listed = ", ".join(f"{account(*key)} DISCARD OLD PASSWORD" for key in two)
            self._session.run(f"ALTER USER {listed}")

    def _write_lock(self, accounts: Sequence[Account], locked: Sequence[Account]) -> None:
        """Roles stay with the account, since a DBA gave them, but no session and no event begins with them."""
        if accounts:
            listed = accounts_list(found.key for found in accounts)
            self._session.run(f"ALTER USER {listed} ACCOUNT LOCK ATTRIBUTE {_attribute(locked=True)}")
        everybody = [*accounts, *locked]
        with_roles = [found for found in everybody if found.roles]
        for found in with_roles:
            roles = _attribute(roles=list(found.roles))
            self._session.run(f"ALTER USER {account(*found.key)} ATTRIBUTE {roles}")
        if with_roles:
            self._session.run(f"SET DEFAULT ROLE NONE TO {accounts_list(found.key for found in with_roles)}")
        listed = accounts_list(found.key for found in everybody)
        self._session.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {listed}")

    def _write_date(self, accounts: Sequence[Account], date: datetime) -> None:
        listed = accounts_list(found.key for found in accounts)
        self._session.run(f"ALTER USER {listed} ATTRIBUTE {_attribute(locked=stamp(date))}")

    # --- claims on databases ----------------------------------------------------------------------------------------

    def _write_databases(self, estates: Sequence[Estate]) -> None:
        """Claim, and create."""
        self._claim([estate for estate in estates if estate.claim is None], NEW)
        for estate in estates:
            if not estate.exists:
                self._session.run(self._create_statement(estate), of_database=True)

    def _write_marks(self, estates: Sequence[Estate]) -> None:
        self._claim(estates, MADE)

    def _disclaim(self, estates: Sequence[Estate]) -> None:
        self._claim([estate for estate in estates if estate.claim is not None], None)

    def _claim(self, estates: Sequence[Estate], state: str | None) -> None:
        """Write it to the accounts of those of which one says something else; None takes the claim back.

        Users with the same templates share a statement.
        """
        wanted = {None: None, NEW: False, MADE: True}[state]
        entries: defaultdict[Key, dict[str, str | None]] = defaultdict(dict)
        for estate in estates:
            if any(found.claims.get(estate.template) is not wanted for found in estate.accounts):
                for found in estate.accounts:
                    entries[found.key][estate.template] = state
        groups: defaultdict[str, list[Key]] = defaultdict(list)
        for key, templates in entries.items():
            groups[_attribute(templates=dict(sorted(templates.items())))].append(key)
        for text, keys in groups.items():
            self._session.run(f"ALTER USER {accounts_list(keys)} ATTRIBUTE {text}")


def _attribute(**entries: object) -> str:
    return literal(markers.attribute(**entries))
