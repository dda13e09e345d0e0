"""Database-level grants: how names are spelled in them, and what they reach. Pure functions.

In `GRANT ... ON name.*` the characters `_` and `%` are wildcards, so an exact name is written with backslashes:
`bob\\_web`. With partial_revokes=ON (MySQL) patterns are read literally and exact names stand as they are.
Source: MySQL Reference Manual, "GRANT Statement" and "Privilege Restriction Using Partial Revokes".
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple, Self

MAX_NAME = 64  # characters of a database name, and of its spelling in a grant
_TOKEN = re.compile(r"\\(.)|(.)", re.DOTALL)
SYSTEM_DATABASES = frozenset({"mysql", "sys", "information_schema", "performance_schema", "ndbinfo"})
_SPECIAL_COLUMNS = {"Create_tmp_table_priv": "CREATE TEMPORARY TABLES", "Grant_priv": "GRANT OPTION"}


class Grant(NamedTuple):
    """One row of mysql.db; `pattern` as it is stored."""

    user: str
    host: str
    pattern: str
    privileges: frozenset[str]

    @classmethod
    def of(cls, row: Mapping[str, Any], columns: tuple[str, ...]) -> Self:
        """Read a row whose flags are the values of these columns; privileges of newer servers come along by name."""
        return cls(row["User"], row["Host"].lower(), row["Db"], privileges(columns, row["flags"]))


@lru_cache(maxsize=1024)
def privileges(columns: tuple[str, ...], flags: str) -> frozenset[str]:
    """Name the privileges whose column holds Y; one set for the many rows that are alike, to spare memory."""
    return frozenset(
        _SPECIAL_COLUMNS.get(column) or column.removesuffix("_priv").replace("_", " ").upper()
        for column, flag in zip(columns, flags, strict=True)
        if flag == "Y"
    )


def escaped(name: str) -> str:
    """Spell a name so that it reaches only itself where patterns count."""
    return name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def unescaped(pattern: str) -> str:
    """Take the backslashes away."""
    plain = pattern.replace("\\_", "_").replace("\\%", "%")
    if "\\" not in plain:  # as in nearly all names; the rest takes ten times as long
        return plain
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


def reaches(pattern: str, name: str) -> bool:
    """Whether the server lets a grant on this pattern into the database."""
    return _expression(pattern).fullmatch(name) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    wild = {"%": ".*", "_": "."}
    tokens = _TOKEN.findall(pattern)  # (escaped character, or "", bare character)
    return re.compile("".join(re.escape(plain) or wild.get(bare, re.escape(bare)) for plain, bare in tokens), re.DOTALL)


class Rules(NamedTuple):
    """What decides whether grants are as they should be, on one server with one configuration."""

    wanted: frozenset[str]
    hosts: tuple[str, ...]
    literal: bool  # partial_revokes=ON
    fold: Callable[[str], str]

    def spelled(self, database: str) -> str:
        """Spell a database in a grant of this server."""
        return self.fold(database) if self.literal else escaped(self.fold(database))

    def refuse(self, database: str, product: str) -> str | None:
        """Why a database can't have this name: by its length, and for the server's own ones."""
        spelled = self.spelled(database)
        if database.lower() in SYSTEM_DATABASES:
            return f"{database} is a database of the server itself"
        if len(database) > MAX_NAME:
            return f"the database name {database} has {len(database)} characters, {product} takes {MAX_NAME}"
        if len(spelled) > MAX_NAME:
            return (
                f"the database name {database} has {len(spelled)} characters as grants have to spell it ({spelled}), "
                f"{product} takes {MAX_NAME}"
            )
        return None

    def is_exact(self, grant: Grant) -> bool:
        """Whether the grant is spelled as this server wants it, and reaches one database only.

        Where patterns don't count, a name with backslashes reaches nothing; it was granted before that was so.
        """
        return self.literal or grant.pattern == escaped(unescaped(grant.pattern))

    def plain(self, pattern: str) -> str:
        """Return the name that a pattern spells."""
        return pattern if self.literal else unescaped(pattern)

    def names(self, grant: Grant) -> set[str]:
        """Both databases that a grant may have been meant for, with backslashes read as such or as escapes."""
        return {self.fold(grant.pattern), self.fold(unescaped(grant.pattern))}

    def belongs(self, user: str, database: str) -> bool:
        """Whether the database has a name of this user."""
        return self.fold(database).startswith(self.fold(f"{user}_"))

    def template(self, user: str, database: str) -> str:
        """Return what follows the user in the name of a database."""
        return self.fold(database)[len(user) + 1 :]

    def complete(self, grants: Iterable[Grant], database: str) -> bool:
        """Whether one user's grants on a database are one per configured host, exactly as wanted, and no others."""
        right = {(host, self.spelled(database), self.wanted) for host in self.hosts}
        found = [
            (grant.host, self.fold(grant.pattern), grant.privileges) for grant in grants if grant.host in self.hosts
        ]
        return len(found) == len(right) and set(found) == right

    def amiss(self, user: str, grants: Sequence[Grant], database: str) -> str:
        """Say what one user's grants on his database lack, and what is too much."""
        spelled = self.spelled(database)
        right = {grant.host: grant.privileges for grant in grants if self.fold(grant.pattern) == spelled}
        lacking = {privilege for host in self.hosts for privilege in self.wanted - right.get(host, frozenset())}
        more = {
            f"{', '.join(sorted(excess))} on {grant.pattern}"
            for grant in grants
            if (excess := grant.privileges - (self.wanted if self.fold(grant.pattern) == spelled else frozenset()))
        }
        lacks = f"{user} lacks {', '.join(sorted(lacking))}" if grants else f"{user} has no privileges"
        found = [lacks] if lacking else []
        if more:
            found.append(f"{user} has more than wanted: {'; '.join(sorted(more))}")
        return ", ".join(found) or f"{user} has grants for hosts that are not listed"


class GrantTable:
    """The grants of many accounts, found by the database that they reach."""

    def __init__(self, grants: Iterable[Grant], rules: Rules) -> None:
        self._rules = rules
        self._named: defaultdict[str, list[Grant]] = defaultdict(list)
        self._wild: list[Grant] = []
        for grant in grants:
            self._add(grant)

    def _add(self, grant: Grant) -> None:
        for name in self._rules.names(grant):
            self._named[name].append(grant)
        # a user's own name without backslashes is found by name and mended; only other patterns need a search
        if not self._rules.is_exact(grant) and (
            "%" in grant.pattern or not self._rules.belongs(grant.user, grant.pattern)
        ):
            self._wild.append(grant)

    def on(self, database: str) -> list[Grant]:
        """Grants whose name, in either spelling, is this database."""
        return self._named.get(self._rules.fold(database), [])

    def reaching(self, database: str) -> list[Grant]:
        """Grants that let somebody into this database, by name or by pattern."""
        fold = self._rules.fold
        named = self.on(database)
        wild = [grant for grant in self._wild if reaches(fold(grant.pattern), fold(database))]
        return named + [grant for grant in wild if grant not in named]
