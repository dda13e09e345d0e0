"""MariaDB 10.5 and newer, whose accounts carry no attributes.

What marks an account is a number that fits its name only, in one of its resource limits: CREATE USER writes it, neither
the user nor REVOKE ALL takes it away, and RENAME USER leaves it behind as it is. Further numbers note that the lock is
ours, and when the days of grace began. A role without privileges says the roster, and one per template says which
databases are the account's; the comment of each database names it.
Source: MariaDB documentation, "CREATE USER", "CREATE DATABASE", "Roles Overview", "mysql.global_priv Table".
"""

import itertools
import json
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple

from dbroster.engines.mysql.access import markers
from dbroster.engines.mysql.access.accounts import Account, Key, lock_state, powers, with_roles
from dbroster.engines.mysql.access.admin_privileges import MARIADB, Wording
from dbroster.engines.mysql.access.database_owners import Estate
from dbroster.engines.mysql.access.password_check import SEVERAL
from dbroster.engines.mysql.family import MySQLFamily
from dbroster.engines.mysql.removal import prepared_transactions
from dbroster.engines.mysql.session import NOT_EMPTY_DIRECTORY, Session, account, accounts_list, identifier, literal
from dbroster.engines.mysql.state import Accounts
from dbroster.errors import OperationError, UnsupportedServer
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.state import StoredVerifier
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.digests import mysql_native
from dbroster.passwords.verifiers.ed25519 import ed25519

VALIDATOR, VALIDATION = "simple_password_check", "PASSWORD VALIDATION"
OTHER = "another account"
LIMITS = {
    "max_updates": "MAX_UPDATES_PER_HOUR",
    "max_questions": "MAX_QUERIES_PER_HOUR",
    "max_connections": "MAX_CONNECTIONS_PER_HOUR",
}
"""Resource limits as mysql.global_priv and statements name them; the first one that a DBA does not use has the mark."""


class _Role(NamedTuple):
    """A role that marks accounts: may we grant it, and may anybody?"""

    grantable: bool
    administered: bool


# whoever creates a role holds it as well, but with the right to grant it
_MARKER_ROLES = """
    SELECT User AS name,
        User IN (SELECT ROLE_NAME FROM information_schema.APPLICABLE_ROLES WHERE IS_GRANTABLE = 'YES') AS grantable,
        User IN (SELECT Role FROM mysql.roles_mapping WHERE Admin_option = 'Y') AS administered
    FROM mysql.global_priv WHERE Host = '' AND (User = %s OR User LIKE %s)"""

_ROLES = """
    SELECT User, Host, GROUP_CONCAT(CONCAT(Admin_option, Role) ORDER BY Role SEPARATOR '\n') AS roles
    FROM mysql.roles_mapping WHERE %s OR Host = '' OR User IN %s GROUP BY User, Host"""


class MariaDBHandler(MySQLFamily):
    """What MariaDB words, stores or allows in its own way."""

    product: ClassVar[str] = "MariaDB"
    oldest: ClassVar[tuple[int, ...]] = (10, 5)
    plugins: ClassVar[tuple[str, ...]] = ("mysql_native_password", "ed25519")
    wording: ClassVar[Wording] = MARIADB
    role_host: ClassVar[str] = ""
    default_jobs: ClassVar[int] = 2  # the server works on one DDL statement at a time
    groups: ClassVar[int] = 1
    users_at_once: ClassVar[int] = 1000  # the more grants there are, the longer each CREATE USER takes

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection, session)
        self._role = markers.roster_role(connection.roster)
        self._lock_tag = markers.tag(connection.roster, ("", "locked"))
        self._roles_there: set[str] = set()
        self._to_mark: list[tuple[str, str]] = []
        validators = self._validators()
        if validators and self._facts.is_on("strict_password_validation"):
            raise UnsupportedServer(
                f"{self.product} refuses verifiers while {', '.join(validators)} is loaded, and dbroster sends no "
                f"passwords: SET GLOBAL strict_password_validation = OFF (dbroster applies {VALIDATOR} itself)"
            )

    # --- the server -------------------------------------------------------------------------------------------------

    def _validators(self) -> list[str]:
        return [name for name, kind in self._facts.plugins.items() if kind == VALIDATION]

    def _max_user(self) -> int:
        """Names of accounts and roles. Source: MariaDB MDEV-24312, which made them longer in 10.6."""
        return 128 if self._facts.version >= (10, 6) else 80

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        """GRANT statements for what the admin lacks, the right to give the marker roles included."""
        missing = super().missing_privileges(templates)
        if any(f"mysql.{table} " in line for table in self.wording.tables for line in missing):
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
        """Create the role of the roster; whoever creates a role may grant it. Mark what has lost its comment.

        Whose user stays can't change it again before the next run drops it: the privileges go first.
        """
        super().prepare()
        self._create_roles([self._role])
        for user, name in dict.fromkeys(self._to_mark):
            with suppress(OperationError):  # the next run tries again
                self._changes.revoke((grant, grant.privileges) for grant in self._state.estate(user, name).grants)
                self._write_comment(user, name)

    def _write_comment(self, user: str, name: str) -> None:
        comment = markers.comment(self._ownership.roster, user, name)
        self._session.run(f"ALTER DATABASE {identifier(name)} COMMENT {literal(comment)}", of_database=True)

    def _create_roles(self, names: Iterable[str]) -> None:
        """Create the roles that don't exist. Not as part of a larger message, where it could be undone by no one."""
        wanted = sorted(set(names) - self._roles_there)
        if not wanted:
            return
        self._roles_there |= self._marker_roles().keys()
        for name in wanted:
            if name not in self._roles_there:
                self._session.run_now(f"CREATE ROLE IF NOT EXISTS {identifier(name)}")
                self._roles_there.add(name)

    def _marker_roles(self) -> dict[str, "_Role"]:
        """Find the roles of this roster that exist, those of templates included."""
        templates = markers.claim_role(self._ownership.roster, "%").replace("_", r"\_")
        rows = self._session.rows(_MARKER_ROLES, self._role, templates)
        return {row["name"]: _Role(*(bool(row[field]) for field in _Role._fields)) for row in rows}

    def refuse_database(self, name: str) -> str | None:
        """As MySQL, and by the length of the role that says whose it is."""
        role = markers.claim_role(self._ownership.roster, name.partition("_")[2])
        if len(role) > self._max_user():
            return f"the role {role} would have {len(role)} characters, {self.product} takes {self._max_user()}"
        return super().refuse_database(name)

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """As MySQL; and a database whose comment was changed is not dropped in the run that finds it so."""
        unmarked = self._state.survey.unmarked() if self._state.survey else []
        reasons = super().foresee(actions)
        for number, action in enumerate(actions):
            name = self.fold_database(action.database or "")
            if action.verb in (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE) and (action.user, name) in unmarked:
                self._to_mark.append((action.user, name))
                role = markers.claim_role(self._ownership.roster, self._rules.template(action.user, name))
                reasons[number] = (
                    f"the comment that marks {name} is gone: its user has changed it, or somebody has made it anew by "
                    "hand. This run marks it again, and the next one drops it; if it is yours, rename it now, or "
                    f"REVOKE `{role}` FROM {action.user}"
                )
        return reasons

    def password_rules(self) -> Sequence[PasswordRules]:
        """Read the rules of simple_password_check. Source: MariaDB documentation, "Simple Password Check Plugin"."""
        found = {name: int(value) for name, value in self._facts.of(VALIDATOR).items()}
        if not found:
            return ()
        cases = found["letters_same_case"]
        counts = (cases, cases, found["digits"], found["other_characters"])
        return (PasswordRules(found["minimal_length"], 0, *counts, source=VALIDATOR),)

    def _warnings_of_server(self) -> list[str]:
        unknown = [name for name in self._validators() if name != VALIDATOR]
        texts = [f"the rules of {name} can't be read by clients, so they are not applied" for name in unknown]
        return super()._warnings_of_server() + texts

    # --- reading accounts -------------------------------------------------------------------------------------------

    def _read_accounts(self, users: Collection[str] | None = None) -> Accounts:
        roles: dict[Key, tuple[str, ...]] = {}
        edges: list[tuple[Key, Key]] = []
        everybody, names = users is None, ("", *(users or ()))
        for row in self._session.rows(_ROLES, everybody, names):
            key, held = (row["User"], row["Host"]), row["roles"].split("\n")
            edges += (((role[1:], ""), key) for role in held)
            # whoever creates a role holds it too, but with the right to grant it
            roles[key] = tuple(role[1:] for role in held if role[0] == "N")
        rows = self._session.converted(
            lambda row: ((row["User"], row["Host"]), json.loads(row["Priv"])),
            "SELECT User, Host, Priv FROM mysql.global_priv WHERE %s OR User IN %s",
            everybody,
            (*names, *{role for (role, _), _ in edges}),
        )
        entries = dict(rows)
        powerful = with_roles([key for key, entry in entries.items() if entry.get("access")], edges)
        found = [
            self._entry(key, entry, roles.get(key, ()), powerful=key in powerful)
            for key, entry in entries.items()
            if not entry.get("is_role") and (users is None or key[0] in users)
        ]
        return Accounts(self._with_names_of_copies(found) if everybody else found, edges, powerful)

    def _with_names_of_copies(self, accounts: list[Account]) -> list[Account]:
        """Find out whose mark it is that a renamed or copied account carries: of a user whom a comment names."""
        if not any(found.marked_for for found in accounts):
            return accounts
        comments = (markers.read_comment(text) for text in self._state.read_databases().values())
        users = {said.user for said in comments if said and said.roster == self._ownership.roster}
        hosts = {*self._ownership.hosts, *(found.host for found in accounts)}
        names = {markers.tag(self._ownership.roster, key): key for key in itertools.product(users, hosts)}
        return [
            found._replace(marked_for=next((markers.named(names[tag]) for tag in found.tags if tag in names), OTHER))
            if found.marked_for
            else found
            for found in accounts
        ]

    def _entry(self, key: Key, entry: Mapping[str, Any], roles: tuple[str, ...], *, powerful: bool) -> Account:
        """Read an entry of mysql.global_priv; of several ways to log in none is checked. `auth_or` may list but one."""
        name, host = key
        several = len(entry.get("auth_or", ())) > 1
        plugin = SEVERAL if several else entry.get("plugin", "mysql_native_password")
        numbers = {limit: int(entry.get(limit, 0)) for limit in LIMITS}
        mark = markers.tag(self._ownership.roster, key)
        tags = {number for number in numbers.values() if markers.is_tag(number)}
        ours = [role.split(":")[1] for role in roles if role.startswith(markers.ROLE_PREFIX)]
        rosters = dict.fromkeys([self._ownership.roster, *ours])
        roster = next((r for r in rosters if markers.tag(r, key) in tags), None) if tags else None
        locked, noted = bool(entry.get("account_locked")), roster is not None and self._lock_tag in tags
        copied = roster is None and bool(tags) and (not ours or self._ownership.roster in ours)
        return Account(
            name=name,
            host=host.lower(),
            roster=roster,
            lock=lock_state(locked=locked, noted=noted),
            powers=powers(role=False, powerful=powerful),
            verifier=StoredVerifier(plugin, Secret(entry.get("authentication_string", ""))),
            since=_since(numbers, mark, self._lock_tag) if locked and noted else None,
            marked_for=OTHER if copied else None,
            tags=tuple(tags),
            unusable=self._unusable_by(entry, plugin),
            renewable=int(entry.get("max_user_connections", 0)) >= 0,
            claims=markers.claimed(roster, roles) if roster else {},
            roles=roles,
            limits=tuple(limit for limit, number in numbers.items() if number == 0 or markers.is_tag(number)),
            mark_in=next((limit for limit, number in numbers.items() if number == mark), None),
        )

    def _unusable_by(self, entry: Mapping[str, Any], plugin: str) -> str | None:
        if int(entry.get("max_user_connections", 0)) < 0:
            return "MAX_USER_CONNECTIONS -1 allows it no session"
        changed, lifetime = entry.get("password_last_changed"), int(entry.get("password_lifetime", -1))
        days = lifetime if lifetime >= 0 else int(self._facts.settings.get("default_password_lifetime", 0))
        overdue = days > 0 and changed is not None and changed + days * 86_400 < time.time()
        loaded = next(iter(self._facts.plugins), plugin) if plugin == SEVERAL else plugin
        return self._unusable(loaded, expired=changed == 0 or overdue)

    # --- writing accounts -------------------------------------------------------------------------------------------

    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        make = ed25519 if self._plugin == "ed25519" else mysql_native
        made = {user: literal(make(password.bytes())) for user, password in passwords.items()}
        return {user: f"IDENTIFIED VIA {self._plugin} USING {verifier}" for user, verifier in made.items()}

    def _write_accounts(self, keys: Sequence[Key], clauses: Mapping[str, str]) -> None:
        """Each account in a block is complete or absent."""
        for key in keys:
            clause = clauses[key[0]]
            self._session.run(f"CREATE USER {account(*key)} {clause} {self._mark(key)}", [clause])
        self._session.run(f"GRANT {identifier(self._role)} TO {accounts_list(keys)}")

    def _mark(self, key: Key, limit: str = "max_updates") -> str:
        return f"WITH {LIMITS[limit]} {markers.tag(self._ownership.roster, key)}"

    def _write_adoption(self, accounts: Sequence[Account], clause: str) -> None:
        for found in accounts:
            for role in found.roles:
                if role.startswith(f"{self._role}:"):
                    self._session.run(f"REVOKE {identifier(role)} FROM {account(*found.key)}")
            mark = self._mark(found.key, next(iter(found.limits), "max_updates"))
            self._session.run(f"ALTER USER {account(*found.key)} {clause} {mark}", [clause])
        self._session.run(f"GRANT {identifier(self._role)} TO {accounts_list(found.key for found in accounts)}")

    def _write_passwords(self, accounts: Sequence[Account], clauses: Mapping[str, str], *, opening: bool) -> None:
        if not opening:
            listed = accounts_list((found.key for found in accounts), clauses)
            self._session.run(f"ALTER USER {listed}", clauses.values())
            return
        for limits, group in _by_limits(accounts).items():
            listed = accounts_list((found.key for found in group), clauses)
            freed = " ".join(f"{LIMITS[limit]} 0" for limit in limits)
            self._session.run(f"ALTER USER {listed} WITH {freed} ACCOUNT UNLOCK", clauses.values())

    def _write_lock(self, accounts: Sequence[Account], locked: Sequence[Account]) -> None:
        """Give back the roles that are marks.

        Databases whose comment is not the mark any more get it back, as nobody can change it from now on.
        """
        for (note, date), group in _by_limits(accounts).items():
            numbers = f"{LIMITS[note]} {self._lock_tag} {LIMITS[date]} 0"
            self._session.run(f"ALTER USER {accounts_list(found.key for found in group)} WITH {numbers} ACCOUNT LOCK")
        everybody = [*accounts, *locked]
        listed = accounts_list(found.key for found in everybody)
        self._session.run(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {listed}")
        self._session.run(f"GRANT {identifier(self._role)} TO {listed}")
        self._write_claims((found.key, template) for found in everybody for template in found.claims)
        self._mend_comments(everybody)

    def _mend_comments(self, accounts: Iterable[Account]) -> None:
        wanted = {self.fold_database(f"{a.name}_{template}"): a.name for a in accounts for template in a.claims}
        there = self._state.read_databases(wanted) if wanted else {}
        for name, text in there.items():
            if text != markers.comment(self._ownership.roster, wanted[name], name):
                self._write_comment(wanted[name], name)

    def _write_date(self, accounts: Sequence[Account], date: datetime) -> None:
        for (_, limit), group in _by_limits(accounts).items():
            listed = accounts_list(found.key for found in group)
            self._session.run(f"ALTER USER {listed} WITH {LIMITS[limit]} {int(date.timestamp())}")

    # --- databases --------------------------------------------------------------------------------------------------

    def _create_statement(self, estate: Estate) -> str:
        name = self.fold_database(estate.database)
        comment = markers.comment(self._ownership.roster, estate.user, name)
        return f"{super()._create_statement(estate)} COMMENT {literal(comment)}"

    def _write_databases(self, estates: Sequence[Estate]) -> None:
        for estate in estates:
            if not estate.exists:
                self._session.run(self._create_statement(estate), of_database=True)

    def _write_marks(self, estates: Sequence[Estate]) -> None:
        for estate in estates:
            if estate.exists and not estate.commented:
                self._write_comment(estate.user, self.fold_database(estate.database))
        self._write_claims(
            (found.key, estate.template)
            for estate in estates
            for found in estate.accounts
            if estate.template not in found.claims
        )

    def _write_claims(self, claims: Iterable[tuple[Key, str]]) -> None:
        groups = self._by_role(claims)
        self._create_roles(groups)
        for role, keys in groups.items():
            self._session.run(f"GRANT {identifier(role)} TO {accounts_list(keys)}")

    def _disclaim(self, estates: Sequence[Estate]) -> None:
        held = [
            (found.key, estate.template)
            for estate in estates
            for found in estate.accounts
            if estate.template in found.claims
        ]
        for role, keys in self._by_role(held).items():
            self._session.run(f"REVOKE {identifier(role)} FROM {accounts_list(keys)}")

    def _by_role(self, claims: Iterable[tuple[Key, str]]) -> dict[str, list[Key]]:
        groups: defaultdict[str, list[Key]] = defaultdict(list)
        for key, template in claims:
            groups[markers.claim_role(self._ownership.roster, template)].append(key)
        return groups

    def _drop_schema(self, user: str, name: str) -> None:
        """Drop, and mark again what a stray file has kept: the server has taken the comment away by then.

        Before 10.6 a drop and a prepared transaction wait for each other until the server is killed.
        """
        if self._facts.version < (10, 6) and prepared_transactions.keeps(self._session, self.connection, name):
            raise OperationError(prepared_transactions.REASON)
        try:
            super()._drop_schema(user, name)
        except OperationError as error:
            if error.code == NOT_EMPTY_DIRECTORY:
                self._write_comment(user, name)
            raise


def _by_limits(accounts: Iterable[Account]) -> dict[tuple[str, str], list[Account]]:
    """Group accounts by the two limits that note the lock and its date, beside the one that has the mark."""
    groups: defaultdict[tuple[str, str], list[Account]] = defaultdict(list)
    for found in accounts:
        note, date = (limit for limit in (*list(LIMITS)[1:], "max_updates") if limit != found.mark_in)
        groups[note, date].append(found)
    return groups


def _since(numbers: Mapping[str, int], *marks: int) -> datetime | None:
    """Return when an account was locked: the number beside its mark and the note of the lock."""
    others = [number for number in numbers.values() if number not in (*marks, 0)]
    return datetime.fromtimestamp(others[0], UTC) if len(others) == 1 else None
