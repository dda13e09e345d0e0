"""Who of a roster has which privileges on databases: by grants on them, on patterns of names, and on everything."""

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dbroster.engines.clickhouse.access.admin_privileges import Tree
from dbroster.engines.clickhouse.markers import OURS
from dbroster.engines.clickhouse.session import Session, bare, identifier

_GRANTS = f"""
    SELECT assumeNotNull(user_name) AS user, ifNull(database, '') AS place,
        groupUniqArrayIf(toString(access_type), table IS NULL AND column IS NULL AND NOT is_partial_revoke)
            AS whole,
        groupUniqArrayIf(toString(access_type), table IS NULL AND column IS NULL AND is_partial_revoke) AS taken,
        groupUniqArrayIf(toString(access_type), (table IS NOT NULL OR column IS NOT NULL) AND NOT is_partial_revoke)
            AS parts,
        groupUniqArrayIf(toString(access_type), grant_option AND NOT is_partial_revoke) AS passed,
        countIf((table IS NOT NULL OR column IS NOT NULL) AND is_partial_revoke) AS cuts
    FROM system.grants
    WHERE user_name IN ({OURS})"""  # noqa: S608 - a constant
_ON = " AND (database IS NULL OR database IN ({databases}))"
_END = " GROUP BY user_name, database"
_PATTERN = re.compile(r"GRANT .* ON (`(?:[^`\\]|\\.)*`|\w+)\*\.\* TO ")
_HELD = """
    SELECT DISTINCT assumeNotNull(user_name), assumeNotNull(database) FROM system.grants
    WHERE user_name IS NOT NULL AND database IS NOT NULL AND NOT is_partial_revoke"""

Privileges = frozenset[str]


class Entry(NamedTuple):
    """What one user has on one database by grants that name it or begin its name, as the server groups privileges.

    `taken`: partial revokes. `parts`: on some tables or columns only. `option`: may be passed on. `cut`: some tables
    are excepted. `everywhere`: what the user has on all databases; nothing of that is a grant on this one.
    """

    whole: Privileges = frozenset()
    taken: Privileges = frozenset()
    parts: Privileges = frozenset()
    option: Privileges = frozenset()
    cut: bool = False
    everywhere: Privileges = frozenset()

    def held(self, tree: Tree) -> Privileges:
        """The privileges by grants on this database."""
        return tree.leaves(self.whole) - tree.leaves(self.taken)

    def surplus(self, tree: Tree, wanted: Privileges) -> Privileges:
        """What is more than wanted: other privileges, on parts of the database, or with the right to pass them on."""
        return (self.held(tree) - wanted) | tree.leaves(self.parts) | tree.leaves(self.option)

    def suffices(self, tree: Tree, wanted: Privileges) -> bool:
        """Whether all wanted privileges are held, be it on all databases."""
        held = tree.leaves(self.whole | self.everywhere) - tree.leaves(self.taken)
        return wanted <= held and not self.cut


class Grants(NamedTuple):
    """What users of the roster have, by database and user; and by user on everything (`everywhere`).

    `nodes`: the same for each node of a cluster; what somebody has on any of them is in `entries`.
    """

    entries: Mapping[str, Mapping[str, Entry]] = {}
    everywhere: Mapping[str, Privileges] = {}
    nodes: Sequence["Grants"] = ()

    def on(self, database: str) -> Mapping[str, Entry]:
        """What is granted on one database."""
        return self.entries.get(database, {})

    def suffice(self, database: str, user: str, tree: Tree, wanted: Privileges) -> bool:
        """Whether one user has all wanted privileges on one database, on every node."""
        return all(each.of(database, user).suffices(tree, wanted) for each in self.nodes or [self])

    def of(self, database: str, user: str) -> Entry:
        """What one user has on one database, on any node."""
        return self.on(database).get(user, Entry(everywhere=self.everywhere.get(user, frozenset())))


def read_grants(session: Session, databases: Sequence[str], *, few: bool = False) -> Grants:
    """Read what users of the roster have on databases, in one query; and in one more where names may be patterns.

    system.grants shows `GRANT ... ON ann_*.*` as a grant on a database `ann_`; of a cluster, only one node is asked
    which it is. `few`: ask for these databases only.
    """
    names = sorted(databases)
    asked = [*names, *{name[:end] for name in names for end in range(1, len(name))}] if few else names
    nodes = session.everywhere(_GRANTS + (_ON if few else "") + _END, roster=session.roster, databases=asked or [""])
    patterns = _patterns(session, nodes[session.here], names)
    found = [_grants(rows, patterns, names) for rows in nodes]
    return found[0] if len(found) == 1 else _together(found, names)


def read_holders(session: Session, databases: Collection[str]) -> dict[str, set[str]]:
    """Read which accounts, of any roster or none, have privileges on which of these databases, in one query.

    system.grants shows `GRANT ... ON ann_*.*` as a grant on a database `ann_`: where there is none, it counts for all
    that begin so.
    """
    holders: defaultdict[str, set[str]] = defaultdict(set)
    for user, place in session.union(_HELD):
        for name in [place] if place in databases else [name for name in databases if name.startswith(place)]:
            holders[name].add(user)
    return dict(holders)


def _grants(rows: Sequence[tuple[Any, ...]], patterns: Collection[tuple[str, str]], names: Sequence[str]) -> Grants:
    """What one server has told."""
    everywhere = {user: frozenset(whole) for user, database, whole, *_ in rows if not database}
    entries: dict[str, dict[str, Entry]] = {name: {} for name in names}
    for user, database, whole, taken, parts, option, cut in rows:
        held, away, some, passed = map(frozenset, (whole, taken, parts, option))
        entry = Entry(held, away, some, passed, bool(cut), everywhere.get(user, frozenset()))
        for name in [database] * (database in entries) + _covered(user, database, patterns, names):
            entries[name][user] = _both(entries[name].get(user), entry)
    return Grants(entries, everywhere)


def _together(nodes: Sequence[Grants], names: Sequence[str]) -> Grants:
    entries: dict[str, dict[str, Entry]] = {name: {} for name in names}
    for name, users in entries.items():
        for user, entry in (item for grants in nodes for item in grants.on(name).items()):
            users[user] = _both(users.get(user), entry)
    return Grants(entries, nodes=nodes)


def _both(one: Entry | None, other: Entry) -> Entry:
    if one is None:
        return other
    return Entry(
        one.whole | other.whole,
        one.taken | other.taken,
        one.parts | other.parts,
        one.option | other.option,
        one.cut or other.cut,
        other.everywhere,
    )


def _covered(user: str, start: str, patterns: Collection[tuple[str, str]], names: Sequence[str]) -> list[str]:
    """The longer names that a pattern of this user covers."""
    return [name for name in names if name.startswith(start) and name != start] if (user, start) in patterns else []


def _patterns(session: Session, rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> set[tuple[str, str]]:
    """Find out which of the grants on names that begin other names are on patterns, as (user, beginning)."""
    suspects = {user for user, database, *_ in rows if database and _begins_another(database, names)}
    if not suspects:
        return set()
    found = set()
    for line in session.lines(f"SHOW GRANTS FOR {', '.join(map(identifier, sorted(suspects)))}"):
        if match := _PATTERN.match(line):
            user = line[match.end() :].removesuffix(" WITH GRANT OPTION")
            found.add((bare(user), bare(match[1])))
    return found


def _begins_another(database: str, names: Sequence[str]) -> bool:
    place = bisect_right(names, database)
    return place < len(names) and names[place].startswith(database)
