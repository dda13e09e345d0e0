"""MySQL 8.0.21 and newer.

An account is ours by the ATTRIBUTE that CREATE USER sets in the same statement, and that names the account. There its
databases are written down, too, before they are created: killed in between, the next run sees whose each was to be.
Passwords travel as verifiers only, so neither general log nor binary log ever holds one.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar

from dbroster.engines.archiver import Archiver
from dbroster.engines.base import Owned, prove_own
from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Account, Key
from dbroster.engines.mysql.access.database_owners import Estate, Look
from dbroster.engines.mysql.access.grants import Grant
from dbroster.engines.mysql.access.markers import MADE, NEW, read_comment
from dbroster.engines.mysql.account_changes import MySQLUsers, accounts_list
from dbroster.engines.mysql.session import (
    DATABASE_EXISTS,
    FOREIGN_KEYS,
    LEFT_DIRECTORY,
    NOT_EMPTY_DIRECTORY,
    READ_ONLY_DATABASE,
    identifier,
    literal,
)
from dbroster.errors import OperationError
from dbroster.model.plan import Verb

ACCOUNTS_AT_ONCE = 100  # in one message; more gain nothing
DATABASES_AT_ONCE = 50  # looked at together
LISTED = frozenset({Verb.CREATE_USER, Verb.UPDATE_PASSWORD, Verb.LOCK_USER, Verb.DROP_USER})
READING = frozenset({"SELECT", "SHOW VIEW", "EXECUTE"})
FAR = 0.003  # seconds of a round trip from which on more sessions than usual pay
FAR_JOBS = 8


class MySQLHandler(MySQLUsers):
    """Changes the databases of a MySQL server; each method looks at the server again before it touches anything."""

    batch_sizes: ClassVar[Mapping[Verb, int]] = {
        **dict.fromkeys(LISTED, ACCOUNTS_AT_ONCE),
        **dict.fromkeys((Verb.CREATE_DATABASE, Verb.GRANT_PRIVILEGES, Verb.DROP_DATABASE), DATABASES_AT_ONCE),
    }
    together: ClassVar[Collection[Verb]] = batch_sizes.keys()

    drop_words: ClassVar[str] = "DROP DATABASE `{}`;"
    groups: ClassVar[int] = 2  # more would be more round trips

    def jobs(self) -> int:
        """More sessions for a server that is far away, where each statement is waited for."""
        return FAR_JOBS if self._round_trip > FAR and self.default_jobs > 2 else self.default_jobs

    # --- creating ---------------------------------------------------------------------------------------------------

    def create_databases(self, owned: Sequence[Owned]) -> None:
        """Claim databases for their users' accounts, create them, and note that they were created."""
        with self._looking(owned) as estates:
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

    def _refuse_foreign(self, estate: Estate) -> None:
        """Raise for a database that exists and is not the user's: without a claim, or with what dbroster never made."""
        self._targets(estate)
        if not estate.exists or estate.claim or estate.commented:
            return
        if estate.claim is None:
            raise OperationError(
                f"the database {estate.database} exists and is not {estate.user}'s; take it over with "
                f"--adopt {estate.user}, or rename it"
            )
        if self._filled([self.fold_database(estate.database)]):
            self._disclaim([estate])
            raise OperationError(
                f"somebody else has created and filled the database {estate.database}; rename it, or take it over "
                f"with --adopt {estate.user}"
            )

    def _targets(self, estate: Estate) -> list[Account]:
        """The user's accounts on configured hosts. Raises OperationError if there is none."""
        targets = [found for found in estate.accounts if found.host in self._view.hosts]
        if not targets:
            raise OperationError(f"{estate.user} has no account on a configured host; the next run creates it")
        return targets

    # --- privileges -------------------------------------------------------------------------------------------------

    def grant_databases(self, owned: Sequence[Owned]) -> None:
        """Give users' accounts exactly the wanted privileges, spelled right, and take those of all others."""
        with self._looking(owned) as estates:
            for estate in estates:
                if not estate.exists:
                    raise OperationError(f"there is no database {estate.database} any more; the next run creates it")
                self._refuse_foreign(estate)
            self._mark_and_grant(estates)

    def _mark_and_grant(self, estates: Sequence[Estate]) -> None:
        """Do all, or what can be done of one. Raises OperationError for the rest."""
        stuck = [text for text in map(self._stuck_on, estates) if text]
        if not (stuck and len(estates) > 1):
            with self._session.together():
                self._write_marks(estates)
                for estate in estates:
                    self._grant(estate)
        if stuck:
            raise OperationError(stuck[0])

    def _stuck_on(self, estate: Estate) -> str | None:
        return self._stuck(self._excess(estate), self._fine_rivals(estate.user, estate.database))

    def _grant(self, estate: Estate) -> None:
        """Grant before revoking, so that a user at work notices nothing."""
        targets = self._targets(estate)
        rules, spelled = self._rules, self._rules.spelled(estate.database)
        right = {grant.host: grant for grant in estate.grants if rules.fold(grant.pattern) == spelled}
        lacking = [t.key for t in targets if t.host not in right or not right[t.host].privileges >= rules.wanted]
        if lacking:
            listed = ", ".join(sorted(rules.wanted))
            self._session.run(f"GRANT {listed} ON {identifier(spelled)}.* TO {accounts_list(lacking)}")
        for grant, excess in self._excess(estate):
            self._revoke(grant, excess)
        self._revoke_fine(estate)

    def _excess(self, estate: Estate) -> list[tuple[Grant, Collection[str]]]:
        """What is to be taken away: from the user what is too much or spelled wrong, from others everything."""
        rules, spelled = self._rules, self._rules.spelled(estate.database)
        own = [
            (grant, grant.privileges - (rules.wanted if rules.fold(grant.pattern) == spelled else frozenset()))
            for grant in estate.grants
        ]
        rivals = [(grant, grant.privileges) for grant in self._rivals(estate.user, estate.database)]
        return [(grant, excess) for grant, excess in (*own, *rivals) if excess]

    def _revoke(self, grant: Grant, excess: Collection[str]) -> None:
        if excess and self._may_revoke(grant):
            self._session.run(ways_in.revoke(grant, excess))

    def _revoke_fine(self, estate: Estate) -> None:
        for fine in self._fine_rivals(estate.user, estate.database):
            if self._may_revoke_fine(fine):
                self._session.run(fine.revoke())

    def _rivals(self, user: str, database: str) -> list[Grant]:
        """Grants that let other users of the roster in; they are rare, so all grants are read once per connection."""
        if self._grants_of_all is None:
            accounts = self._read_accounts()
            self._grants_of_all, self._fine = self._table(accounts, self._read_grants()), self._fine_table(accounts)
        return [grant for grant in self._grants_of_all.reaching(database) if grant.user != user]

    def adopt_database(self, user: str, database: str) -> None:
        """Claim a foreign database for a user, and grant it, unless it is protected or somebody else's."""
        found = self.get_existing_databases().get(self.fold_database(database))
        reason = "there is no such database" if found is None else found.protected
        if reason or (found and found.owner not in (None, user)):
            raise OperationError(f"{database} can't be adopted for {user}: {reason or 'somebody else has it'}")
        self._mark_and_grant([self._estate(user, database)])

    # --- dropping ---------------------------------------------------------------------------------------------------

    def drop_databases(self, owned: Sequence[Owned]) -> None:
        """Drop databases, the grants on them, and the claims, which go last."""
        with self._looking(owned) as estates:
            self._drop_databases(estates)

    def _drop_databases(self, estates: Sequence[Estate]) -> None:
        for estate in estates:
            if estate.exists:
                owner = estate.user if estate.is_theirs else None
                prove_own(estate.user, estate.database, owner, "no account of theirs claims it; drop it by hand")
        theirs = [estate for estate in estates if estate.is_theirs]
        for estate in theirs:
            if stuck := self._stuck((grant, grant.privileges) for grant in estate.grants):
                raise OperationError(stuck)
        for estate in theirs:
            self._drop_schema(estate.user, self.fold_database(estate.database))
        with self._session.together():
            for estate in theirs:
                for grant in (*estate.grants, *self._named_rivals(estate)):
                    self._revoke(grant, grant.privileges)
                self._revoke_fine(estate)
            self._disclaim(theirs)

    def _named_rivals(self, estate: Estate) -> list[Grant]:
        """Grants of others on this very name, which would open a later database of that name to them."""
        rivals = self._rivals(estate.user, estate.database)
        return [grant for grant in rivals if self._rules.fold(grant.pattern) == self._rules.spelled(estate.database)]

    def _drop_schema(self, user: str, name: str) -> None:
        drop = f"DROP DATABASE IF EXISTS {identifier(name)}"
        try:
            self._session.run(drop, of_database=True, long=True)
            self._look_for_leftovers(name)
        except OperationError as error:
            if error.code == NOT_EMPTY_DIRECTORY:
                raise self._leftover(name, "its tables are gone") from None
            if error.code == READ_ONLY_DATABASE:
                self._session.run(f"ALTER DATABASE {identifier(name)} READ ONLY = 0", of_database=True)
                self._session.run(drop, of_database=True, long=True)
            elif error.code in FOREIGN_KEYS:
                self._drop_referenced(user, name, drop, error)
            else:
                raise

    def _look_for_leftovers(self, name: str) -> None:
        """MySQL drops a database and merely warns that its directory stays, where no database can be made any more."""
        if self._session.warned:
            codes = {row["Code"] for row in self._session.rows("SHOW WARNINGS")}
            if LEFT_DIRECTORY in codes:
                raise self._leftover(name, "it is dropped, and can't be made again")

    def _leftover(self, name: str, what: str) -> OperationError:
        path = f"{self._settings.get('datadir', '')}{name}"
        return OperationError(
            f"the directory of the database {name} has files in it that are not the server's ({what}); look at {path} "
            f"on the server and remove it",
            NOT_EMPTY_DIRECTORY,
        )

    def _drop_referenced(self, user: str, name: str, drop: str, error: OperationError) -> None:
        """Drop what foreign keys of the same user's other databases refer to; those of others are not broken."""
        rows = self._session.rows(
            "SELECT DISTINCT CONSTRAINT_SCHEMA AS db, TABLE_NAME AS name "
            "FROM information_schema.REFERENTIAL_CONSTRAINTS "
            "WHERE UNIQUE_CONSTRAINT_SCHEMA = %s AND CONSTRAINT_SCHEMA <> %s",
            name,
            name,
        )
        others = sorted(f"{row['db']}.{row['name']}" for row in rows if not self._rules.belongs(user, row["db"]))
        if others or not rows:
            which = ", ".join(others) or "which ones, the admin account can't see"
            raise OperationError(
                f"{error}: tables of other databases refer to it by foreign keys ({which}); drop those keys first",
                error.code,
            )
        self._session.run("SET SESSION foreign_key_checks = 0")
        try:
            self._session.run(drop, of_database=True, long=True)
        finally:
            self._session.run("SET SESSION foreign_key_checks = 1")

    def archive_database(self, user: str, database: str) -> None:
        """Take the user's privileges on it and end his sessions, so that nobody writes until it is dropped.

        A session that is elsewhere may have an open transaction in it, and a COMMIT needs no privilege.
        While it is read, the user may read it, too: views are worked out with the privileges of who has made them.
        """
        found = self.get_existing_databases().get(self.fold_database(database))
        if not (found and found.owner == user and found.usable):
            super().archive_database(user, database)
            return
        estate = self._estate(user, database)
        keys = [found.key for found in estate.accounts]
        where = f"{identifier(self._rules.spelled(database))}.*"
        reading = ", ".join(sorted(READING & self._rules.wanted))
        with self._session.together():
            if reading:
                self._session.run(f"GRANT {reading} ON {where} TO {accounts_list(keys)}")
            for grant in estate.grants:
                exact = grant.pattern == self._rules.spelled(database)
                self._revoke(grant, grant.privileges - (READING if exact else frozenset()))
        self._end_sessions({user})
        try:
            super().archive_database(user, database)
        finally:
            if reading:
                self._session.run(f"REVOKE {reading} ON {where} FROM {accounts_list(keys)}")

    # --- looking ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _looking(self, owned: Sequence[Owned]) -> Iterator[list[Estate]]:
        """Look at databases and their users at once; in the block, nothing of that is looked at again."""
        self._ahead = self._look({user for user, _ in owned}, {database for _, database in owned})
        try:
            yield [self._estate(user, database) for user, database in owned]
        finally:
            self._ahead = None

    def _estate(self, user: str, database: str) -> Estate:
        if not self._rules.belongs(user, database):
            raise OperationError(f"{database} is no name of a database of {user}")
        look = self._ahead or self._look([user], [database])
        accounts = self._ours([user])
        keys = {found.key for found in accounts}
        folded, template = self.fold_database(database), self._rules.template(user, database)
        grants = [g for g in look.grants if (g.user, g.host) in keys and folded in self._rules.names(g)]
        claims = [found.claims[template] for found in accounts if template in found.claims]
        said = read_comment(look.databases.get(folded, ""))
        commented = (
            bool(accounts)
            and said is not None
            and ((said.roster, said.user, self.fold_database(said.database)) == (self._view.roster, user, folded))
        )
        claim = any(claims) if claims else None
        return Estate(user, database, accounts, grants, folded in look.databases, claim, commented)

    def _look(self, users: Collection[str], databases: Collection[str]) -> Look:
        names = tuple({self.fold_database(database) for database in databases})
        return Look(self._read_accounts(users), self._read_grants(users), self._read_databases(names))

    def archiver(self) -> Archiver:
        """By the product's own dump program and client."""
        from dbroster.engines.mysql.archive.archiver import MySQLArchiver

        return MySQLArchiver(self.connection, self._session, self.product, self._patterns)

    def _patterns(self, user: str) -> list[str]:
        """How grants spell the databases that are the user's."""
        return [
            self._rules.spelled(name) for name, found in self.get_existing_databases().items() if found.owner == user
        ]

    # --- statements that MariaDB words differently ------------------------------------------------------------------

    def _create_statement(self, estate: Estate) -> str:
        name, charset = identifier(self.fold_database(estate.database)), self._options.charset
        return f"CREATE DATABASE {name} CHARACTER SET {literal(charset)}"

    def _write_databases(self, estates: Sequence[Estate]) -> None:
        """Claim, create, and note that all were created."""
        self._claim_for([estate for estate in estates if estate.claim is None], NEW)
        for estate in estates:
            if not estate.exists:
                self._session.run(self._create_statement(estate), of_database=True)
        self._write_marks(estates)

    def _write_marks(self, estates: Sequence[Estate]) -> None:
        """Write down that these databases are their users', on every account that does not say so yet."""
        self._claim_for(estates, MADE)

    def _disclaim(self, estates: Sequence[Estate]) -> None:
        self._claim_for([estate for estate in estates if estate.claim is not None], None)

    def _claim_for(self, estates: Sequence[Estate], state: str | None) -> None:
        """Write to those accounts that say something else."""
        keys: dict[str, list[Key]] = {}
        owned = []
        for estate in estates:
            template = self._rules.template(estate.user, estate.database)
            wanted = {None: None, NEW: False, MADE: True}[state]
            if any(found.claims.get(template) is not wanted for found in estate.accounts):
                owned.append((estate.user, estate.database))
                keys[estate.user] = [found.key for found in estate.accounts]
        self._claim(owned, state, keys)
