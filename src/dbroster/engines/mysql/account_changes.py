"""The part of the MySQL engine that changes accounts."""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from dbroster.engines.base import gone, prove_managed
from dbroster.engines.mysql.access import accounts as mysql_accounts
from dbroster.engines.mysql.access import markers
from dbroster.engines.mysql.access.accounts import Account, Key
from dbroster.engines.mysql.access.clients import Hosts
from dbroster.engines.mysql.access.database_owners import Look
from dbroster.engines.mysql.session import NO_SUCH_THREAD, NOT_OWNER_OF_THREAD, account, literal
from dbroster.engines.mysql.warnings import MySQLWarnings
from dbroster.errors import OperationError
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.batch import caching_sha2_many
from dbroster.passwords.verifiers.digests import mysql_native
from dbroster.plan.grace_period import stamp

MIN_ROUNDS = 5000
_NOBODY = "unauthenticated user"
_CHANGE_USER = "Change user"  # COM_CHANGE_USER, which logs in within a session that is somebody else's until its end
_EVENT = ("system user", "Connect")
_LOGIN = 1.0  # seconds that a login may take which a lock has to wait for
_ENDING = 5.0  # seconds in which a session that was ended may still commit; a statement that no KILL ends takes longer
_LOOK = 0.05


class MySQLUsers(MySQLWarnings):
    """Changes the accounts of a server; each method looks at them again before it touches anything."""

    _ahead: Look | None = None

    def prepare(self) -> None:
        """Take back the claims on databases that somebody else has filled before dbroster could create them."""
        for user, database in self._survey.refuted() if self._survey else ():
            with suppress(OperationError):  # the account is none of ours any more
                self._forget_claims([(user, database)])

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
        self.create_users({user: password})

    def create_users(self, passwords: Mapping[str, Secret]) -> None:
        """Create the missing accounts of users, one per host; those that are ours and have a password get it."""
        standing = self._ours(passwords)
        clauses = self._clauses(passwords)
        there = {found.key for found in standing}
        absent = [(user, host) for user in passwords for host in self._view.hosts if (user, host) not in there]
        if absent:
            self._write_accounts(absent, clauses)
        self._set_passwords((found for found in standing if mysql_accounts.by_password(found)), clauses)

    def update_user_passwords(self, passwords: Mapping[str, Secret]) -> None:
        """Set the passwords of all accounts of users, and open those that `lock_user` had shut."""
        standing = self._ours(passwords)
        if absent := passwords.keys() - {found.name for found in standing}:
            raise gone(", ".join(sorted(absent)))
        self._set_passwords(standing, self._clauses(passwords))

    def _set_passwords(self, accounts: Iterable[Account], clauses: Mapping[str, str]) -> None:
        """Leave alone whether an account is open, unless it was us who shut it."""
        groups: dict[bool, list[Account]] = {False: [], True: []}
        for found in accounts:
            groups[found.lock is Lock.OURS].append(found)
        for shut_by_us, group in groups.items():
            if group:
                self._write_passwords(group, clauses, opening=shut_by_us)

    def lock_users(self, users: Sequence[str]) -> None:
        """Shut the accounts of users, noting that it was us; nothing of theirs runs on, and no session stays.

        Sessions are ended before, as an open transaction might hold something; and after, as some may have come. What
        somebody else has locked and is kept for days of grace is left exactly as it is.
        """
        accounts = self._ours(users)
        names = {found.name for found in accounts}
        self._end_sessions(names)
        grace = self.connection.removals.grace_days
        undated = [found for found in accounts if found.lock is not Lock.FOREIGN and found.since is None]
        foreign = [] if grace else [found for found in accounts if found.lock is Lock.FOREIGN]
        if undated or foreign:
            self._write_lock(undated, foreign)
            self._end_logins()
            self._end_sessions(names)
        if undated and grace:
            self._write_date(undated, self.time_of_lock())

    def drop_users(self, users: Sequence[str]) -> None:
        """Drop all our accounts of `bob`, or the one that is named as `bob@10.%`."""
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
            prove_managed(found.name, self._view.existing(found), self._view.roster)
        return accounts

    def _refuse_untouchable(self, found: Account) -> None:
        if reason := self._view.existing(found).protected:
            raise OperationError(f"{found} is never touched: {reason}")

    def _accounts_of(self, names: Collection[str]) -> list[Account]:
        accounts = self._ahead.accounts if self._ahead else self._read_accounts(names)
        return [found for found in accounts if found.name in names]

    def _end_sessions(self, names: Collection[str]) -> None:
        """End the sessions of these users, and wait for their ends; without the right to it, `warnings` has said so.

        What an event or a routine does for a user is a session of that user, too. A session shows its user and its
        client, not its account: one that a foreign account of that name may have is left alone.
        """
        hosts = {name: self._hosts_of(name) for name in names}
        ended = {
            row["Id"]
            for row in self._sessions()
            if row["User"] in hosts and (self._is_own_event(row) or hosts[row["User"]].has_client(row["Host"]))
        }
        for number in ended:
            self._kill(number)
        self._await(lambda: ended & {row["Id"] for row in self._session.processes()}, _ENDING if ended else 0)

    def _hosts_of(self, name: str) -> Hosts:
        accounts = self._accounts_of([name])
        ours, others = ([f.host for f in accounts if self._view.is_ours(f) is own] for own in (True, False))
        return Hosts(ours, others)

    def _is_own_event(self, row: Mapping[str, Any]) -> bool:
        return row["Command"] == _EVENT[1] and row["db"] is not None and self._rules.belongs(row["User"], row["db"])

    def _sessions(self) -> list[dict[str, Any]]:
        """Find all sessions. Whose an event is only SHOW PROCESSLIST tells, and it may have to wait for nobody."""
        found = self._session.processes()
        if not any((row["User"], row["Command"]) == _EVENT for row in found):
            return found
        self._end_logins()
        return self._session.rows("SHOW PROCESSLIST")

    def _end_logins(self) -> None:
        """Wait for the logins that are under way, and end those that take their time: they may be a locked user's.

        MySQL looks up the account when a login begins, and tells in its end whose it is. Nobody else's takes so long.
        """
        late = self._logging_in()
        for number in self._await(lambda: late & self._logging_in(), _LOGIN if late else 0):
            self._kill(number)

    def _await(self, left: Callable[[], set[int]], seconds: float) -> set[int]:
        """Wait until no session is left, but not for longer; return those that are."""
        end = time.monotonic() + seconds
        found = left() if seconds else set()
        while found and time.monotonic() < end:
            time.sleep(_LOOK)
            found = left()
        return found

    def _logging_in(self) -> set[int]:
        return {
            row["Id"] for row in self._session.processes() if row["User"] == _NOBODY or row["Command"] == _CHANGE_USER
        }

    def _kill(self, number: int) -> None:
        try:
            self._session.run(f"KILL {int(number)}")
        except OperationError as error:
            if error.code not in (NO_SUCH_THREAD, NOT_OWNER_OF_THREAD):
                raise

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
        """One statement for each, since each marker names its account. It fails if the account exists."""
        with self._session.together():
            for key in keys:
                marker = markers.attribute(**markers.marker(self._view.roster, key))
                clause = clauses[key[0]]
                self._session.run(f"CREATE USER {account(*key)} {clause} ATTRIBUTE {literal(marker)}", [clause])

    def _write_adoption(self, accounts: Iterable[Account], clause: str) -> None:
        """Mark accounts as ours, without what a marker of somebody else's may have claimed."""
        with self._session.together():
            for found in accounts:
                self._session.run(
                    f"ALTER USER {account(*found.key)} ATTRIBUTE {literal(json.dumps({'dbroster': None}))}"
                )
                marker = markers.attribute(**markers.marker(self._view.roster, found.key))
                self._session.run(f"ALTER USER {account(*found.key)} {clause} ATTRIBUTE {literal(marker)}", [clause])
            self._discard_second_passwords(accounts)

    def _write_passwords(self, accounts: Iterable[Account], clauses: Mapping[str, str], *, opening: bool) -> None:
        """Set passwords, and take away what RETAIN CURRENT PASSWORD has kept of older ones.

        Source: MySQL Reference Manual, "ALTER USER Statement", on dual passwords.
        """
        listed = accounts_list((found.key for found in accounts), clauses)
        suffix = f" ACCOUNT UNLOCK ATTRIBUTE {_attribute(locked=None, roles=None)}" if opening else ""
        with self._session.together():
            for found in accounts if opening else ():
                if back := [role for role in found.roles if role in found.roles_before]:
                    roles = ", ".join(account(*role.rsplit("@", 1)) for role in back)
                    self._session.run(f"SET DEFAULT ROLE {roles} TO {account(*found.key)}")
            self._session.run(f"ALTER USER {listed}{suffix}", clauses.values())
            self._discard_second_passwords(accounts)

    def _discard_second_passwords(self, accounts: Iterable[Account]) -> None:
        if two := [found.key for found in accounts if found.second_password]:
            listed = ", ".join(f"{account(*key)} DISCARD OLD PASSWORD" for key in two)
            self._session.run(f"ALTER USER {listed}")

    def _write_lock(self, accounts: Sequence[Account], locked: Sequence[Account]) -> None:
        """Lock and note in one statement; then take everything that lets an event or a routine of theirs do anything.

        Roles stay with the account, since a DBA gave them, but no session and no event begins with them. `locked` are
        accounts that somebody else has locked.
        """
        with self._session.together():
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
            self._session.run(
                f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {accounts_list(found.key for found in everybody)}"
            )

    def _write_date(self, accounts: Iterable[Account], date: datetime) -> None:
        listed = accounts_list(found.key for found in accounts)
        self._session.run(f"ALTER USER {listed} ATTRIBUTE {_attribute(locked=stamp(date))}")

    # --- claims -----------------------------------------------------------------------------------------------------

    def _claim(self, owned: Iterable[tuple[str, str]], state: str | None, keys: Mapping[str, Sequence[Key]]) -> None:
        """Write down for the accounts of users what they have in databases; None takes the claim back.

        Users with the same templates share a statement.
        """
        templates: dict[str, dict[str, str | None]] = {}
        for user, database in owned:
            templates.setdefault(user, {})[self._rules.template(user, database)] = state
        groups: dict[str, list[Key]] = {}
        for user, entries in templates.items():
            text = _attribute(templates=dict(sorted(entries.items())))
            groups.setdefault(text, []).extend(keys.get(user, ()))
        for text, group in groups.items():
            if group:
                self._session.run(f"ALTER USER {accounts_list(group)} ATTRIBUTE {text}")

    def _forget_claims(self, owned: Sequence[tuple[str, str]]) -> None:
        """Take claims back, from all accounts that are ours."""
        keys: dict[str, list[Key]] = {}
        for found in self._ours({user for user, _ in owned}):
            keys.setdefault(found.name, []).append(found.key)
        self._claim(owned, None, keys)


def accounts_list(keys: Iterable[Key], clauses: Mapping[str, str] | None = None) -> str:
    """Accounts for a statement that takes many, each followed by its user's clause."""
    clauses = clauses or {}
    return ", ".join(f"{account(*key)} {clauses.get(key[0], '')}".rstrip() for key in keys)


def _attribute(**entries: object) -> str:
    return literal(markers.attribute(**entries))
