"""The accounts, grants and databases of a server: asked for right now, or as they were when all were read."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import NamedTuple

from dbroster.engines.base import Owned, prove_managed
from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Account, Key, Ownership
from dbroster.engines.mysql.access.clients import Hosts
from dbroster.engines.mysql.access.database_owners import Claims, Comments, Estate, Survey, names
from dbroster.engines.mysql.access.grants import Grant, GrantTable, Rules
from dbroster.engines.mysql.access.markers import read_comment
from dbroster.engines.mysql.access.ways_in import FineGrant
from dbroster.engines.mysql.session import Session
from dbroster.errors import OperationError

# tables with a column for each privilege are read with all of them as one text or word: the driver takes a microsecond
# for each value
_GRANTS = "SELECT User, Host, Db, CONCAT({privileges}) AS flags FROM mysql.db"
_FINE_GRANTS = """
    SELECT User, Host, Db, Table_name AS name, '' AS kind, '' AS col, CAST(Table_priv AS CHAR) AS privileges
        FROM mysql.tables_priv
    UNION ALL SELECT User, Host, Db, Table_name, '', Column_name, CAST(Column_priv AS CHAR) FROM mysql.columns_priv
    UNION ALL SELECT User, Host, Db, Routine_name, CAST(Routine_type AS CHAR), '', CAST(Proc_priv AS CHAR)
        FROM mysql.procs_priv"""
_SIZES = """
    SELECT SUBSTRING_INDEX(NAME, '/', 1) AS db, SUM(FILE_SIZE) AS size FROM information_schema.{spaces}
    WHERE NAME LIKE '%/%' GROUP BY db"""
_NAMED_AT_ONCE = 50  # parts of one query


class Accounts(NamedTuple):
    """Accounts; who holds which role, as (role, grantee); and who has global privileges, also by a role."""

    found: Sequence[Account]
    edges: Sequence[tuple[Key, Key]]
    powerful: Set[Key]


class _Ahead(NamedTuple):
    """What the server says right now of some users and databases, before they are changed."""

    accounts: Sequence[Account]
    grants: Sequence[Grant]
    databases: Comments


Reader = Callable[[Collection[str] | None], Accounts]
"""Reads the accounts of these names, or all, in a fixed number of queries."""


class State:
    """What stands on one server. `every`: its accounts as they were last read; `grants`, `survey`: its databases."""

    def __init__(self, session: Session, ownership: Ownership, rules: Rules, read_accounts: Reader) -> None:
        self.ownership = ownership
        self.rules = rules
        self.read_accounts = read_accounts
        self.every = Accounts((), (), frozenset())
        self.grants: Sequence[Grant] = ()
        self.survey: Survey | None = None
        self.fine_unseen = False
        self._session = session
        self._read_at: int | None = None
        self._ahead: _Ahead | None = None
        self._reach: tuple[GrantTable, Mapping[str, Sequence[FineGrant]]] | None = None

    # --- all of it --------------------------------------------------------------------------------------------------

    def read_every_account(self) -> Sequence[Account]:
        """Read all accounts, and keep them for `every_account`."""
        self.every = self.read_accounts(None)
        self._read_at = self._session.statements_run
        return self.every.found

    def every_account(self) -> Sequence[Account]:
        """Return all accounts as they were read, if nothing was changed since."""
        if self._read_at != self._session.statements_run:
            self.every = self.read_accounts(None)
        return self.every.found

    def read_every_database(self) -> Survey:
        """Read all databases that the admin can see, and what all accounts have on them."""
        accounts, self.grants = self.every_account(), self.read_grants()
        databases = self.read_databases()
        claims = Claims(accounts, self.ownership, self.rules)
        there = {self.rules.fold(name) for name in databases}
        doubtful = [name for name in claims.unfinished if name in there]
        table, fine = self._reach = self._reaching(accounts, self.grants)
        self.survey = Survey(
            databases, claims, table, self.grants, self.rules, self.ownership, self.filled(doubtful),
            self._session.is_mariadb, fine,
        )  # fmt: skip
        return self.survey

    def owners(self) -> Mapping[str, str]:
        """Whose each database is that is somebody's, as far as they were read."""
        return self.survey.owners if self.survey else {}

    def read_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Read how large databases are by the files of their tables, whose names InnoDB spells as the files'."""
        spaces = "INNODB_SYS_TABLESPACES" if self._session.is_mariadb else "INNODB_TABLESPACES"
        found = {_unfiled(row["db"]): int(row["size"]) for row in self._session.rows(_SIZES.format(spaces=spaces))}
        return {name: found.get(name, 0) for name in names if name.isascii()}

    def patterns(self, user: str) -> list[str]:
        """How grants spell the databases that are the user's."""
        described = self.read_every_database().described
        return [self.rules.spelled(name) for name, found in described.items() if found.owner == user]

    # --- what is ours, right now ------------------------------------------------------------------------------------

    def ours(self, users: Iterable[str]) -> list[Account]:
        """Find the accounts that carry our marker, right now. Raises OperationError if one in their place does not."""
        parts = {(name, host) for name, _, host in (user.partition("@") for user in users)}
        names = {name for name, _ in parts}
        for name in names:
            if reason := self.ownership.protection(name):
                raise OperationError(f"{name} is never touched: {reason}")
        accounts = [
            found
            for found in self.accounts_of(names)
            if found.key in parts or ((found.name, "") in parts and self.ownership.concerns(found))
        ]
        for found in accounts:
            prove_managed(found.name, self.ownership.existing(found), self.ownership.roster)
        return accounts

    def accounts_of(self, users: Collection[str]) -> list[Account]:
        """Find the accounts of these names, others' as well."""
        accounts = self._ahead.accounts if self._ahead else self.read_accounts(users).found
        return [found for found in accounts if found.name in users]

    def hosts_of(self, names: Collection[str]) -> dict[str, Hosts]:
        """Find for each name the hosts of its accounts."""
        hosts = {name: Hosts(set(), set()) for name in names}
        for found in self.accounts_of(names):
            own = hosts[found.name]
            (own.ours if self.ownership.is_ours(found) else own.others).add(found.host)
        return hosts

    @contextmanager
    def looking(self, owned: Sequence[Owned]) -> Iterator[list[Estate]]:
        """Look at databases and their users at once; in the block, nothing of that is looked at again."""
        self._ahead = self._read({user for user, _ in owned}, {database for _, database in owned})
        try:
            yield [self.estate(user, database) for user, database in owned]
        finally:
            self._ahead = None

    def estate(self, user: str, database: str) -> Estate:
        """Look at one database and its user. Raises OperationError if they can't belong together."""
        if not self.rules.belongs(user, database):
            raise OperationError(f"{database} is no name of a database of {user}")
        read = self._ahead or self._read([user], [database])
        accounts = self.ours([user])
        keys = {found.key for found in accounts}
        folded, template = self.rules.fold(database), self.rules.template(user, database)
        grants = [g for g in read.grants if (g.user, g.host) in keys and folded in self.rules.names(g)]
        claims = [found.claims[template] for found in accounts if template in found.claims]
        said = read_comment(read.databases.get(folded, ""))
        commented = bool(accounts) and names(said, user, folded, self.ownership, self.rules)
        claim = any(claims) if claims else None
        return Estate(user, database, template, accounts, grants, folded in read.databases, claim, commented)

    def _read(self, users: Collection[str], databases: Collection[str]) -> _Ahead:
        folded = {self.rules.fold(database) for database in databases}
        return _Ahead(self.read_accounts(users).found, self.read_grants(users), self.read_databases(folded))

    # --- some of it -------------------------------------------------------------------------------------------------

    def read_grants(self, users: Collection[str] | None = None) -> list[Grant]:
        """Read mysql.db: information_schema has the same in a form that takes ten times as long."""
        columns = self._session.privilege_columns("db")
        statement = _GRANTS.format(privileges=", ".join(columns))
        some = ("", ()) if users is None else (" WHERE User IN %s", (tuple(users),))
        return self._session.converted(lambda row: Grant.of(row, columns), statement + some[0], *some[1])

    def read_databases(self, names: Collection[str] | None = None) -> dict[str, str]:
        """Read the names and comments of these databases, or of all that the admin can see.

        MariaDB is asked for each one by itself: for a list it would look through the directory of all of them.
        """
        comment = "SCHEMA_COMMENT" if self._session.is_mariadb else "''"
        statement = f"SELECT SCHEMA_NAME AS name, {comment} AS text FROM information_schema.SCHEMATA"  # noqa: S608 - constants
        if names is None:
            return {row["name"]: row["text"] for row in self._session.rows(statement)}
        if self._session.is_mariadb:
            one, listed = f"{statement} WHERE SCHEMA_NAME = %s", list(names)
            parts = [listed[start : start + _NAMED_AT_ONCE] for start in range(0, len(listed), _NAMED_AT_ONCE)]
            rows = [row for part in parts for row in self._session.rows(" UNION ALL ".join([one] * len(part)), *part)]
        else:
            rows = self._session.rows(f"{statement} WHERE SCHEMA_NAME IN %s", tuple(names))
        return {self.rules.fold(row["name"]): row["text"] for row in rows}

    def filled(self, names: Collection[str]) -> set[str]:
        """Find the databases that have anything in them."""
        kinds = (("TABLE_SCHEMA", "TABLES"), ("ROUTINE_SCHEMA", "ROUTINES"), ("EVENT_SCHEMA", "EVENTS"))
        parts = [
            f"SELECT DISTINCT {column} AS name FROM information_schema.{table} WHERE {column} IN %s"  # noqa: S608 - constants
            for column, table in kinds
        ]
        rows = self._session.rows(" UNION ".join(parts), *[tuple(names)] * len(parts)) if names else ()
        return {self.rules.fold(row["name"]) for row in rows}

    # --- who reaches a database -------------------------------------------------------------------------------------

    def own(self, user: str, database: str) -> list[Grant]:
        """Find a user's grants on a database by its name, in either spelling."""
        return [grant for grant in self._reached[0].on(database) if grant.user == user]

    def rivals(self, user: str, database: str) -> list[Grant]:
        """Find the grants that let other users of the roster in; all grants are read once for that."""
        return [grant for grant in self._reached[0].reaching(database) if grant.user != user]

    def fine_rivals(self, user: str, database: str) -> list[FineGrant]:
        """Find what other users have on single tables and routines of a database."""
        return [grant for grant in self.fine.get(self.rules.fold(database), ()) if grant.user != user]

    @property
    def fine(self) -> Mapping[str, Sequence[FineGrant]]:
        """What our accounts have on single tables and routines, by database."""
        return self._reached[1]

    @property
    def _reached(self) -> tuple[GrantTable, Mapping[str, Sequence[FineGrant]]]:
        if self._reach is None:
            self._reach = self._reaching(self.read_accounts(None).found, self.read_grants())
        return self._reach

    def _reaching(
        self, accounts: Iterable[Account], grants: Iterable[Grant]
    ) -> tuple[GrantTable, dict[str, list[FineGrant]]]:
        ours = {found.key for found in accounts if self.ownership.is_ours(found)}
        near = (grant for grant in grants if (grant.user, grant.host) in ours or ways_in.is_public(grant))
        return GrantTable(near, self.rules), self._read_fine(ours)

    def _read_fine(self, ours: Collection[Key]) -> dict[str, list[FineGrant]]:
        """Read what these accounts have on single tables and routines, if the admin may see it."""
        try:
            grants = self._session.converted(FineGrant.of, _FINE_GRANTS)
        except OperationError:
            self.fine_unseen = True
            return {}
        return ways_in.by_database(grants, ours, self.rules)


def _unfiled(name: str) -> str:
    """Return the database whose files have this name: `bob@002dx` is `bob-x`."""
    return re.sub("@([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), name)
