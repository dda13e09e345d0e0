"""Row policies on a ClickHouse database: which of them may hide rows from the admin, and what mends that."""

from collections.abc import Collection
from dataclasses import dataclass

from dbroster.engines.clickhouse.session import Session, identifier

_POLICIES = """
    SELECT short_name, table, is_restrictive, select_filter, apply_to_all, apply_to_list, apply_to_except,
        arrayConcat([currentUser()], enabledRoles())
    FROM system.row_policies WHERE database = {database} ORDER BY table, short_name"""


@dataclass(frozen=True, slots=True)
class Policy:
    """One row policy; `table` is empty for one on all tables of the database. `mine`: the admin, and then its roles."""

    database: str
    name: str
    table: str
    restrictive: bool
    condition: str
    to_all: bool
    to: tuple[str, ...]
    excepted: tuple[str, ...]
    mine: tuple[str, ...]

    def applies(self) -> bool:
        """Whether it is one for the admin."""
        return not set(self.mine) & set(self.excepted) if self.to_all else bool(set(self.mine) & set(self.to))

    def shows_all(self) -> bool:
        """Whether it lets the admin see all rows, whatever other policies that are not restrictive say."""
        return not self.restrictive and self.condition == "1" and self.applies()

    def cure(self, cluster: str = "") -> str:
        """Statements, with this ON CLUSTER, after which it hides nothing from the admin."""
        admin, *roles = self.mine
        place = f"{identifier(self.database)}.{identifier(self.table) if self.table else '*'}"
        if not self.restrictive:
            name, everywhere = identifier(f"all rows for {admin}"), f"{identifier(self.database)}.*"
            return f"CREATE ROW POLICY {name}{cluster} ON {everywhere} USING 1 TO {identifier(admin)};"
        if by := [identifier(role) for role in roles if role in self.to]:
            return f"REVOKE{cluster} {', '.join(by)} FROM {identifier(admin)};"
        spared = ", ".join(map(identifier, (*self.excepted, admin)))
        others = ", ".join(identifier(name) for name in self.to if name != admin)
        to = f"ALL EXCEPT {spared}" if self.to_all else others or "NONE"
        return f"ALTER ROW POLICY {identifier(self.name)}{cluster} ON {place} TO {to};"


def read_policies(session: Session, database: str) -> list[Policy]:
    """Row policies on the tables of a database, of every node."""
    return [
        Policy(
            database, name, table, bool(strict), condition or "", bool(to_all), tuple(to), tuple(excepted), tuple(mine)
        )
        for rows in session.everywhere(_POLICIES, database=database)
        for name, table, strict, condition, to_all, to, excepted, mine in rows
    ]


def hiding(policies: Collection[Policy], table: str) -> list[Policy]:
    """Those that may hide rows of a table from the admin.

    One that is for others may do so, too: `users_without_row_policies_can_read_rows` in the server's configuration.
    """
    there = [policy for policy in policies if policy.table in (table, "")]
    opened = any(policy.shows_all() for policy in there)
    spared = [policy for policy in there if policy.to_all and not policy.applies()]
    return [
        policy for policy in there if policy not in spared and (policy.applies() if policy.restrictive else not opened)
    ]


def cures(policies: Collection[Policy], cluster: str = "") -> str:
    """What mends them all, each statement once, with this ON CLUSTER."""
    return " ".join(dict.fromkeys(policy.cure(cluster) for policy in policies))
