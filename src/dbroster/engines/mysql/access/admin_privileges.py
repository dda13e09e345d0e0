"""What the admin account may do, read from SHOW GRANTS, and the statements that give it what it lacks. Pure functions.

SHOW GRANTS is the one statement that both products answer for the own account with the active roles included. Its
quoting is fixed by the session's sql_mode; lines that are no grant on databases or tables (roles, proxies, partial
revokes) are passed over.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from dbroster.engines.mysql.access.grants import escaped, reaches, unescaped
from dbroster.engines.mysql.session import identifier

_LINE = re.compile(r"GRANT (.+?) ON (\*|`(?:[^`]|``)+`)\.\* TO (.+)")
NEEDED_ANYWAY = ("CREATE", "ALTER", "DROP")  # ALTER: to take READ ONLY off a database that is to be dropped
READS = frozenset({"SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE"})
"""What an archive reads by."""

FINE_TABLES = ("tables_priv", "columns_priv", "procs_priv")
"""Tables of `mysql` with grants on single tables and routines."""


class Wording(NamedTuple):
    """What a product calls things.

    `tables`: those of `mysql` that the admin must read, the first one has accounts and roles. `ending`: the privilege
    to end sessions. `routines`: what to grant for reading all routines.
    """

    product: str
    newest: str
    client: str
    tables: tuple[str, ...]
    ending: str
    routines: str


MYSQL = Wording(
    "MySQL", "9.7", "mysql", ("user", "db", "global_grants", "role_edges"), "CONNECTION_ADMIN", "SHOW_ROUTINE ON *.*"
)
MARIADB = Wording(
    "MariaDB", "11.8", "mariadb", ("global_priv", "db", "roles_mapping"), "CONNECTION ADMIN", "SELECT ON mysql.proc"
)


class Held:
    """Privileges of the admin: global ones, and per database pattern those that it may pass on."""

    def __init__(self) -> None:
        self.everywhere: set[str] = set()
        self.passed_on: dict[str, set[str]] = {}

    def has(self, *names: str) -> bool:
        """Whether one of these global privileges is held."""
        return not self.everywhere.isdisjoint({*names, "ALL PRIVILEGES"})

    def ends_sessions(self, privilege: str) -> bool:
        """Whether it sees and ends all sessions; `privilege` is what the product calls that."""
        return self.has("SUPER") or (self.has("PROCESS") and self.has(privilege))

    def may_pass_on(self, privileges: Iterable[str], database: str, *, literal: bool) -> bool:
        """Whether all these privileges can be granted on a database."""
        held: set[str] = set()
        for pattern, names in self.passed_on.items():
            if pattern == "*" or (pattern == database if literal else reaches(pattern, database)):
                held |= names
        return "ALL PRIVILEGES" in held or held.issuperset(privileges)

    def revocable(self, pattern: str, privileges: Collection[str], *, literal: bool) -> frozenset[str]:
        """Which privileges on this pattern can be taken away: nobody can take what he has not got to give.

        A pattern without backslashes reaches further than it seems.
        """
        exact = literal or pattern == escaped(unescaped(pattern))
        held: set[str] = set()
        for mine, names in self.passed_on.items():
            if mine in ("*", pattern) or (exact and not literal and reaches(mine, unescaped(pattern))):
                held |= {"GRANT OPTION", *names}
        return frozenset(privileges) if "ALL PRIVILEGES" in held else frozenset(held.intersection(privileges))


def held(lines: Iterable[str]) -> Held:
    """Read the lines of SHOW GRANTS."""
    found = Held()
    for line in lines:
        if match := _LINE.match(line):
            names = {name.strip() for name in match[1].split(",")}
            pattern = "*" if match[2] == "*" else match[2][1:-1].replace("``", "`")
            if pattern == "*":
                found.everywhere |= names
            if "WITH GRANT OPTION" in match[3]:
                found.passed_on.setdefault(pattern, set()).update(names)
    return found


def missing_grants(
    found: Held, admin: str, privileges: Sequence[str], templates: Sequence[str], *, literal: bool
) -> list[str]:
    """Statements for what the admin lacks to manage accounts and to pass on these privileges."""
    lacking = [] if found.has("CREATE USER") else [f"GRANT CREATE USER ON *.* TO {admin};"]
    needed = [*privileges, *(name for name in NEEDED_ANYWAY if name not in privileges)]
    listed = ", ".join(needed)
    unserved = [
        template for template in templates if not found.may_pass_on(needed, f"dbroster_{template}", literal=literal)
    ]
    if literal and unserved:  # patterns don't count on this server, so there is no narrower way
        return [*lacking, f"GRANT {listed} ON *.* TO {admin} WITH GRANT OPTION;"]
    patterns = map(template_pattern, unserved)
    return lacking + [
        f"GRANT {listed} ON {identifier(pattern)}.* TO {admin} WITH GRANT OPTION;" for pattern in patterns
    ]


def template_pattern(template: str) -> str:
    """Return what a grant calls the databases of a template, whosever they are."""
    return "%" + escaped(f"_{template}")
