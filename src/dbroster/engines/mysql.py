"""MySQL 8.0.21 and newer.

An account is ours by the ATTRIBUTE that CREATE USER sets in the same statement. A database is its user's by the
user's grant on it, which is made before the database: killed in between, the next run sees whose it was to be.
Passwords travel as verifiers only, so neither general log nor binary log ever holds one.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from dbroster.engines.archiver import Archiver
from dbroster.engines.mysql_accounts import Account, Key
from dbroster.engines.mysql_databases import Estate, Look
from dbroster.engines.mysql_grants import Grant
from dbroster.engines.mysql_session import (
    DATABASE_EXISTS,
    NO_SUCH_THREAD,
    NOT_OWNER_OF_THREAD,
    READ_ONLY_DATABASE,
    account,
    identifier,
    literal,
)
from dbroster.engines.mysql_state import MySQLState
from dbroster.errors import OperationError
from dbroster.grace import stamp
from dbroster.model import Action, Lock, Outcome, Verb
from dbroster.secret import Secret
from dbroster.verifiers import caching_sha2_many, mysql_native

ACCOUNTS_AT_ONCE = 100  # in one statement; more gain nothing
DATABASES_AT_ONCE = 50  # looked at together; each is changed by a statement of its own
MIN_ROUNDS = 5000
LISTED = frozenset({Verb.CREATE_USER, Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER})
FAR = 0.003  # seconds of a round trip from which on more sessions than usual pay
FAR_JOBS = 8


class MySQLHandler(MySQLState):
    """Changes a MySQL server; each method looks at the server again before it touches anything."""

    creation_order: ClassVar[tuple[Verb, Verb]] = (Verb.GRANT_PRIVILEGES, Verb.CREATE_DATABASE)
    batch_sizes: ClassVar[Mapping[Verb, int]] = {
        **dict.fromkeys(LISTED, ACCOUNTS_AT_ONCE),
        **dict.fromkeys((Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES, Verb.DROP_DATABASE), DATABASES_AT_ONCE),
    }

    drop_words: ClassVar[str] = "DROP DATABASE `{}`;"
    groups: ClassVar[int] = 2  # more would be more round trips
    together: ClassVar[Collection[Verb]] = frozenset()
    """Verbs whose batches are sent as one message, where the product can take several statements at once."""

    _ahead: Look | None = None

    def jobs(self) -> int:
        """More sessions for a server that is far away, where each statement is waited for."""
        return FAR_JOBS if self._round_trip > FAR and not self.together else self.default_jobs

    # --- accounts ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Nothing: the marker needs no object of its own."""

    def create_user(self, user: str, password: Secret) -> None:
        """Create the missing accounts of a user, one per configured host; those that are ours get the password."""
        self._create({user: password})

    def update_user_password(self, user: str, password: Secret) -> None:
        """Set the password of all accounts of a user, and open those that `lock_user` had shut."""
        self._update({user: password})

    def lock_user(self, user: str) -> None:
        """Shut the accounts of a user, noting that it was us; then end the sessions."""
        self._lock([user])

    def drop_user(self, user: str) -> None:
        """Drop all our accounts of `bob`, or the one that is named as `bob@10.%`."""
        self._drop([user])

    def adopt_user(self, user: str, password: Secret) -> None:
        """Set marker and password of the accounts on the configured hosts, and create those that are missing."""
        accounts = [found for found in self._accounts_of([user]) if self._view.concerns(found)]
        for found in accounts:
            self._refuse_untouchable(found)
            if found.roster not in (None, self._view.roster):
                raise OperationError(f"{found} belongs to roster {found.roster!r}; remove {user} from that one first")
        clause = self._clauses({user: password})[user]
        foreign = [found for found in accounts if not self._view.is_ours(found)]
        if foreign:
            self._write_adoption(foreign, clause)
        self._create({user: password})

    def _create(self, passwords: Mapping[str, Secret]) -> None:
        standing = self._ours(passwords)
        clauses = self._clauses(passwords)
        there = {found.key for found in standing}
        absent = [(user, host) for user in passwords for host in self._view.hosts if (user, host) not in there]
        if absent:
            self._write_accounts(absent, clauses)
        self._set_passwords(standing, clauses)

    def _update(self, passwords: Mapping[str, Secret]) -> None:
        standing = self._ours(passwords)
        if gone := passwords.keys() - {found.name for found in standing}:
            raise OperationError(f"{', '.join(sorted(gone))} has no account any more; the next run creates it")
        self._set_passwords(standing, self._clauses(passwords))

    def _set_passwords(self, accounts: Iterable[Account], clauses: Mapping[str, str]) -> None:
        """Leave alone whether an account is open, unless it was us who shut it."""
        groups: dict[bool, list[Account]] = {False: [], True: []}
        for found in accounts:
            groups[found.lock is Lock.OURS].append(found)
        for shut_by_us, group in groups.items():
            if group:
                self._write_passwords(group, clauses, opening=shut_by_us)

    def _lock(self, users: Sequence[str]) -> None:
        accounts = self._ours(users)
        undated = [found for found in accounts if found.lock is not Lock.FOREIGN and found.since is None]
        if undated:
            self._write_lock(undated)
        self._end_sessions({found.name for found in accounts})
        if undated and self.connection.removals.grace_days:
            self._write_date(undated, stamp(self.now()))

    def _drop(self, users: Sequence[str]) -> None:
        accounts = self._ours(users)
        if accounts:
            self._session.run(f"DROP USER IF EXISTS {accounts_list(found.key for found in accounts)}")

    def _ours(self, users: Iterable[str]) -> list[Account]:
        """Find the accounts that carry our marker, right now. Raises OperationError if one in their place does not."""
        parts = {(name, host) for name, _, host in (user.partition("@") for user in users)}
        names = {name for name, _ in parts}
        for name in names:
            if reason := self._view.protection(name):
                raise OperationError(f"{name} is never touched: {reason}")
        accounts = [
            found
            for found in self._accounts_of(names)
            if found.key in parts or ((found.name, "") in parts and self._view.concerns(found))
        ]
        for found in accounts:
            self._refuse_untouchable(found)
            if not self._view.is_ours(found):
                raise OperationError(
                    f"{found} is not managed by roster {self._view.roster!r}; take it over with --adopt {found.name}, "
                    "or use another name"
                )
        return accounts

    def _refuse_untouchable(self, found: Account) -> None:
        if reason := self._view.protection(found.name) or found.powers:
            raise OperationError(f"{found} is never touched: {reason}")

    def _accounts_of(self, names: Collection[str]) -> list[Account]:
        accounts = self._ahead.accounts if self._ahead else self._read_accounts(names)
        return [found for found in accounts if found.name in names]

    def _end_sessions(self, names: Collection[str]) -> None:
        """End the sessions that a dropped account would keep; without the right to it, `warnings` has said so.

        A session shows its user, not its account: where a foreign account has the name too, all are left alone.
        """
        foreign = {found.name for found in self._accounts_of(names) if not self._view.is_ours(found)}
        for row in self._session.rows("SHOW PROCESSLIST"):
            if row["User"] in names and row["User"] not in foreign:
                self._kill(row["Id"])

    def _kill(self, number: int) -> None:
        try:
            self._session.run(f"KILL {int(number)}")
        except OperationError as error:
            if error.code not in (NO_SUCH_THREAD, NOT_OWNER_OF_THREAD):
                raise

    # --- databases --------------------------------------------------------------------------------------------------

    def grant_privileges(self, user: str, database: str) -> None:
        """Give the user's accounts exactly the wanted privileges, spelled right, and take those of all others."""
        estate = self._estate(user, database)
        if estate.exists and not any(self._rules.claims(grant, database) for grant in estate.grants):
            raise OperationError(
                f"the database {database} exists and is not {user}'s; take it over with --adopt {user}, or rename it"
            )
        self._grant(user, database, estate)

    def create_database(self, user: str, database: str) -> None:
        """Create the database after its grant, which is made here if it is missing."""
        estate = self._estate(user, database)
        if not any(self._rules.claims(grant, database) for grant in estate.grants):
            self.grant_privileges(user, database)
        name = self.fold_database(database)
        charset = self.connection.options["charset"]
        try:
            self._session.run(f"CREATE DATABASE {identifier(name)} CHARACTER SET {literal(charset)}")
        except OperationError as error:
            if error.code != DATABASE_EXISTS:
                raise
            self._accept_existing(user, database)
        self._known_databases.add(name)

    def adopt_database(self, user: str, database: str) -> None:
        """Grant a foreign database to a user, unless it is protected or somebody else's."""
        found = self.get_existing_databases().get(self.fold_database(database))
        reason = "there is no such database" if found is None else found.protected
        if reason or (found and found.owner not in (None, user)):
            raise OperationError(f"{database} can't be adopted for {user}: {reason or 'somebody else has it'}")
        self._grant(user, database, self._estate(user, database))

    def drop_database(self, user: str, database: str) -> None:
        """Drop the database and the grants on it: those left behind would make a later foreign one look like ours."""
        estate = self._estate(user, database)
        if any(self._rules.proves(grant, database) for grant in estate.grants):
            self._drop_schema(identifier(self.fold_database(database)))
        elif estate.exists:
            raise OperationError(
                f"the database {database} is not proven to be {user}'s: no account of {user} has all the configured "
                "privileges on it; drop it by hand, or grant them"
            )
        for grant in estate.grants:
            self._revoke(grant, grant.privileges)

    def _drop_schema(self, name: str) -> None:
        try:
            self._session.run(f"DROP DATABASE IF EXISTS {name}")
        except OperationError as error:
            if error.code != READ_ONLY_DATABASE:
                raise
            self._session.run(f"ALTER DATABASE {name} READ ONLY = 0")
            self._session.run(f"DROP DATABASE IF EXISTS {name}")

    def _accept_existing(self, user: str, database: str) -> None:
        """Decide about a database that came into being after the state was read.

        It is ours if this connection made it or read it as ours, and while it is empty: then an answer was lost, or
        nothing is. Anything else is somebody's, and our claim on it is taken back.
        """
        name = self.fold_database(database)
        if name in self._known_databases or self._is_empty(name):
            return
        for grant in self._estate(user, database).grants:
            self._revoke(grant, grant.privileges)
        raise OperationError(
            f"somebody else has created the database {database} in the meantime; rename it, or take it over with "
            f"--adopt {user}",
            DATABASE_EXISTS,
        )

    def _is_empty(self, name: str) -> bool:
        return not self._session.rows(
            "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s UNION ALL "
            "SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s UNION ALL "
            "SELECT 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s LIMIT 1",
            name, name, name,
        )  # fmt: skip

    def _grant(self, user: str, database: str, estate: Estate) -> None:
        """Grant before revoking: a kill in between leaves the claim standing."""
        targets = [found for found in estate.accounts if found.host in self._view.hosts]
        if not targets:
            raise OperationError(f"{user} has no account on a configured host; the next run creates it")
        rules, spelled = self._rules, self._rules.spelled(database)
        right = {grant.host: grant for grant in estate.grants if rules.fold(grant.pattern) == spelled}
        lacking = [t.key for t in targets if t.host not in right or not right[t.host].privileges >= rules.wanted]
        if lacking:
            listed = ", ".join(sorted(rules.wanted))
            self._session.run(f"GRANT {listed} ON {identifier(spelled)}.* TO {accounts_list(lacking)}")
        for grant in estate.grants:
            self._revoke(grant, grant.privileges - (rules.wanted if grant in right.values() else frozenset()))
        for grant in self._rivals(user, database):
            self._revoke(grant, grant.privileges)

    def _revoke(self, grant: Grant, excess: Collection[str]) -> None:
        if excess:
            listed = ", ".join(sorted(excess))
            name, owner = identifier(grant.pattern), account(grant.user, grant.host)
            self._session.run(f"REVOKE {listed} ON {name}.* FROM {owner}")

    def _rivals(self, user: str, database: str) -> list[Grant]:
        """Grants that let other users of the roster in; they are rare, so all grants are read once per connection."""
        if self._grants_of_all is None:
            self._grants_of_all = self._table(self._read_accounts(), self._read_grants())
        return [grant for grant in self._grants_of_all.reaching(database) if grant.user != user]

    def _estate(self, user: str, database: str) -> Estate:
        if not self._rules.belongs(user, database):
            raise OperationError(f"{database} is no name of a database of {user}")
        look = self._ahead or self._look([user], [database])
        accounts = self._ours([user])
        keys = {found.key for found in accounts}
        folded = self.fold_database(database)
        grants = [g for g in look.grants if (g.user, g.host) in keys and folded in self._rules.names(g)]
        return Estate(accounts, grants, folded in look.databases)

    def _look(self, users: Collection[str], databases: Collection[str]) -> Look:
        names = tuple(self.fold_database(database) for database in databases)
        statement = "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA WHERE SCHEMA_NAME IN %s"
        found = {self.fold_database(row["name"]) for row in self._session.rows(statement, names)}
        return Look(self._read_accounts(users), self._read_grants(users), found)

    def archiver(self) -> Archiver:
        """By the product's own dump program and client."""
        from dbroster.engines.mysql_archive import MySQLArchiver

        return MySQLArchiver(self.connection, self._session, self.product)

    # --- many at once -----------------------------------------------------------------------------------------------

    def perform_all(self, actions: Sequence[Action]) -> list[Outcome]:
        """Change accounts by lists, and look at databases by lists; what fails is done again one by one."""
        if len(actions) < 2:
            return super().perform_all(actions)
        with suppress(OperationError):
            if actions[0].verb in LISTED:
                with self.batch(actions) as outcomes:
                    self._perform_list(actions)
                return outcomes
            self._ahead = self._look({a.user for a in actions}, {a.database for a in actions if a.database})
            if actions[0].verb in self.together:
                with self.batch(actions) as outcomes:
                    self._perform_together(actions)
                self._ahead = None
                return outcomes
        try:
            return super().perform_all(actions)
        finally:
            self._ahead = None

    def _perform_together(self, actions: Sequence[Action]) -> None:
        """Send a batch as one message; what it was to create counts as known only if all of it has come about."""
        known = set(self._known_databases)
        try:
            with self._session.together():
                for action in actions:
                    self.perform(action)
        except BaseException:
            self._known_databases = known
            raise

    def _perform_list(self, actions: Sequence[Action]) -> None:
        passwords = {action.user: action.password for action in actions if action.password}
        match actions[0].verb:
            case Verb.CREATE_USER:
                self._create(passwords)
            case Verb.UPDATE_PASSWORD:
                self._update(passwords)
            case Verb.LOCK_USER:
                self._lock([action.user for action in actions])
            case _:
                self._drop([action.user for action in actions])

    # --- statements that MariaDB words differently ------------------------------------------------------------------

    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        """Clauses that give accounts their passwords, by verifiers made here."""
        if self._plugin == "mysql_native_password":
            made = {user: literal(mysql_native(password.bytes())) for user, password in passwords.items()}
        else:
            rounds = int(self._settings.get("caching_sha2_password_digest_rounds", MIN_ROUNDS))
            verifiers = caching_sha2_many(list(passwords.values()), rounds)
            made = {user: f"0x{verifier.hex()}" for user, verifier in zip(passwords, verifiers, strict=True)}
        return {user: f"IDENTIFIED WITH {self._plugin} AS {verifier}" for user, verifier in made.items()}

    def _write_accounts(self, keys: Iterable[Key], clauses: Mapping[str, str]) -> None:
        """One statement, all or nothing, which fails if one of them exists: nothing foreign is ever touched."""
        listed = accounts_list(keys, clauses)
        self._session.run(f"CREATE USER {listed} ATTRIBUTE {self._marker()}", clauses.values())

    def _write_adoption(self, accounts: Iterable[Account], clause: str) -> None:
        listed = ", ".join(f"{account(*found.key)} {clause}" for found in accounts)
        self._session.run(f"ALTER USER {listed} ATTRIBUTE {self._marker()}", [clause])

    def _write_passwords(self, accounts: Iterable[Account], clauses: Mapping[str, str], *, opening: bool) -> None:
        listed = accounts_list((found.key for found in accounts), clauses)
        suffix = f" ACCOUNT UNLOCK ATTRIBUTE {_attribute(locked=None)}" if opening else ""
        self._session.run(f"ALTER USER {listed}{suffix}", clauses.values())

    def _write_lock(self, accounts: Iterable[Account]) -> None:
        """Lock and note in one statement. ATTRIBUTE merges: what else stands there remains."""
        note = _attribute(locked=True)
        self._session.run(f"ALTER USER {accounts_list(found.key for found in accounts)} ACCOUNT LOCK ATTRIBUTE {note}")

    def _write_date(self, accounts: Iterable[Account], date: str) -> None:
        listed = accounts_list(found.key for found in accounts)
        self._session.run(f"ALTER USER {listed} ATTRIBUTE {_attribute(locked=date)}")

    def _marker(self) -> str:
        return _attribute(v=1, roster=self._view.roster)


def accounts_list(keys: Iterable[Key], clauses: Mapping[str, str] | None = None) -> str:
    """Accounts for a statement that takes many, each followed by its user's clause."""
    clauses = clauses or {}
    return ", ".join(f"{account(*key)} {clauses.get(key[0], '')}".rstrip() for key in keys)


def _attribute(**entries: object) -> str:
    return literal(json.dumps({"dbroster": entries}))
