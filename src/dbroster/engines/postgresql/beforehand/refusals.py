"""What a plan asks for that PostgreSQL must refuse, as its catalogs show before anything is tried."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import LiteralString

from dbroster.engines.postgresql import statements
from dbroster.engines.postgresql.beforehand.warnings import out_of_reach
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.removal.dependencies import Dependency, dependencies, explain
from dbroster.engines.postgresql.removal.eviction import blockers
from dbroster.engines.postgresql.session import Session, quoted
from dbroster.errors import OperationError
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb

_LAST_OF_SERVER = 34
"""The last of the encodings that a database can have; those behind it are for clients only."""

_UTF8 = 6

_OWNERS: LiteralString = """
    SELECT d.datname, r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
    WHERE d.datname = ANY(%s) AND NOT pg_has_role(r.oid, 'USAGE')"""

_ENCODINGS: LiteralString = """
    SELECT pg_char_to_encoding(%(encoding)s), t.datcollate, (
        SELECT array_agg(c.collencoding) FROM pg_collation c
        WHERE c.collcollate = coalesce(nullif(%(locale)s, ''), t.datcollate) AND c.collencoding >= 0)
    FROM pg_database t WHERE t.datname = 'template0'"""


def foresee(session: Session, connection: Connection, actions: Sequence[Action]) -> list[str | None]:
    """Say for each action why it must fail; a few queries, however many actions there are."""
    foreseen = _Foresight(session, connection, actions)
    return [foreseen.reason(action) for action in actions]


class _Foresight:
    """What the catalogs tell of the objects in a plan."""

    def __init__(self, session: Session, connection: Connection, actions: Sequence[Action]) -> None:
        self._session = session
        self._connection = connection
        self._dropped = _databases(actions, Verb.DROP_DATABASE)
        self._granted = _databases(actions, Verb.GRANT_PRIVILEGES)
        self._unreachable = set(out_of_reach(session, sorted({action.user for action in actions})))
        self._acting = self._member_of(self._unreachable)
        self._owners = self._foreign_owners(_databases(actions, Verb.ADOPT))
        self._blocked = blockers(session, self._dropped) if self._dropped else {}
        self._needed = self._dependencies([action.user for action in actions if action.verb is Verb.DROP_USER])
        self._impossible = self._encoding() if _databases(actions, Verb.CREATE_DATABASE) else None

    def reason(self, action: Action) -> str | None:
        """Say why an action must fail."""
        if action.user in self._unreachable - (self._acting if action.database else set()):
            grant = self._session.text(statements.give_administration([action.user], self._session.admin))
            return f"this admin may not change {action.user}, which it has not created; a superuser runs: {grant}"
        database = action.database or ""
        if action.verb is Verb.ADOPT and self._owners.get(database, action.user) != action.user:
            statement = f"ALTER DATABASE {quoted(database)} OWNER TO {quoted(self._session.admin)};"
            whose = f"{database} belongs to {self._owners[database]}, and this admin may not take it from there"
            return f"{whose}; a superuser runs: {statement}"
        if action.verb is Verb.CREATE_DATABASE:
            return self._impossible
        if action.verb is Verb.DROP_DATABASE:
            return "; ".join(self._blocked.get(database, [])) or None
        if action.verb is Verb.DROP_USER and (found := self._needed.get(action.user)):
            return f"{action.user} can't be dropped: {explain(self._session, self._connection, found)}"
        return None

    def _member_of(self, users: Collection[str]) -> set[str]:
        """For whom this admin may act, though it may not change them."""
        query: LiteralString = (
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)"
            " AND pg_has_role(oid, 'USAGE') AND pg_has_role(oid, 'SET')"
        )
        return {name for (name,) in self._session.rows(query, [list(users)])} if users else set()

    def _foreign_owners(self, databases: Collection[str]) -> Mapping[str, str]:
        if self._session.superuser or not databases:
            return {}
        return dict(self._session.rows(_OWNERS, [list(databases)]))

    def _dependencies(self, users: Collection[str]) -> Mapping[str, list[Dependency]]:
        """Leave out what this plan drops or takes back itself, and what ends with a session."""
        found: defaultdict[str, list[Dependency]] = defaultdict(list)
        for dependency in dependencies(self._session, users, self._dropped) if users else ():
            taken_back = dependency.shared and not dependency.owned and dependency.database in self._granted
            if not dependency.passing and not taken_back:
                found[dependency.user].append(dependency)
        return found

    def _encoding(self) -> str | None:
        """Say why no database can have the encoding and the locale of connections.yaml."""
        options = PostgreSQLOptions.of(self._connection)
        encoding, locale = options.encoding, options.locale
        ((number, usual, fitting),) = self._session.rows(_ENCODINGS, {"encoding": encoding, "locale": locale})
        if not 0 <= number <= _LAST_OF_SERVER:
            return f"the server knows no encoding {encoding!r} for databases: correct `encoding` in connections.yaml"
        if locale and not self._knows(locale):
            return f"the server's machine has no locale {locale!r}: install it there, or correct `locale`"
        used = locale or usual
        if used.lower().endswith((".utf-8", ".utf8")):
            fitting = [_UTF8]
        if used not in ("C", "POSIX") and fitting and number not in fitting and encoding.upper() != "SQL_ASCII":
            return f"the encoding {encoding} does not fit the locale {used}: set `locale: C`, or another `encoding`"
        return None

    def _knows(self, locale: str) -> bool:
        """Let the server look for a locale; nothing stays set."""
        try:
            self._session.rows("SELECT set_config('lc_monetary', %s, true)", [locale])
        except OperationError:
            return False
        return True


def _databases(actions: Sequence[Action], verb: Verb) -> set[str]:
    return {action.database for action in actions if action.verb is verb and action.database}
