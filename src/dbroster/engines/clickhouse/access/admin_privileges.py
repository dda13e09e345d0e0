"""ClickHouse's privileges: groups and what they stand for, and what an admin lacks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

FOR_ADMIN = (
    "CREATE USER", "ALTER USER", "DROP USER", "SHOW USERS", "SHOW ROLES", "SHOW DATABASES", "CREATE DATABASE",
    "DROP DATABASE",
)  # fmt: skip
"""What dbroster needs besides what it passes on to users."""

FOR_CLUSTER = ("CLUSTER", "REMOTE")
FOR_DATES = ("CREATE ROLE", "ROLE ADMIN")
"""What it takes to date a lock."""
ENDING = ("KILL QUERY",)
COMMENTING = ("ALTER MODIFY DATABASE COMMENT",)

POWERS = (
    "ALL", "ACCESS MANAGEMENT", "CREATE USER", "ALTER USER", "DROP USER", "CREATE ROLE", "ALTER ROLE", "DROP ROLE",
    "ROLE ADMIN",
)  # fmt: skip
"""Who has one of these on the whole server manages accounts, and is never taken over."""


@dataclass(frozen=True)
class Tree:
    """Every privilege that this server knows; groups differ between versions, and the server shows them folded."""

    parents: Mapping[str, str]

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> Self:
        """Build it from `system.privileges`."""
        return cls({str(name).upper(): str(parent or "").upper() for name, parent in rows})

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        children: defaultdict[str, list[str]] = defaultdict(list)
        for name, parent in self.parents.items():
            children[parent].append(name)
        return children

    def known(self, names: Iterable[str]) -> list[str]:
        """Leave out what this server does not have yet."""
        return [name for name in names if name.upper() in self.parents]

    def leaves(self, names: Iterable[str]) -> frozenset[str]:
        """What privileges and groups stand for in the end; most users have the same ones."""
        wanted = frozenset(names)
        if wanted not in self._known_leaves:
            self._known_leaves[wanted] = self._leaves(wanted)
        return self._known_leaves[wanted]

    @cached_property
    def _known_leaves(self) -> dict[frozenset[str], frozenset[str]]:
        return {}

    def _leaves(self, names: Iterable[str]) -> frozenset[str]:
        found: set[str] = set()
        todo = [name.upper() for name in names]
        while todo:
            name = todo.pop()
            children = self._children.get(name)
            if children:
                todo += children
            else:
                found.add(name)
        return frozenset(found)

    def lacking(self, wanted: Iterable[str], held: Iterable[str]) -> list[str]:
        """Name the wanted privileges that are not held in full."""
        leaves = self.leaves(held)
        return [name for name in wanted if not self.leaves([name]) <= leaves]


class Holdings(NamedTuple):
    """What the admin has on the whole server: plainly, and with the right to pass it on."""

    plain: frozenset[str]
    passable: frozenset[str]

    @classmethod
    def of(cls, rows: Iterable[tuple[Any, ...]]) -> Self:
        """Build it from (privilege, grant option)."""
        found = [(str(name), bool(option)) for name, option in rows]
        return cls(frozenset(name for name, _ in found), frozenset(name for name, option in found if option))


def missing_grants(
    tree: Tree, held: Holdings, admin: str, needed: Iterable[str], wanted: Iterable[str], cluster: str = ""
) -> list[str]:
    """Statements that give the admin (quoted) what it lacks of what it needs itself, and of what users are to have."""
    statements = []
    plain = tree.lacking(tree.known(needed), held.plain)
    passable = tree.lacking(tree.known(wanted), held.passable)
    if plain:
        statements.append(f"GRANT{cluster} {', '.join(plain)} ON *.* TO {admin};")
    if passable:
        statements.append(f"GRANT{cluster} {', '.join(passable)} ON *.* TO {admin} WITH GRANT OPTION;")
    return statements


def dating_grant(admin: str, cluster: str) -> str:
    """The statement that lets the admin (quoted) date locks, and mark accounts."""
    return f"GRANT{cluster} {', '.join(FOR_DATES)} ON *.* TO {admin};"


def marking_grants(role: str, admin: str, cluster: str) -> list[str]:
    """Statements that let the admin mark accounts with one role (both quoted)."""
    return [
        f"CREATE ROLE IF NOT EXISTS {role}{cluster};",
        f"GRANT{cluster} {role} TO {admin} WITH ADMIN OPTION;",
    ]
