"""What keeps a role of PostgreSQL from being dropped: objects and privileges elsewhere, named where possible."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import LiteralString, NamedTuple

from dbroster.engines.postgresql.options import NAME_BYTES
from dbroster.engines.postgresql.session import Session, open_session, quoted
from dbroster.errors import OperationError, ServerError
from dbroster.model.connection import Connection

_SHOWN = 3
"""So many objects of a role are named, and so many databases are looked into."""

# shared objects have no database; a DROP ROLE takes memberships of its own along, but none that the role has given
_FOUND: LiteralString = """
    SELECT * FROM (
        SELECT r.rolname, coalesce(d.datname, o.datname, '') AS place, d.oid IS NULL, s.deptype = 'o',
            s.classid, s.objid, s.objsubid,
            CASE WHEN d.oid IS NULL THEN pg_describe_object(s.classid, s.objid, 0) END,
            EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.usename = r.rolname AND a.datid = s.dbid),
            count(*) OVER (PARTITION BY r.oid, s.dbid) AS total,
            row_number() OVER (PARTITION BY r.oid, s.dbid ORDER BY s.classid, s.objid, s.objsubid) AS number
        FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid LEFT JOIN pg_database d ON d.oid = s.dbid
            LEFT JOIN pg_database o ON s.classid = 'pg_database'::regclass AND o.oid = s.objid
        WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY(%s)
            AND coalesce(d.datname, o.datname, '') <> ALL(%s)
    ) found WHERE number <= 3 OR found.classid = 'pg_database'::regclass ORDER BY 1, 2, number"""

_CODE = (1255, 1259)
"""The catalogs pg_proc and pg_class: functions, and what may have an index or a rule that calls one."""

_OWN: LiteralString = "SELECT datname FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE rolname = ANY(%s)"

_NAMES: LiteralString = """
    SELECT pg_describe_object(c, o, s) FROM unnest(%s::oid[], %s::oid[], %s::int[]) WITH ORDINALITY AS x (c, o, s, n)
    ORDER BY n"""


class Dependency(NamedTuple):
    """Something that needs a role: an object in a database, or (`shared`) one of the server, as a database itself is.

    `name` is that of a shared one. `owned`, or else only privileges. `passing`: the user is in that database, and it
    may end with the session. `total`: how many there are in this place; no more than three in one are listed.
    """

    user: str
    database: str
    shared: bool
    owned: bool
    address: tuple[int, int, int]
    name: str
    passing: bool
    total: int


def dependencies(session: Session, users: Collection[str], without: Collection[str] = ()) -> list[Dependency]:
    """Find what needs these roles, in all databases but those that will be gone."""
    return [
        Dependency(user, database, shared, owned, (kind, number, part), name or "", passing, total)
        for user, database, shared, owned, kind, number, part, name, passing, total, _ in session.rows(
            _FOUND, [list(users), list(without)]
        )
    ]


def living_on(session: Session, connection: Connection, locked: Collection[str]) -> Iterator[str]:
    """Say where others can run code with the rights of users who are locked: a function, or a table with an index."""
    own = [name for (name,) in session.rows(_OWN, [list(locked)])]
    by_user: defaultdict[str, list[Dependency]] = defaultdict(list)
    for found in dependencies(session, locked, own):
        if found.owned and not found.shared and found.address[0] in _CODE:
            by_user[found.user].append(found)
    for number, (user, code) in enumerate(by_user.items()):
        places = ", ".join(dict.fromkeys(each.database for each in code))
        text = f"{user} is locked, but whoever works in {places} can run code with his rights"
        yield f"{text}: {explain(session, connection, code)}" if number < _SHOWN else text


def explain(session: Session, connection: Connection, found: Sequence[Dependency]) -> str:
    """Say what one role still has, where, and which statements free it."""
    by_place: defaultdict[str, list[Dependency]] = defaultdict(list)
    for dependency in found:
        by_place["" if dependency.shared else dependency.database].append(dependency)
    told = [_told(session, connection, place, own) for place, own in sorted(by_place.items())[:_SHOWN]]
    rest = f" And it has more in {len(by_place) - _SHOWN} other databases." if len(by_place) > _SHOWN else ""
    return f"{' '.join(told)}{rest} Until then it stays locked."


def _told(session: Session, connection: Connection, place: str, found: Sequence[Dependency]) -> str:
    user, more = found[0].user, (found[0].total if place else len(found)) - _SHOWN
    named = ", ".join(_described(session, connection, place, found[:_SHOWN]))
    named += f" and {more} more" if more > 0 else ""
    own = [name for (name,) in session.rows(_OWN, [[user]])]
    if not place:
        return f"it still has {named}: {' '.join(dict.fromkeys(_freed(each, own) for each in found[:_SHOWN]))}"
    drop = f"DROP OWNED BY {quoted(user)};"
    keep = f" or, {_KEPT}, first {_handed_over(user, own)}" if any(each.owned for each in found) else ""
    return f"it still has {named} in {place}: connect to {place} and run {drop}{keep}"


_KEPT = "to keep what it owns (never as your own: its code would get your power)"


def _handed_over(user: str, databases: Sequence[str]) -> str:
    """Give what a user has made to a role without any power: whoever owns a function lends his power to it.

    The databases that are still his stay so: the server would hand them over, too.
    """
    heir = quoted(f"left_{user}"[:NAME_BYTES])
    back = "".join(f" ALTER DATABASE {quoted(name)} OWNER TO {quoted(user)};" for name in databases)
    return f"CREATE ROLE {heir}; REASSIGN OWNED BY {quoted(user)} TO {heir};{back}"


def _freed(dependency: Dependency, databases: Sequence[str]) -> str:
    name, user = quoted(dependency.database), quoted(dependency.user)
    if not dependency.database:  # a tablespace, a parameter, a membership that the role has given to another one
        return _handed_over(dependency.user, databases) if dependency.owned else f"DROP OWNED BY {user};"
    if dependency.owned:
        return f"ALTER DATABASE {name} OWNER TO CURRENT_USER;"
    return f"REVOKE ALL ON DATABASE {name} FROM {user};"


def _described(session: Session, connection: Connection, place: str, found: Sequence[Dependency]) -> Iterator[str]:
    names = [each.name for each in found] if not place else _names(session, connection, place, found)
    for dependency, name in zip(found, names, strict=True):
        yield name if dependency.owned else f"privileges on {name}"


def _names(session: Session, connection: Connection, place: str, found: Sequence[Dependency]) -> list[str]:
    """Ask in that database how its objects are called, if the admin may enter it."""
    columns = [list(column) for column in zip(*(each.address for each in found), strict=True)]
    try:
        if place == session.raw.info.dbname:
            return [name or "an object" for (name,) in session.rows(_NAMES, columns)]
        with closing(open_session(connection, place)) as inside:
            return [name or "an object" for (name,) in inside.rows(_NAMES, columns)]
    except (OperationError, ServerError):
        return ["an object" for _ in found]
