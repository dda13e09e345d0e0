"""MongoDB 5 and newer, alone or as a replica set.

An account stands in the authentication database (`auth_database`, by default admin); its marker is a part of it. The
marker names the account and the user's databases, and is changed in the same command as the roles on them. A database
comes into being with its first collection, so an empty one is made, if connections.yaml does not switch that off.

A command with a password never names a role: when it names one that is not built in, the server's profiler keeps the
password in clear (MongoDB 6.0).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, Self

import bson

from dbroster.engines.archiver import Archiver
from dbroster.engines.base import Handler, Owned, gone, no_adoption, prove_adoptable, prove_managed
from dbroster.engines.mongodb.access.admin_privileges import access_control_is_off, lets_everybody_in, own_rights
from dbroster.engines.mongodb.access.mechanisms import refusal, refused_mechanisms, unusable
from dbroster.engines.mongodb.access.password_check import check_passwords
from dbroster.engines.mongodb.access.surroundings import Surroundings, possible_owners, taking, told
from dbroster.engines.mongodb.holdings import holdings
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mongodb.removal.accounts_inside import Insider, insiders, left_in, let_in, shut_out, with_roles
from dbroster.engines.mongodb.removal.drop_database import Drop
from dbroster.engines.mongodb.removal.end_operations import end_operations
from dbroster.engines.mongodb.session import (
    NAMESPACE_EXISTS,
    ROLE_NOT_FOUND,
    USER_EXISTS,
    USER_NOT_FOUND,
    Session,
    open_session,
)
from dbroster.engines.mongodb.state import (
    NOWHERE,
    SYSTEM_DATABASES,
    Account,
    Marker,
    Role,
    read_accounts,
    read_databases,
    role_documents,
    wanted_mechanisms,
    wanted_roles,
)
from dbroster.engines.mongodb.sync_lock import SyncLock, acquire_sync_lock, confirm_sync_lock
from dbroster.engines.renamer import Renamer
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import User
from dbroster.model.state import ExistingDatabase, ExistingUser, Holdings, Lock, PasswordCheck, Server
from dbroster.passwords.secret import Secret
from dbroster.plan.grace_period import stamp

if TYPE_CHECKING:
    from dbroster.model.admin_script import AdminScript

ROOM = 4_000_000
"""Bytes that a lock may note in an account: a quarter of what the server takes."""


def connect(connection: Connection) -> Handler:
    """Open a connection. Raises ConnectError or UnsupportedServer."""
    return MongoDBHandler.open(connection)


class MongoDBHandler(Handler):
    """A MongoDB server or replica set."""

    creation_order: ClassVar[tuple[Verb, Verb]] = (Verb.GRANT_PRIVILEGES, Verb.CREATE_DATABASE)
    drop_words: ClassVar[str] = 'db.getSiblingDB("{}").dropDatabase()'
    batch_sizes: ClassVar[Mapping[Verb, int]] = {Verb.GRANT_PRIVILEGES: 100}
    together: ClassVar[Collection[Verb]] = batch_sizes.keys()
    one_user_at_once: ClassVar[bool] = True
    default_jobs: ClassVar[int] = 8  # it makes collections for some users while it derives others' keys

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session
        self._lock: SyncLock | None = None
        self._seen: dict[str, Account] = {}
        self._around: Surroundings | None = None
        self._refused: frozenset[str] = frozenset()
        self._untold: list[str] = []

    @classmethod
    def open(cls, connection: Connection) -> Self:
        """Connect as the admin; again only while the run holds its lock.

        Raises ConnectError, UnsupportedServer (too old, no TLS, managed, sharded), and SyncLockHeld.
        """
        handler = cls(connection, open_session(connection))
        try:
            confirm_sync_lock(handler._session, connection)
        except BaseException:
            handler.close()
            raise
        return handler

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._session.close()
        if self._lock:
            self._lock.close()

    def abort(self) -> None:
        """Break whatever this connection waits for."""
        self._session.abort()
        if self._lock:
            self._lock.abort()

    # --- the server -------------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """Product with version, and address of the primary."""
        return Server(f"MongoDB {self._session.version}", self._session.address)

    def now(self) -> datetime:
        """The time by the primary's clock."""
        return self._session.now()

    def missing_privileges(self, templates: Sequence[str]) -> list[str]:  # noqa: ARG002 - the same for all databases
        """Commands that give the admin everything that a sync needs, when anything is missing."""
        rights = own_rights(self._session)
        self._untold = rights.untold(self._session)
        missing = rights.statements(self._session.auth_database)
        return [] if missing and lets_everybody_in(self.connection) else missing

    def admin_script(self, templates: Sequence[str], password: str) -> "AdminScript":  # noqa: ARG002 - for all databases
        """What makes the admin."""
        from dbroster.engines.mongodb.admin_script import script

        rights = own_rights(self._session)
        product, where = self.server().product, rights.admin["db"]
        return script(self.connection, password, product, where, role_exists=rights.has_role)

    def acquire_sync_lock(self) -> None:
        """Hold connections that other syncs see, until `close`. Raises SyncLockHeld, naming who has them."""
        self._lock = acquire_sync_lock(self._session, self.connection)

    def still_holds_sync_lock(self) -> bool:
        """Whether those connections were there all the time."""
        return self._lock is not None and self._lock.is_held()

    def prepare(self) -> None:
        """Nothing to do: the marker is a part of the account."""

    def warnings(self) -> list[Problem]:
        """Say that the server lets everybody in, that passwords travel in clear, and who plays a sync."""
        texts = list(self._untold)
        if access_control_is_off(self._session, self.connection):
            texts.append("access control is off, so accounts and roles protect nothing; start mongod with --auth")
        texts += [
            f"a connection of {who} calls itself a sync; it is no admin's, so dbroster ignores it"
            for who in sorted(self._lock.ignored if self._lock else ())
        ]
        if self._session.in_clear:
            texts.append(f"passwords travel to {self._session.in_clear} in clear, as allow_plaintext_transport permits")
        return [Problem(text, warning=True) for text in texts]

    # --- names and passwords that this server can carry -------------------------------------------------------------

    def refuse_user(self, name: str) -> str | None:
        """Refuse names of which no database name can be made."""
        return MongoDBOptions.of(self.connection).refuse_user(name)

    def refuse_database(self, name: str) -> str | None:
        """Refuse names that MongoDB can't carry or keeps for itself."""
        if self.fold_database(name) in (*SYSTEM_DATABASES, self.fold_database(self._session.auth_database)):
            return f"MongoDB keeps the database {name!r} for itself"
        return MongoDBOptions.of(self.connection).refuse_database(name)

    def refuse_password(self, password: Secret) -> str | None:
        """Refuse what no client can send, and what SCRAM-SHA-256 can't carry (RFC 7677: prepared as RFC 4013 says)."""
        return super().refuse_password(password) or MongoDBOptions.of(self.connection).refuse_password(password)

    def fold_database(self, name: str) -> str:
        """MongoDB refuses a database whose name differs from another one only in case."""
        return name.lower()

    # --- state ------------------------------------------------------------------------------------------------------

    def get_existing_users(self) -> dict[str, ExistingUser]:
        """Every account of the authentication database, in one query for each 5000 of them."""
        self._seen = read_accounts(self._session, self.connection)
        wanted = wanted_mechanisms(self.connection)
        self._refused = refused_mechanisms(self._session, self._seen, wanted)
        return {name: self._judged(account) for name, account in self._seen.items()}

    def _judged(self, account: Account) -> ExistingUser:
        reason = unusable(account, self._refused) if account.existing.managed else None
        return account.existing._replace(unusable=reason) if reason else account.existing

    def get_existing_databases(self) -> dict[str, ExistingDatabase]:
        """Every database of the server, in one query.

        Whose they are is told by the accounts that `get_existing_users` has just read; else they are read again.
        """
        accounts, self._seen = self._seen or read_accounts(self._session, self.connection, credentials=False), {}
        return read_databases(self._session, self.connection, accounts.values())

    def holdings(self, databases: Mapping[str, ExistingDatabase]) -> Holdings:
        """By the roles of all accounts; and which accounts are defined in other databases."""
        return holdings(self._session, self.connection, databases)

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Ask for what is on the server's disks."""
        return self._session.database_sizes(names)

    def check_passwords(self, users: Sequence[User], existing: Mapping[str, ExistingUser]) -> dict[str, PasswordCheck]:
        """Compare with the stored credentials; other mechanisms than wanted count as a different password."""
        answers, self.doubts = check_passwords(users, existing, wanted_mechanisms(self.connection))
        return answers

    def foresee(self, actions: Sequence[Action]) -> list[str | None]:
        """Passwords can't be set for a mechanism that the server does not offer."""
        reason = refusal(wanted_mechanisms(self.connection), self._refused)
        return [reason if action.password is not None else None for action in actions]

    # --- changes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def reading_ahead(self, actions: Sequence[Action]) -> Iterator[None]:
        """Look once for all databases that are granted; if that fails, for each by itself."""
        if len(actions) > 1 and actions[0].verb is Verb.GRANT_PRIVILEGES:
            with suppress(OperationError):
                self._around = self._look([action.database for action in actions if action.database])
        try:
            yield
        finally:
            self._around = None

    def create_user(self, user: str, password: Secret) -> None:
        """Create the account with its marker and without any role; one that is already ours gets the password."""
        marker = Marker(self.connection.roster, user)
        try:
            self._change({"createUser": user, "roles": [], "customData": marker.into({})}, password)
        except OperationError as error:
            if error.code != USER_EXISTS:
                raise
            self.update_user_password(user, password)  # ours already, or the answer to an earlier try was lost

    def update_user_password(self, user: str, password: Secret) -> None:
        """Set the password, and open the account if dbroster had shut it; a lock of somebody else's stays."""
        account = self._managed(user)
        self._change({"updateUser": user}, password)
        if account.existing.lock is Lock.OURS:
            self._open(account)

    def create_database(self, user: str, database: str) -> None:
        """Make an empty collection in a database that `grant_privileges` has claimed, so that it exists."""
        self._managed(user).prove_own(database)
        collection = MongoDBOptions.of(self.connection).marker_collection
        if collection:
            self._unless(NAMESPACE_EXISTS, {"create": collection}, database)

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Claim databases for their users, with exactly the wanted roles, and take other managed users' roles away.

        All of one user's are claimed in one command.
        """
        around = self._around or self._look([database for _, database in owned])
        for user, own in groupby(owned, key=itemgetter(0)):
            self._grant(user, [database for _, database in own], around)

    def lock_user(self, user: str) -> None:
        """Take all roles away and forbid the login, in one command that also notes it; then end the sessions.

        From then on an open connection can do nothing any more.
        """
        account = self._managed(user)
        self._end_sessions(user)
        if account.existing.lock is Lock.FOREIGN and self.connection.removals.grace_days:
            return  # somebody else keeps it locked
        inside = insiders(self._session, account.databases)
        if account.existing.locked_since is None:
            self._update(account, self._locked(account, inside), (), authenticationRestrictions=NOWHERE)
        shut_out(self._session, inside)
        for text in left_in(inside):
            self._tell(text)
        if account.databases:
            self._shut_to_others(user, account.databases)
        self._end_sessions(user)

    def _shut_to_others(self, user: str, databases: Sequence[str]) -> None:
        """Take roles on a locked user's databases from others of the roster, and tell of who keeps some."""
        around = self._look(databases)
        self._take_from_others(user, databases, around)
        if strangers := around.outside(databases):
            self._tell(f"accounts that are not dbroster's use what {user} has: {told(strangers, 'do so')}")
        elif self.connection.removals.grace_days and not self._session.sees_everybody:
            self._tell(
                f"accounts that are defined in {user}'s databases keep their roles until these are dropped, since the "
                "admin can't see them: let it find in admin.system.users"
            )

    def _locked(self, account: Account, inside: Sequence[Insider]) -> Marker:
        """The marker with the date, and with what comes back when the account is opened again."""
        marker, since = account.own_marker, self._since()
        noted = with_roles(inside, marker.insiders)
        if marker.locked:  # without a date: the notes are those of the first time
            return self._fitting(replace(marker, locked=since, insiders=noted))
        beside = account.roles_beside(account.databases)
        before = account.restrictions
        return self._fitting(replace(marker, locked=since, restrictions=before, roles=beside, insiders=noted))

    def _fitting(self, marker: Marker) -> Marker:
        """What comes back must have room in the account; an owner who makes too much of it is locked without."""
        if len(bson.encode(marker.into({}))) <= ROOM:
            return marker
        self._tell(f"roles that {marker.user} had elsewhere, and those of accounts in his databases, don't come back")
        return replace(marker, roles=(), insiders=())

    def _tell(self, note: str) -> None:
        self.notes[""] = "; ".join(filter(None, (self.notes.get(""), note)))

    def _since(self) -> str:
        """What stands for the lock: with days of grace its date, else a word that is none."""
        return stamp(self.time_of_lock()) if self.connection.removals.grace_days else "at once"

    def drop_database(self, user: str, database: str) -> None:
        """Drop the user's database, with the accounts and roles that were defined in it.

        The roles go first, so that an open connection can't make the database again; the claim goes last.
        """
        account = self._managed(user)
        if database not in account.databases and database not in self._session.database_names([database]):
            return
        account.prove_own(database)
        roles = account.roles_beside([database])
        if roles != account.roles:
            self._update(account, account.own_marker, roles)
            self._end_sessions(user)
        around = self._look([database])
        self._take_from_others(user, [database], around)
        Drop(self._session, user, database, around).run()
        rest = tuple(name for name in account.own_marker.databases if name != database)
        self._update(account, replace(account.own_marker, databases=rest), roles)

    def drop_user(self, user: str) -> None:
        """Drop the account. One that still has a database stays: nobody would know any more whose that is."""
        account = self._managed_if_any(user)
        if account is None:
            return
        left = sorted(set(account.databases) & set(self._session.database_names(account.databases)))
        if left:
            raise OperationError(f"user {user!r} still has databases and stays: {', '.join(left)}")
        self._unless(USER_NOT_FOUND, {"dropUser": user})

    def adopt_user(self, user: str, password: Secret) -> None:
        """Put our marker and the password on a foreign account; its roles stay as they are."""
        account = self._account(user)
        reason = no_adoption(account.existing if account else None, self.connection.roster)
        if account is None or reason:
            raise OperationError(f"the account {user} can't be adopted: {reason}")
        marker = account.marker or Marker(self.connection.roster, user)
        self._change({"updateUser": user, "customData": marker.into(account.custom)}, password)

    def adopt_database(self, user: str, database: str) -> None:
        """Claim a foreign database for the user, with the wanted roles."""
        self._managed(user)
        prove_adoptable(user, database, self.get_existing_databases().get(database))
        self._grant(user, [database], self._look([database]), foreign=True)

    def renamer(self) -> Renamer:
        """By archives, if the account has no other roles."""
        from dbroster.engines.mongodb.renaming import MongoDBRenamer

        return MongoDBRenamer(self, lambda user, databases: self._managed(user).roles_beside(databases))

    def archiver(self) -> Archiver:
        """By the driver itself."""
        from dbroster.engines.mongodb.archive import MongoDBArchiver

        return MongoDBArchiver(self.connection, self._session)

    # --- parts of changes -------------------------------------------------------------------------------------------

    def _look(self, databases: Sequence[str]) -> Surroundings:
        return Surroundings.look(self._session, self.connection, databases)

    def _grant(self, user: str, databases: Sequence[str], around: Surroundings, *, foreign: bool = False) -> None:
        account = self._managed(user)
        claimed = [name for name in databases if name not in account.databases]
        self._refuse_claim(user, claimed, None if foreign else around)
        marker = account.own_marker
        roles = (*account.roles_beside(databases), *self._roles(databases))
        if claimed or set(roles) != set(account.roles):
            self._update(account, replace(marker, databases=(*marker.databases, *claimed)), roles)
        self._take_from_others(user, databases, around)

    def _take_from_others(self, user: str, databases: Sequence[str], around: Surroundings) -> None:
        for name, given in around.roles_of_others(user, databases):
            self._unless(USER_NOT_FOUND, taking(self._session, self.connection, name, given))

    def _refuse_claim(self, user: str, databases: Sequence[str], around: Surroundings | None) -> None:
        """Raise OperationError for a database that can't become this user's; one that exists may not be `around`."""
        if not databases:
            return
        for name in databases:
            if not name.startswith(f"{user}_") or self.refuse_database(name):
                raise OperationError(f"database {name!r} can't be {user}'s: its name does not start with {user}_")
            taken = around.same_name(name) if around else None
            if taken:
                raise OperationError(f"a database {taken!r} exists that is not proven to be {user}'s and is left alone")
        owners = {"user": {"$in": sorted(possible_owners(databases))}}
        for owner in read_accounts(self._session, self.connection, owners, credentials=False).values():
            both = sorted(set(owner.databases) & set(databases))
            if both:
                raise OperationError(f"the user {owner.existing.name!r} has the database {both[0]!r} already")

    def _open(self, account: Account) -> None:
        """Undo `lock_user`: roles, also those on other databases, restrictions, and accounts inside the databases."""
        marker = account.own_marker
        let_in(self._session, marker.insiders)
        self._update(
            account,
            replace(marker, locked=None, restrictions=(), roles=(), insiders=()),
            (*self._given_again(account.existing.name, marker.roles), *self._roles(account.databases)),
            authenticationRestrictions=list(marker.restrictions),
        )

    def _given_again(self, user: str, roles: Iterable[Role]) -> Iterator[Role]:
        """Give roles that somebody had given; one that was dropped meanwhile keeps nobody out."""
        for role, database in roles:
            try:
                self._change({"grantRolesToUser": user, "roles": role_documents([(role, database)])})
                yield role, database
            except OperationError as error:
                if error.code != ROLE_NOT_FOUND:
                    raise
                self.notes[""] = f"{user} had the role {role}@{database}, too, which is not there any more"

    def _end_sessions(self, user: str) -> None:
        end_operations(self._session, [{"user": user, "db": self._session.auth_database}])

    def _update(self, account: Account, marker: Marker, roles: Sequence[Role], **more: object) -> None:
        """Change marker and roles in one command; what others have written into customData stays."""
        parts = {"customData": marker.into(account.custom), "roles": role_documents(roles), **more}
        self._change({"updateUser": account.existing.name, **parts})

    def _change(self, body: Mapping[str, Any], password: Secret | None = None, database: str | None = None) -> None:
        """Send a change to the authentication database or another one; with a password always goes how it is kept."""
        self._seen = {}
        database = database or self._session.auth_database
        if password is None:
            self._session.change(database, body)
            return
        mechanisms = list(wanted_mechanisms(self.connection))
        text = password.reveal()
        self._session.change(database, {**body, "pwd": text, "mechanisms": mechanisms}, [text])

    def _unless(self, done: str, body: Mapping[str, Any], database: str | None = None) -> None:
        """Send a change; the error code that says that it was made before is a success."""
        try:
            self._change(body, database=database)
        except OperationError as error:
            if error.code != done:
                raise

    def _roles(self, databases: Sequence[str]) -> tuple[Role, ...]:
        return tuple((role, database) for database in databases for role in wanted_roles(self.connection))

    def _account(self, user: str) -> Account | None:
        return read_accounts(self._session, self.connection, {"user": user}, credentials=False).get(user)

    def _managed(self, user: str) -> Account:
        """Read an account just before a change. Raises OperationError for one that is not ours, or no longer there."""
        account = self._managed_if_any(user)
        if account is None:
            raise gone(user)
        return account

    def _managed_if_any(self, user: str) -> Account | None:
        account = self._account(user)
        if account:
            prove_managed(user, account.existing, self.connection.roster)
        return account
