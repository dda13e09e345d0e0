"""What MySQL and MariaDB do alike; `MySQLHandler` and `MariaDBHandler` add what each words or stores in its own way.

Passwords travel as verifiers only, so neither general log nor binary log ever holds one.
"""

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Self

from dbroster.engines.archiver import Archiver
from dbroster.engines.base import Handler, Owned, gone, prove_adoptable, prove_own
from dbroster.engines.mysql.access.accounts import Account, Key, Ownership
from dbroster.engines.mysql.access.admin_privileges import Wording, missing_grants
from dbroster.engines.mysql.access.database_owners import Estate
from dbroster.engines.mysql.access.grants import Rules
from dbroster.engines.mysql.access.password_check import by_password, check_passwords
from dbroster.engines.mysql.beforehand import warnings
from dbroster.engines.mysql.beforehand.holdings import holdings
from dbroster.engines.mysql.facts import ServerFacts
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.engines.mysql.removal import prepared_transactions
from dbroster.engines.mysql.removal.drop_database import drop_database
from dbroster.engines.mysql.removal.ending_sessions import end_logins, end_sessions
from dbroster.engines.mysql.removal.grant_changes import GrantChanges
from dbroster.engines.mysql.session import (
    DATABASE_EXISTS,
    Session,
    account,
    accounts_list,
    identifier,
    literal,
    reading,
)
from dbroster.engines.mysql.state import Accounts, State
from dbroster.engines.mysql.sync_lock import acquire_sync_lock
from dbroster.engines.renamer import Renamer
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, Holdings, Lock, PasswordCheck, Server
from dbroster.passwords.secret import Secret

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

ACCOUNTS_AT_ONCE = 100  # in one message; more gain nothing
DATABASES_AT_ONCE = 50  # looked at together
LISTED = (Verb.CREATE_USER, Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER)
READING = frozenset({"SELECT", "SHOW VIEW", "EXECUTE"})


class MySQLFamily(Handler):
    """Each method that changes something looks at the server again before it touches anything."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {
        **dict.fromkeys(LISTED, ACCOUNTS_AT_ONCE),
        **dict.fromkeys((Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES, Verb.DROP_DATABASE), DATABASES_AT_ONCE),
    }
    together: ClassVar[Collection[Verb]] = batch_sizes.keys()
    drop_words: ClassVar[str] = "DROP DATABASE `{}`;"

    # --- what each product says in its own class --------------------------------------------------------------------

    product: ClassVar[str]
    oldest: ClassVar[tuple[int, ...]]
    plugins: ClassVar[tuple[str, ...]]
    """Authentication plugins that accounts get; `auto` is the first one."""
    max_password: ClassVar[int | None] = None
    """In bytes."""
    wording: ClassVar[Wording]
    role_host: ClassVar[str]
    """What stands in the place of a role's host."""

    @abstractmethod
    def _max_user(self) -> int:
        """Characters of the longest name of a user."""

    @abstractmethod
    def _read_accounts(self, users: Collection[str] | None = None) -> Accounts: ...

    @abstractmethod
    def _clauses(self, passwords: Mapping[str, Secret]) -> dict[str, str]:
        """Clauses that give accounts their passwords, by verifiers made here."""

    @abstractmethod
    def _write_accounts(self, keys: Sequence[Key], clauses: Mapping[str, str]) -> None:
        """Create accounts with their markers. It fails if one exists."""

    @abstractmethod
    def _write_adoption(self, accounts: Sequence[Account], clause: str) -> None:
        """Mark accounts as ours, without what a marker of somebody else's, or of another account, has claimed."""

    @abstractmethod
    def _write_passwords(self, accounts: Sequence[Account], clauses: Mapping[str, str], *, opening: bool) -> None: ...

    @abstractmethod
    def _write_lock(self, accounts: Sequence[Account], locked: Sequence[Account]) -> None:
        """Lock and note in one statement, then take everything; `locked` are those that somebody else has locked."""

    @abstractmethod
    def _write_date(self, accounts: Sequence[Account], date: datetime) -> None:
        """Note when days of grace began."""

    @abstractmethod
    def _write_databases(self, estates: Sequence[Estate]) -> None:
        """Create those that are not there, so that whose they are to be is written down first, or with it."""

    @abstractmethod
    def _write_marks(self, estates: Sequence[Estate]) -> None:
        """Write down that databases are their users', wherever that is not said yet."""

    @abstractmethod
    def _disclaim(self, estates: Sequence[Estate]) -> None:
        """Take that back from the accounts."""

    # --- the connection ---------------------------------------------------------------------------------------------

    def __init__(self, connection: Connection, session: Session) -> None:
        """Judge the server. Raises UnsupportedServer (too old, replica, no plugin), ConnectError and OperationError."""
        super().__init__(connection)
        self._session = session
        self._admin = session.greeting.account
        self._facts = facts = ServerFacts(session)
        self._options = options = MySQLOptions.of(connection)
        self._plugin: str = self.plugins[0] if options.auth_plugin == "auto" else options.auth_plugin
        hosts = tuple(dict.fromkeys(host.lower() for host in options.hosts))
        self._ownership = Ownership(connection.roster, hosts, connection.protected, connection.username)
        fold = str.lower if facts.is_on("lower_case_table_names") else str
        self._rules = Rules(frozenset(options.privileges), hosts, facts.is_on("partial_revokes"), fold)
        facts.refuse_unsupported(self.product, self.oldest, self.plugins, self._plugin)
        self._state = State(session, self._ownership, self._rules, self._read_accounts)
        self._changes = GrantChanges(session, self._state)
        self._foreseen: list[Problem] = []
        self._renewed: Collection[str] = ()

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Connect. Raises ConnectError and UnsupportedServer."""
        session = Session(connection)
        with session.closed_on_error(), reading():
            return cls(connection, session)

    def close(self) -> None:
        """Close the connection, which gives the lock back; never raises."""
        self._session.close()

    def abort(self) -> None:
        """Break off what this connection waits for, from another thread."""
        self._session.abort()

    # --- the server -------------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """Product with version, and address."""
        version = self._facts.settings["version"].split("-")[0]
        return Server(f"{self.product} {version}", self._session.address)

    def now(self) -> datetime:
        """The time by the server's clock."""
        ((seconds,),) = (row.values() for row in self._session.rows("SELECT UNIX_TIMESTAMP() AS seconds"))
        return datetime.fromtimestamp(seconds, UTC)

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:
        """GRANT statements for what the admin lacks."""
        admin = account(*self._admin)
        tables = self.wording.tables
        unreadable = [] if self._are_readable(*tables) else [name for name in tables if not self._are_readable(name)]
        return [f"GRANT SELECT ON mysql.{name} TO {admin};" for name in unreadable] + missing_grants(
            self._changes.admin, admin, self._options.privileges, templates, literal=self._rules.literal
        )

    def admin_script(self, templates: Sequence[str], password: str) -> "AdminScript":
        """What makes the admin."""
        from dbroster.engines.mysql.admin_script import script

        version = self._facts.settings["version"].partition("-")[0]
        return script(
            self.connection, templates, password, self.wording, version, self._admin, literally=self._rules.literal
        )

    def _are_readable(self, *tables: str) -> bool:
        """All at once, since each message is a round trip."""
        try:
            self._session.read_columns(tables)
        except OperationError:
            return False
        return True

    def acquire_sync_lock(self) -> None:
        """Hold a lock of the server until `close`. Raises SyncLockHeld, naming who has it."""
        with reading():
            acquire_sync_lock(self._session, self.wording.tables[0], self.role_host, self._is_users)

    def _is_users(self, name: str) -> bool:
        accounts = self._state.accounts_of([name])
        return bool(accounts) and all(self._ownership.existing(found).managed for found in accounts)

    def prepare(self) -> None:
        """Take back the claims on databases that somebody else has filled before dbroster could create them."""
        for user, database in self._state.survey.refuted() if self._state.survey else ():
            with suppress(OperationError):  # the account is none of ours any more
                self._disclaim([self._state.estate(user, database)])

    def warnings(self) -> list[Problem]:
        """Anonymous accounts, accounts that shadow ours, statement logging, rules and rights that are out of reach."""
        with reading():
            accounts = self._state.every_account()
            admin = self._changes.admin
            ending, fine_unseen = self.wording.ending, self._state.fine_unseen
            texts = [
                *self._warnings_of_server(),
                *warnings.of_admin(admin, self._admin, ending, fine_unseen=fine_unseen),
                *warnings.of_neighbours(self._state, accounts, self._facts.mandatory_roles, self._renewed),
            ]
        return [*(Problem(text, warning=True) for text in texts), *self._foreseen, *self._ownership.shadows(accounts)]

    def _warnings_of_server(self) -> list[str]:
        return list(warnings.of_server(self._facts))

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """Find grants that the admin can't take away, definers elsewhere; note what a lock takes that others gave."""
        from dbroster.engines.mysql.beforehand.foresight import Foresight  # seldom is there anything to do

        foresight = Foresight(
            self._session, self.connection, self._state, self._changes, self._facts.mandatory_roles, actions
        )
        self._foreseen = [*foresight.taken_by_locks()]
        self._renewed = {action.user for action in actions if action.verb is Verb.UPDATE_PASSWORD}
        return [foresight.reason(action) for action in actions]

    # --- names and passwords ----------------------------------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """By length only: the roster's own rule for names is narrower than the server's."""
        if len(name) > (most := self._max_user()):
            return f"the user name has {len(name)} characters, {self.product} takes {most}"
        return None

    def refuse_database(self, name: str) -> str | None:
        """By length, in grants too, where `_` takes two characters; and the server's own databases."""
        return self._rules.refuse(name, self.product)

    def refuse_password(self, password: Secret) -> str | None:
        """By length in bytes, too."""
        size = len(password.bytes())
        if self.max_password and size > self.max_password:
            return f"the password has {size} bytes in UTF-8, {self.product} takes {self.max_password}"
        return super().refuse_password(password)

    def fold_database(self, name: str) -> str:
        """Lower case where the server takes names without regard to it."""
        return self._rules.fold(name)

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every user name that concerns us: foreign accounts on hosts that are not configured stand beside ours."""
        grouped: defaultdict[str, list[Account]] = defaultdict(list)
        with reading():
            for found in self._state.read_every_account():
                grouped[found.name].append(found)
        summaries = (self._ownership.summary(name, accounts) for name, accounts in grouped.items())
        return {summary.name: summary for summary in summaries if summary}

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database that the admin can see, and those that are claimed by a user and not created yet.

        Whose they are is told by the accounts that `get_existing_users` has read, if nothing was changed since.
        """
        with reading():
            return dict(self._state.read_every_database().described)

    def holdings(self, databases: Mapping[str, ExistingDatabase]) -> Holdings:
        """By the grants that name a database, or a pattern; and which accounts are at hosts that are not configured."""
        return holdings(self._state, databases, self._changes.admin, account(*self._admin))

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Sum up the files of InnoDB's tables; no table or view is opened for it."""
        return self._state.read_sizes(names)

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Compute each stored verifier anew from the roster's password, in parallel processes when there are many."""
        checks, doubts = check_passwords(users, existing, self._ownership.hosts)
        self.doubts.update(doubts)
        return checks

    def _unusable(self, plugin: str, *, expired: bool) -> str | None:
        """Say why nobody can log in to an account that is not locked."""
        if plugin not in self._facts.plugins:
            return f"the server has not loaded its authentication plugin {plugin}: a new password opens it by another"
        return "its password has expired: a new one in users.txt opens it" if expired else None

    # --- accounts ---------------------------------------------------------------------------------------------------

    def adopt_user(self, user: str, password: Secret) -> None:
        """Set marker and password of the accounts on the configured hosts, and create those that are missing."""
        accounts = [found for found in self._state.accounts_of([user]) if self._ownership.concerns(found)]
        for found in accounts:
            if reason := self._ownership.existing(found).protected:
                raise OperationError(f"{found} is never touched: {reason}")
            if found.roster not in (None, self._ownership.roster):
                raise OperationError(f"{found} belongs to roster {found.roster!r}; remove {user} from that one first")
        clause = self._clauses({user: password})[user]
        if foreign := [found for found in accounts if not self._ownership.is_ours(found)]:
            with self._session.together():
                self._write_adoption(foreign, clause)
        self.create_users({user: password})

    def create_users(self, passwords: Mapping[str, Secret]) -> None:
        """Create the missing accounts of users, one per host; those that are ours and have a password get it."""
        standing = self._state.ours(passwords)
        clauses = self._clauses(passwords)
        there = {found.key for found in standing}
        absent = [(user, host) for user in passwords for host in self._ownership.hosts if (user, host) not in there]
        if absent:
            with self._session.together():
                self._write_accounts(absent, clauses)
        self._set_passwords([found for found in standing if by_password(found)], clauses)

    def update_user_passwords(self, passwords: Mapping[str, Secret]) -> None:
        """Set the passwords of all accounts of users, and open those that `lock_user` had shut."""
        standing = self._state.ours(passwords)
        if absent := passwords.keys() - {found.name for found in standing}:
            raise gone(", ".join(sorted(absent)))
        self._set_passwords(standing, self._clauses(passwords))

    def _set_passwords(self, accounts: Sequence[Account], clauses: Mapping[str, str]) -> None:
        """Leave alone whether an account is open, unless it was us who shut it."""
        for shut_by_us in (False, True):
            if group := [found for found in accounts if (found.lock is Lock.OURS) is shut_by_us]:
                with self._session.together():
                    self._write_passwords(group, clauses, opening=shut_by_us)

    def lock_users(self, users: Sequence[str]) -> None:
        """Shut the accounts of users, noting that it was us; nothing of theirs runs on, and no session stays.

        Sessions are ended before, as an open transaction might hold something; and after, as some may have come. What
        somebody else has locked and is kept for days of grace is left exactly as it is.
        """
        accounts = self._state.ours(users)
        names = {found.name for found in accounts}
        self._end_sessions(names)
        grace = self.connection.removals.grace_days
        undated = [found for found in accounts if found.lock is not Lock.FOREIGN and found.since is None]
        foreign = [] if grace else [found for found in accounts if found.lock is Lock.FOREIGN]
        if undated or foreign:
            with self._session.together():
                self._write_lock(undated, foreign)
            end_logins(self._session)
            self._end_sessions(names)
        if undated and grace:
            self._write_date(undated, self.time_of_lock())

    def drop_users(self, users: Sequence[str]) -> None:
        """Drop all our accounts of `bob`, or the one that is named as `bob@10.%`."""
        if accounts := self._state.ours(users):
            self._session.run(f"DROP USER IF EXISTS {accounts_list(found.key for found in accounts)}")

    def _end_sessions(self, names: Collection[str]) -> None:
        end_sessions(self._session, self._state.hosts_of(names), self._rules)

    # --- creating databases -----------------------------------------------------------------------------------------

    def create_databases(self, owned: Sequence[Owned]) -> None:
        """Claim databases for their users' accounts, create them, and note that they were created."""
        with self._state.looking(owned) as estates:
            try:
                self._create_databases(estates)
            except OperationError as error:
                if error.code != DATABASE_EXISTS or len(owned) > 1:
                    raise
                self._disclaim(estates)
                user, database = owned[0]
                raise OperationError(
                    f"somebody else has created the database {database} in the meantime; rename it, or take it over "
                    f"with --adopt {user}",
                    DATABASE_EXISTS,
                ) from None

    def _create_databases(self, estates: Sequence[Estate]) -> None:
        for estate in estates:
            self._refuse_foreign(estate)
        with self._session.together():
            self._write_databases(estates)
            self._write_marks(estates)

    def _create_statement(self, estate: Estate) -> str:
        name, charset = identifier(self.fold_database(estate.database)), self._options.charset
        return f"CREATE DATABASE {name} CHARACTER SET {literal(charset)}"

    def _refuse_foreign(self, estate: Estate) -> None:
        """Raise for a database that exists and is not the user's: without a claim, or with what dbroster never made."""
        estate.targets(self._rules)
        if not estate.exists or estate.claim or estate.commented:
            return
        if estate.claim is None:
            raise OperationError(
                f"the database {estate.database} exists and is not {estate.user}'s; take it over with "
                f"--adopt {estate.user}, or rename it"
            )
        if self._state.filled([self.fold_database(estate.database)]):
            self._disclaim([estate])
            raise OperationError(
                f"somebody else has created and filled the database {estate.database}; rename it, or take it over "
                f"with --adopt {estate.user}"
            )

    # --- privileges -------------------------------------------------------------------------------------------------

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Give users' accounts exactly the wanted privileges, spelled right, and take those of all others."""
        with self._state.looking(owned) as estates:
            for estate in estates:
                if not estate.exists:
                    raise OperationError(f"there is no database {estate.database} any more; the next run creates it")
                self._refuse_foreign(estate)
            self._mark_and_grant(estates)

    def _mark_and_grant(self, estates: Sequence[Estate]) -> None:
        """Do all, or what can be done of one. Raises OperationError for the rest."""
        excess = [self._changes.excess(estate.user, estate.database, estate.grants) for estate in estates]
        fine = [self._state.fine_rivals(estate.user, estate.database) for estate in estates]
        stuck = [text for text in map(self._changes.stuck, excess, fine) if text]
        if not (stuck and len(estates) > 1):
            with self._session.together():
                self._write_marks(estates)
                for estate, too_much, of_others in zip(estates, excess, fine, strict=True):
                    self._changes.grant(estate)  # before revoking, so that a user at work notices nothing
                    self._changes.revoke(too_much, of_others)
        if stuck:
            raise OperationError(stuck[0])

    def adopt_database(self, user: str, database: str) -> None:
        """Claim a foreign database for a user, and grant it, unless it is protected or somebody else's."""
        found = self.get_existing_databases().get(self.fold_database(database))
        prove_adoptable(user, database, found)
        self._mark_and_grant([self._state.estate(user, database)])

    # --- dropping and archiving databases ---------------------------------------------------------------------------

    def drop_databases(self, owned: Sequence[Owned]) -> None:
        """Drop databases, the grants on them, and the claims, which go last."""
        with self._state.looking(owned) as estates:
            for estate in estates:
                if estate.exists:
                    owner = estate.user if estate.is_theirs else None
                    prove_own(estate.user, estate.database, owner, "no account of theirs claims it; drop it by hand")
            theirs = [estate for estate in estates if estate.is_theirs]
            for estate in theirs:
                if stuck := self._changes.stuck((grant, grant.privileges) for grant in estate.grants):
                    raise OperationError(stuck)
            for estate in theirs:
                self._drop_schema(estate.user, self.fold_database(estate.database))
            with self._session.together():
                for estate in theirs:
                    self._changes.revoke(
                        self._changes.left_behind(estate), self._state.fine_rivals(estate.user, estate.database)
                    )
                self._disclaim(theirs)

    def _drop_schema(self, user: str, name: str) -> None:
        drop_database(self._session, self._rules, self._facts.settings.get("datadir", ""), user, name)

    def archive_database(self, user: str, database: str) -> None:
        """Take the user's privileges on it and end his sessions, so that nobody writes until it is dropped.

        A session that is elsewhere may have an open transaction in it, and a COMMIT needs no privilege.
        While it is read, the user may read it, too: views are worked out with the privileges of who has made them.
        """
        found = self.get_existing_databases().get(self.fold_database(database))
        if not (found and found.owner == user and found.usable):
            super().archive_database(user, database)
            return
        estate, spelled = self._state.estate(user, database), self._rules.spelled(database)
        accounts = accounts_list(found.key for found in estate.accounts)
        reading = ", ".join(sorted(READING & self._rules.wanted))
        with self._session.together():
            self._changes.revoke((grant, grant.privileges) for grant in estate.grants)
        self._end_sessions({user})
        folded = self.fold_database(database)
        if prepared_transactions.held(self._session, self.connection, {folded: user}, shut=True):
            raise OperationError(prepared_transactions.REASON)
        try:
            if reading:
                self._session.run(f"GRANT {reading} ON {identifier(spelled)}.* TO {accounts}")
            super().archive_database(user, database)
        finally:
            if reading:
                self._session.run(f"REVOKE {reading} ON {identifier(spelled)}.* FROM {accounts}")

    def renamer(self) -> Renamer:
        """By archives, if the account has nothing that others gave."""
        from dbroster.engines.mysql.beforehand.renaming import MySQLRenamer

        return MySQLRenamer(self, self._session, self._state, self._changes)

    def archiver(self) -> Archiver:
        """By the product's own dump program and client."""
        from dbroster.engines.mysql.archive.archiver import MySQLArchiver

        return MySQLArchiver(self.connection, self._session, self.wording, self._state.patterns)
