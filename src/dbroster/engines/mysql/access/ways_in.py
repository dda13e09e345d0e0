"""Ways into other users' databases beside grants on databases: single tables, roles, and what everybody may. Pure."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from dbroster.engines.mysql.access.accounts import Account, Key, reached
from dbroster.engines.mysql.access.grants import Grant, Rules, reaches
from dbroster.engines.mysql.session import account, identifier

PUBLIC = "PUBLIC"
_SPECIAL = {"GRANT": "GRANT OPTION", "DELETE VERSIONING ROWS": "DELETE HISTORY"}
SHOWN = 5
_ROLE = re.compile(r"(?:`([^`]*)`|'([^']*)'|([^@,\s`']+))(?:@(?:`([^`]*)`|'([^']*)'|([^,\s`']+)))?")


class FineGrant(NamedTuple):
    """Privileges on one table, one of its columns, or a routine, whose `kind` is PROCEDURE or FUNCTION."""

    user: str
    host: str
    database: str
    name: str
    kind: str
    column: str
    privileges: frozenset[str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """Read a row of mysql.tables_priv or mysql.procs_priv."""
        found = frozenset(
            _SPECIAL.get(word.upper(), word.upper()) for word in _text(row["privileges"]).split(",") if word
        )
        kind, column = _text(row["kind"]), _text(row["col"])
        return cls(row["User"], row["Host"].lower(), row["Db"], row["name"], kind, column, found)

    def revoke(self) -> str:
        """Word the statement that takes it away; MariaDB knows the word PACKAGE in that mode only."""
        mode = "SET SESSION sql_mode = ORACLE; " if self.is_of_package else ""
        place = f"{self.kind} {identifier(self.database)}.{identifier(self.name)}".strip()
        column = f" ({identifier(self.column)})" if self.column else ""
        listed = ", ".join(f"{privilege}{column}" for privilege in sorted(self.privileges))
        return f"{mode}REVOKE {listed} ON {place} FROM {grantee(self.user, self.host)}"

    @property
    def is_of_package(self) -> bool:
        """Whether it is on one of MariaDB's packages, or its body."""
        return self.kind.startswith("PACKAGE")


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def grantee(user: str, host: str) -> str:
    """Quote whom something was granted to: an account, or everybody."""
    return PUBLIC if user == PUBLIC and not host else account(user, host)


def revoke(grant: Grant, privileges: Collection[str]) -> str:
    """Word the statement that takes privileges on a database away."""
    listed = ", ".join(sorted(privileges))
    return f"REVOKE {listed} ON {identifier(grant.pattern)}.* FROM {grantee(grant.user, grant.host)}"


def is_public(grant: Grant) -> bool:
    """Whether everybody has it, and it names one database; what PUBLIC has by a pattern is the DBA's affair."""
    return grant.user == PUBLIC and not grant.host and "%" not in grant.pattern.replace("\\%", "")


def mandatory_roles(setting: str) -> list[Key]:
    """Read MySQL's setting of this name: roles that everybody has, as `r1`@`%`,r2."""
    found = (match.groups("") for match in _ROLE.finditer(setting))
    return [("".join(parts[:3]), "".join(parts[3:]) or "%") for parts in found]


def without_role(roles: Iterable[Key], role: Key) -> str:
    """Word how one of the mandatory roles is taken out."""
    rest = ",".join(f"{identifier(name)}@{identifier(host)}" for name, host in roles if (name, host) != role)
    return f"SET PERSIST mandatory_roles = '{rest}';"


def by_database(grants: Iterable[FineGrant], ours: Collection[Key], rules: Rules) -> dict[str, list[FineGrant]]:
    """Sort the fine grants of our accounts, and those of everybody, by database."""
    found: defaultdict[str, list[FineGrant]] = defaultdict(list)
    for grant in grants:
        near = (grant.user, grant.host) in ours or (grant.user == PUBLIC and not grant.host)
        if near and grant.privileges:
            found[rules.fold(grant.database)].append(grant)
    return dict(found)


def told(
    accounts: Sequence[Account],
    edges: Iterable[tuple[Key, Key]],
    grants: Iterable[Grant],
    owners: Mapping[str, str],
    rules: Rules,
    mandatory: Collection[Key] = (),
) -> Iterator[str]:
    """Tell who of these accounts gets into whose database by ways that the admin account can't close.

    `edges` holds (role, grantee), `owners` the user of each database, `mandatory` roles that everybody has.
    """
    roles: defaultdict[Key, set[Key]] = defaultdict(set)
    for role, holder in edges:
        if not role[0].startswith("dbroster"):
            roles[holder].add(role)
    held: defaultdict[Key, list[Grant]] = defaultdict(list)
    wanted = {role for found in roles.values() for role in found}
    of_all = reached(mandatory, roles)
    for grant in grants:
        key = (grant.user, grant.host)
        if key in wanted:
            held[key].append(grant)
        if key in of_all or not grant.user or (grant.user == PUBLIC and not is_public(grant)):
            yield from _everybody(grant, owners, rules)
    for found in accounts:
        for role in sorted(reached(roles[found.key], roles)):
            databases = {name for grant in held[role] for name in _databases(grant, owners, rules)}
            if others := sorted(name for name in databases if owners[name] != found.name):
                statement = f"REVOKE {account(*role) if role[1] else identifier(role[0])} FROM {account(*found.key)};"
                yield f"{found} reaches {_few(others)} through the role {role[0]}: {statement}"


def _everybody(grant: Grant, owners: Mapping[str, str], rules: Rules) -> Iterator[str]:
    if databases := sorted(_databases(grant, owners, rules)):
        yield f"everybody reaches {_few(databases)}: {revoke(grant, grant.privileges)};"


def _databases(grant: Grant, owners: Mapping[str, str], rules: Rules) -> list[str]:
    if rules.is_exact(grant):
        name = rules.fold(rules.plain(grant.pattern))
        return [name] if name in owners else []
    return [name for name in owners if reaches(rules.fold(grant.pattern), name)]


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
