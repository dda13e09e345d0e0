"""What stands around databases that are to become their users', or to go: looked at once for a whole batch.

Roles have no index, so each look reads through all accounts; and listing databases takes longer the more there are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dbroster.engines.mongodb.session import Session
from dbroster.engines.mongodb.state import (
    FIELDS,
    Account,
    Role,
    account_of,
    read_accounts,
    role_documents,
    roles_of,
    shell_command,
)
from dbroster.model.connection import Connection


@dataclass(frozen=True, slots=True)
class Stranger:
    """An account that is not ours, in any database, and its roles on the databases that were looked around."""

    name: str
    where: str
    roles: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Databases of the wanted names, in whatever case, and accounts that have roles on them."""

    databases: Collection[str]
    holders: Mapping[str, Account]
    """Those that are managed."""
    strangers: Sequence[Stranger]

    @classmethod
    def look(cls, session: Session, connection: Connection, databases: Sequence[str]) -> "Surroundings":
        """Look around databases in two queries."""
        holders: dict[str, Account] = {}
        strangers: list[Stranger] = []
        for document in session.find_holders(databases, FIELDS):
            # elsewhere an owner writes what looks like a marker
            account = account_of(document, connection) if document["db"] == session.auth_database else None
            if account and account.existing.managed:
                holders[account.existing.name] = account
            else:
                roles = tuple(role for role in roles_of(document) if role[1] in databases)
                strangers.append(Stranger(document["user"], document["db"], roles))
        return cls(session.database_names(databases), holders, strangers)

    def outside(self, databases: Collection[str]) -> list[Stranger]:
        """Strangers who are not defined in one of these databases."""
        return [stranger for stranger in self.strangers if stranger.where not in databases]

    def same_name(self, database: str) -> str | None:
        """Name the database that the server takes for this one."""
        return next((name for name in self.databases if name.lower() == database.lower()), None)

    def roles_of_others(self, user: str, databases: Collection[str]) -> Iterator[tuple[str, list[Role]]]:
        """Yield managed users besides this one, and their roles on any of the databases."""
        for name, account in self.holders.items():
            roles = [role for role in account.roles if role[1] in databases]
            if roles and name != user:
                yield name, roles


def told(strangers: Sequence[Stranger], what: str) -> str:
    """Say `what` these accounts may do, and the commands that end that."""
    names = ", ".join(f"{stranger.name}@{stranger.where}" for stranger in strangers)
    commands = [shell_command(stranger.where, _taking(stranger)) for stranger in strangers]
    return f"{names} may {what}; take that away: {'; '.join(commands)}"


def taking(session: Session, connection: Connection, user: str, roles: Collection[Role]) -> dict[str, object]:
    """The command that takes these roles from a user; if one can't be named, it names those that stay."""
    named = role_documents(roles)
    if len(named) == len(roles):
        return {"revokeRolesFromUser": user, "roles": named}
    found = read_accounts(session, connection, {"user": user}, credentials=False)
    left = {role for account in found.values() for role in account.roles} - set(roles)
    return {"updateUser": user, "roles": role_documents(sorted(left))}


def _taking(stranger: Stranger) -> dict[str, object]:
    """The command that takes their roles away; all that they have, if one of those can't be named."""
    named = role_documents(stranger.roles)
    verb = "revokeRolesFromUser" if len(named) == len(stranger.roles) else "updateUser"
    return {verb: stranger.name, "roles": named if verb == "revokeRolesFromUser" else []}


def possible_owners(databases: Sequence[str]) -> set[str]:
    """Name all users who could have such databases: `a_b_c` may be a user `a`'s or a user `a_b`'s."""
    return {name[:at] for name in databases for at, character in enumerate(name) if character == "_"}
