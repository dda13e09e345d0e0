"""ClickHouse 24.8 and newer, over HTTP.

An account is marked by a setting that names it and by a role without privileges, one per roster; a database by its
comment, which names it. All appear together with what they mark. Passwords leave this machine as salted hashes only,
except for the logins that check them. On a cluster every node is read in the same query, and changed ON CLUSTER.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from secrets import token_urlsafe
from typing import TYPE_CHECKING, ClassVar, Self

from dbroster.engines.archiver import Archiver
from dbroster.engines.base import Handler, Owned, prove_adoptable
from dbroster.engines.clickhouse.access import roles
from dbroster.engines.clickhouse.access.grants import Grants, read_grants, read_holders
from dbroster.engines.clickhouse.access.password_check import check_passwords
from dbroster.engines.clickhouse.access.powers import Powers
from dbroster.engines.clickhouse.access.shared_tables import open_engines, reaching
from dbroster.engines.clickhouse.access.show_create_users import Shown, show
from dbroster.engines.clickhouse.account import Account
from dbroster.engines.clickhouse.beforehand.refusals import foresee, not_adoptable, other_ways, several_methods
from dbroster.engines.clickhouse.beforehand.server_checks import ServerRules
from dbroster.engines.clickhouse.cluster.merged_state import divided
from dbroster.engines.clickhouse.markers import Marker, changed, clause
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.engines.clickhouse.removal.drop_database import Drops
from dbroster.engines.clickhouse.removal.drop_user import drop_user
from dbroster.engines.clickhouse.removal.heard_everywhere import await_nodes
from dbroster.engines.clickhouse.removal.outside_views import put_away
from dbroster.engines.clickhouse.removal.ownership import Ownership
from dbroster.engines.clickhouse.session import DATABASE_EXISTS, DENIED, USER_EXISTS, Session, identifier, literal
from dbroster.engines.clickhouse.state import (
    SYSTEM_DATABASES,
    read_accounts,
    read_databases,
    read_sizes,
    with_end,
    with_powers,
)
from dbroster.engines.clickhouse.sync_lock import SyncLock
from dbroster.engines.renamer import Renamer
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, Holdings, Lock, PasswordCheck, Server
from dbroster.passwords.secret import Secret
from dbroster.passwords.verifiers.digests import clickhouse_salt, clickhouse_sha256

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

BATCH = 50
"""Actions that are looked at together; each is a statement of its own, but for one user's grants."""
LARGE_BATCH = 150
"""The same of what takes the server less time than a look: databases to create, and to grant."""


def connect(connection: Connection) -> Handler:
    """Open a connection. Raises ConnectError or UnsupportedServer."""
    return ClickHouseHandler.open(connection)


class ClickHouseHandler(Handler):
    """A ClickHouse server, or all nodes of a cluster."""

    drop_words: ClassVar[str] = "DROP DATABASE `{}`;"
    groups: ClassVar[int] = 1
    default_jobs: ClassVar[int] = 3  # each session more has to ask what server it is, and looks at fewer users at once
    batch_sizes: ClassVar[Mapping[Verb, int]] = {
        **dict.fromkeys((Verb.CREATE_USER, Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER), BATCH),
        **dict.fromkeys((Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES), LARGE_BATCH),
        Verb.DROP_DATABASE: BATCH,
    }
    together: ClassVar[Collection[Verb]] = (Verb.GRANT_PRIVILEGES,)
    one_user_at_once: ClassVar[bool] = True

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session
        self._server = ServerRules(session)
        self._lock = SyncLock(session)
        self._ownership = Ownership(session)
        self._drops = Drops(session)
        self._powers: Powers | None = None
        self._shown: dict[str, Shown] | None = None
        self._notes: list[str] = []
        self._oddities: list[str] = []

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Log in as the admin. Raises ConnectError or UnsupportedServer (too old, read-only)."""
        session = Session(connection)
        try:
            return cls(connection, session)
        except BaseException:
            session.close()
            raise

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._lock.release()
        self._drops.close()
        self._session.close()

    def abort(self) -> None:
        """Break every connection, the lock's too."""
        self._drops.abort()
        self._session.abort()

    # --- the server -------------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """Product with version, and address."""
        return Server(f"ClickHouse {self._session.version}", self._session.address)

    def now(self) -> datetime:
        """The time by the server's clock."""
        ((seconds,),) = self._session.rows("SELECT toUnixTimestamp(now())")
        return datetime.fromtimestamp(seconds, UTC)

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:  # noqa: ARG002 - the same for all databases
        """GRANT statements for what the admin lacks; all of them when it may not even look at its own grants."""
        return self._server.missing_privileges()

    def admin_script(self, templates: Sequence[str], password: str) -> "AdminScript":  # noqa: ARG002 - for all databases
        """What makes the admin."""
        return self._server.admin_script(password)

    def acquire_sync_lock(self) -> None:
        """Hold a sleeping query of a fixed id until `close`. Raises SyncLockHeld, naming who has it."""
        self._lock.acquire()

    def still_holds_sync_lock(self) -> bool:
        """Whether that query still runs."""
        return self._lock.is_held()

    def prepare(self) -> None:
        """Create the role that marks accounts, if it is not there; drop those of dates that are no longer used."""
        with suppress(OperationError):  # which may take a privilege that is needed for nothing else
            roles.drop_unused_dates(self._session)
        if not self._server.role_exists():
            self._session.run(f"CREATE ROLE IF NOT EXISTS {identifier(self._session.role)}{self._session.accounts_on}")

    def warnings(self) -> list[Problem]:
        """A marker role that gives privileges, queries that can't be ended, and what was seen by the last reads."""
        powers = self._powers or Powers.read(self._session)
        texts = dict.fromkeys((*self._server.warnings(powers), *self._oddities, *self._notes, *self._session.notes))
        return [Problem(text, warning=True) for text in texts]

    # --- names and passwords that this server can carry -------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """Refuse names that would leave no room for a database name."""
        return ClickHouseOptions.of(self.connection).refuse_user(name)

    def refuse_database(self, name: str) -> str | None:
        """Refuse names that are too long for a directory with tables in it, and the server's own."""
        if name in SYSTEM_DATABASES:
            return f"{name} is a database of the server itself"
        return ClickHouseOptions.of(self.connection).refuse_database(name)

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every account of the server, in three queries."""
        powers, shown = Powers.read(self._session), show(self._session)
        self._powers, self._shown = powers, shown
        found = {}
        accounts = read_accounts(self._session)
        self._oddities = [*roles.given_to_locked(self._session, accounts.values()), *other_ways(accounts.values())]
        for name, account in accounts.items():
            known = with_powers(account, powers)
            found[name] = (with_end(known, shown[name]) if name in shown else known).existing
        return found

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database of the server, in three queries, and one more where grants may be on patterns of names."""
        found = read_databases(self._session)
        grants = read_grants(self._session, list(found))
        self._notes = list(divided(found.values()))
        described = {name: self._described(database, grants) for name, database in found.items()}
        powers, owners = self._powers or Powers.read(self._session), {n: d.owner for n, d in described.items()}
        users = sorted(set(filter(None, owners.values())))
        for user in users:
            self._notes += powers.intrusions(self._server.tree, user, owners)
        if users:
            self._notes += open_engines(powers, self._session.role, users)
            self._notes += reaching(self._session, owners)
        return described

    def holdings(self, databases: Mapping[str, ExistingDatabase]) -> Holdings:
        """By the grants that name a database, or the beginning of names."""
        return Holdings(read_holders(self._session, databases))

    def _described(self, database: ExistingDatabase, grants: Grants) -> ExistingDatabase:
        """Add whether its owner, and nobody else of the roster, has the wanted privileges, or who has it otherwise."""
        tree, wanted, owner = self._server.tree, self._server.tree.leaves(self._server.wanted), database.owner
        granted = grants.on(database.name)
        if owner is None:
            return database._replace(holder=next(iter(granted)) if len(granted) == 1 else None)
        right = grants.suffice(database.name, owner, tree, wanted)
        differs = [] if right else [f"{owner} has not all privileges"]
        for user, entry in granted.items():
            surplus = entry.surplus(tree, wanted if user == owner else frozenset())
            beyond = self._server.beyond_the_admin(surplus) if surplus else frozenset()
            right = right and surplus <= beyond
            if not surplus <= beyond:
                differs.append(f"{user} has more than wanted" if user == owner else f"{user} may enter")
            if beyond:
                place = f"{', '.join(sorted(beyond))} ON {identifier(database.name)}.*"
                self._notes.append(
                    f"{user} has more on {database.name} than dbroster gives, and the admin account can't take it "
                    f"back; as another administrator: REVOKE {place} FROM {identifier(user)};"
                )
        return database._replace(granted=right, differs=", ".join(differs) or None)

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Sum up what is on the disks of this node."""
        return read_sizes(self._session, names)

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """By the stored hash where the server shows it, else by a login; an answer that proves nothing is UNKNOWN."""
        shown, self._shown = self._shown, None  # what was shown for `existing`, and for nothing that comes later
        return check_passwords(
            self._session, users, existing, show(self._session) if shown is None else shown, self.doubts
        )

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """By accounts, sizes of tables, definers of views, and what this version can do."""
        return foresee(self._session, self._server, actions)

    # --- changes ----------------------------------------------------------------------------------------------------

    def reading_ahead(self, actions: Sequence[Action]) -> AbstractContextManager[None]:
        """Look at everything at once, which takes as long as to look at one."""
        if not actions or actions[0].verb is Verb.ADOPT:
            return super().reading_ahead(actions)
        return self._ownership.ahead(actions)

    def create_user(self, user: str, password: Secret) -> None:
        """Create the account with its marker in one statement; one that is already ours gets marker and password.

        A password would replace LDAP and the like, by which a DBA lets it in.
        """
        account = self._ownership.managed_if_any(user)
        if account:
            if account.missing:
                account = self._complete(user, password)
            self._mark(user, account)
            if account.by_password:
                self.update_user_password(user, password)
            return
        marks = f"DEFAULT ROLE {identifier(self._session.role)} {clause(self.connection.roster, user)}"
        try:
            self._set_password("CREATE USER", user, password, marks)
        except OperationError as error:
            if error.code != USER_EXISTS:
                raise
            self.update_user_password(user, password)  # which refuses it, unless only the answer was lost
            return
        self._prove_login(user, password)

    def update_user_password(self, user: str, password: Secret) -> None:
        """Set the password, and open the account if dbroster had shut it; a lock of somebody else's stays."""
        account = self._ownership.managed(user)
        if len(account.methods) > 1:
            raise OperationError(several_methods(account))
        end = self._ownership.end(user)
        shut_by_us = account.shut_somewhere
        self._forget_dates(user, account)
        clauses = [f"VALID UNTIL {literal(end)}"] if end else []
        if shut_by_us:
            clauses += ["HOST ANY DEFAULT ROLE ALL", changed(self._session, user)]
        self._set_password("ALTER USER", user, password, " ".join(clauses))
        if not end and (shut_by_us or account.unrestricted):
            self._prove_login(user, password)

    def create_database(self, user: str, database: str) -> None:
        """Create the database with its marker; nobody has privileges on it yet."""
        self._ownership.managed(user)
        found = self._ownership.own(user, database)
        if found and found.usable:
            return
        engine = ClickHouseOptions.of(self.connection).database_engine
        marker = literal(str(Marker(self.connection.roster, user, database)))
        form = f" ENGINE = {engine}" if engine else ""
        name = f"{'IF NOT EXISTS ' if found else ''}{identifier(database)}{self._session.databases_on}"
        self._ownership.forget(database)
        try:
            self._session.run(f"CREATE DATABASE {name}{form} COMMENT {marker}")
        except OperationError as error:
            if error.code != DATABASE_EXISTS or not self._ownership.own(user, database):
                raise

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Give the wanted privileges, all of one user's in one statement.

        If anything is too much, all is taken away first, as nothing else undoes parts.
        """
        for user, own in groupby(owned, key=itemgetter(0)):
            self._grant(user, [database for _, database in own])

    def lock_user(self, user: str) -> None:
        """Take all privileges, let the user in from nowhere, and end running queries.

        Without privileges nothing of the user runs any more, like refreshable views. Those on databases of the roster
        come back with the user. The marker then notes that it was us who locked the account.
        """
        self.notes.pop("", None)
        account = self._ownership.claimed_if_any(user)
        if account is None:
            return
        if account.missing:
            account = self._complete(user)
        lock, dating = account.existing.lock, self.connection.removals.grace_days > 0
        undated = dating and lock is Lock.OURS and account.existing.locked_since is None
        # with days of grace, a lock of somebody else is left exactly as it is
        if lock is Lock.OPEN or undated or (lock is Lock.FOREIGN and not dating):
            self._forget_dates(user, account)
            self._ownership.forget(user)
            self._tell(put_away(self._session, user))
            self._take_privileges(user)
        if lock is not Lock.FOREIGN or not dating:
            self._take_roles(account)
        if lock is Lock.OPEN or undated:
            self._alter(user, f"HOST NONE DEFAULT ROLE NONE {changed(self._session, user, locked=True)}")
        await_nodes(self._session, user)
        try:
            self._session.run(f"KILL QUERY{self._session.databases_on} WHERE user = {literal(user)} ASYNC")
        except OperationError as error:
            if error.code != DENIED:  # a warning has said so; without ON CLUSTER the server would just find none
                raise
        if dating and (lock is Lock.OPEN or undated):
            self._ownership.forget(user)
            roles.set_date(self._session, user, self.time_of_lock())

    def _take_privileges(self, user: str) -> None:
        """As far as the admin may; what it may not take keeps nobody in."""
        try:
            self._server.revoke(user)
        except OperationError as error:
            if error.code != DENIED:
                raise
            self._tell(f"a session that {user} has open keeps its privileges, which dbroster can't take: {error}")

    def _take_roles(self, account: Account) -> None:
        if account.given and (note := roles.take_given(self._session, account)):
            self._ownership.forget(account.existing.name)
            self._tell(note)

    def _tell(self, note: str | None) -> None:
        """Keep what the lock of an account has to tell, beside what it told before."""
        if note:
            self.notes[""] = " ".join(filter(None, (self.notes.get(""), note)))

    def _forget_dates(self, user: str, account: Account) -> None:
        """Before anything else: an account without a date is never removed by its date."""
        if account.dates:
            self._ownership.forget(user)
            roles.forget_dates(self._session, user, account.dates)

    def drop_database(self, user: str, database: str) -> None:
        """Take back the privileges on the user's database, drop it, and wait until its tables are gone.

        Privileges outlive their database, and would let the user into a foreign one of that name.
        """
        account = self._ownership.claimed_if_any(user)
        if account and account.missing:
            self._complete(user)
        exists = self._ownership.own(user, database)
        granted = self._ownership.granted(database)
        self._ownership.forget(database)
        for name in granted.on(database):
            self._server.revoke(name, database)
        if exists:
            note = self._drops.drop(user, database)
            if note:
                self.notes[database] = note

    def drop_user(self, user: str) -> None:
        """Drop the account; one that views in foreign databases still need stays, and the error says so."""
        if self._ownership.claimed_if_any(user):
            self._ownership.forget(user)
            drop_user(self._session, user)
            await_nodes(self._session, user)

    def adopt_user(self, user: str, password: Secret) -> None:
        """Give a foreign account our marker, then the password; hosts and other privileges stay as they are.

        The marker becomes a default role, as it is of every account that dbroster has not shut.
        """
        account = read_accounts(self._session, [user]).get(user)
        powers = Powers.read(self._session)
        reason = not_adoptable(with_powers(account, powers), self.connection.roster) if account else "there is none"
        if account is None or reason:
            raise OperationError(f"the account {user} can't be adopted: {reason}")
        self._ownership.forget(user)
        self._mark(user, account)
        self.update_user_password(user, password)

    def _mark(self, user: str, account: Account) -> None:
        """Give an account what it lacks of our marker; hosts, other roles and other settings stay as they are."""
        self._ownership.forget(user)
        role = identifier(self._session.role)
        if not account.has_role:
            self._session.run(f"GRANT{self._session.accounts_on} {role} TO {identifier(user)}")
            if account.default_roles is not None:
                defaults = ", ".join([*map(identifier, account.default_roles), role])
                self._alter(user, f"DEFAULT ROLE {defaults}")
        if not account.claimed or (account.notes_lock and account.existing.lock is Lock.OPEN):
            self._alter(user, changed(self._session, user))

    def _alter(self, user: str, change: str) -> None:
        self._session.run(f"ALTER USER {identifier(user)}{self._session.accounts_on} {change}")

    def adopt_database(self, user: str, database: str) -> None:
        """Put our marker on a foreign database, then grant it. The server must know MODIFY COMMENT for databases."""
        self._ownership.managed(user)
        found = self._ownership.database(database)
        prove_adoptable(user, database, found)
        if found and found.owner is None:
            marker = literal(str(Marker(self.connection.roster, user, database)))
            self._ownership.forget(database)
            self._session.run(
                f"ALTER DATABASE {identifier(database)}{self._session.databases_on} MODIFY COMMENT {marker}",
            )
        self.grant_privileges(user, database)

    def renamer(self) -> Renamer:
        """By moving tables."""
        from dbroster.engines.clickhouse.moving import ClickHouseRenamer

        return ClickHouseRenamer(self, self._session, self._server, self._ownership)

    def archiver(self) -> Archiver:
        """Over HTTP."""
        from dbroster.engines.clickhouse.archive.archiver import ClickHouseArchiver

        return ClickHouseArchiver(self._session, self._server)

    # --- parts of changes -------------------------------------------------------------------------------------------

    def _grant(self, user: str, databases: Sequence[str]) -> None:
        self._ownership.managed(user)
        for database in databases:
            if not self._ownership.own(user, database):
                raise OperationError(f"the database {database} does not exist any more")
        tree, wanted = self._server.tree, self._server.tree.leaves(self._server.wanted)
        for database in databases:
            granted = self._ownership.granted(database)
            self._ownership.forget(database)
            for name, entry in granted.on(database).items():
                surplus = entry.surplus(tree, wanted if name == user else frozenset())
                much = entry.cut or surplus - self._server.beyond_the_admin(surplus)
                if much and (away := self._server.revoke(name, database)):
                    self.notes[database] = away
        elements = ", ".join(f"{', '.join(self._server.wanted)} ON {identifier(name)}.*" for name in databases)
        self._session.run(f"GRANT{self._session.accounts_on} {elements} TO {identifier(user)}")

    def _complete(self, user: str, password: Secret | None = None) -> Account:
        """Create an account of ours on the nodes that lack it, where other statements fail; shut, for a leaver."""
        shut = "" if password else "HOST NONE "
        marks = f"{shut}DEFAULT ROLE {identifier(self._session.role)} "
        marks += clause(self.connection.roster, user, locked=password is None)
        self._set_password("CREATE USER IF NOT EXISTS", user, password or Secret(token_urlsafe(32)), marks)
        return self._ownership.managed(user)

    def _set_password(self, verb: str, user: str, password: Secret, clause: str) -> None:
        salt = clickhouse_salt()
        verifier = clickhouse_sha256(password.reveal(), salt)
        auth = f"IDENTIFIED WITH sha256_hash BY {literal(verifier)} SALT {literal(salt)}"
        self._ownership.forget(user)
        self._session.run(
            f"{verb} {identifier(user)}{self._session.accounts_on} {auth} {clause}".rstrip(),
            [password.reveal(), verifier, salt],
        )

    def _prove_login(self, user: str, password: Secret) -> None:
        """Log in once: a password that the server took, but does not accept, would be set again in every run."""
        if self._session.login(user, password) is False:
            raise OperationError(
                f"the server has taken the new password of {user}, but refuses the login; look at VALID UNTIL of the "
                "account, and at what the server's log says",
                retryable=True,  # a replicated account may take a moment
            )
