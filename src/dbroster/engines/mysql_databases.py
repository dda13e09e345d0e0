"""Whose databases a server has, concluded from the grants on them. Pure functions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dbroster.engines.mysql_accounts import Account
from dbroster.engines.mysql_grants import SYSTEM_DATABASES, Grant, GrantTable, Rules
from dbroster.model import ExistingDatabase


@dataclass(frozen=True, slots=True)
class Look:
    """What the server says right now of some users and databases, before they are changed."""

    accounts: Sequence[Account]
    grants: Sequence[Grant]
    databases: Collection[str]


@dataclass(frozen=True, slots=True)
class Estate:
    """One database and the user whose it is or shall be: the accounts that are ours, and their grants on it."""

    accounts: Sequence[Account]
    grants: Sequence[Grant]
    exists: bool


def describe(
    names: Collection[str], table: GrantTable, elsewhere: Mapping[str, str], rules: Rules
) -> dict[str, ExistingDatabase]:
    """Describe every database, and those that are only granted.

    `table` holds the grants of our accounts; `elsewhere` the databases of other rosters' accounts with the roster.
    """
    found = {name: _existing(name, table, elsewhere, rules) for name in names}
    there = {rules.fold(name) for name in names}
    for grant in table.exact:
        name = rules.database(grant)
        if name not in there and rules.proves(grant, name):
            found[name] = _state(name, grant.user, table, rules, usable=False)
    return found


def taken(grants: Iterable[Grant], rosters: Mapping[tuple[str, str], str], rules: Rules) -> dict[str, str]:
    """Find the databases that grants give to other rosters' accounts: name -> roster."""
    return {
        name: rosters[grant.user, grant.host]
        for grant in grants
        if (grant.user, grant.host) in rosters
        for name in rules.names(grant)
    }


def _existing(name: str, table: GrantTable, elsewhere: Mapping[str, str], rules: Rules) -> ExistingDatabase:
    if name.lower() in SYSTEM_DATABASES:
        return ExistingDatabase(name, protected="it is a system database")
    owners = _owners(name, table, rules)
    if len(owners) == 1:
        return _state(name, owners.pop(), table, rules, usable=True)
    if owners:
        return ExistingDatabase(name, protected=f"it is granted to {' and '.join(sorted(owners))} alike")
    roster = elsewhere.get(rules.fold(name))
    return ExistingDatabase(name, protected=f"it is granted to an account of roster {roster!r}" if roster else None)


def _owners(name: str, table: GrantTable, rules: Rules) -> set[str]:
    """Users who have a claim; if several have, those with the stronger one."""
    claims = {grant.user for grant in table.on(name) if rules.claims(grant, name)}
    if len(claims) < 2:
        return claims
    return {grant.user for grant in table.on(name) if rules.proves(grant, name)} or claims


def _state(name: str, owner: str, table: GrantTable, rules: Rules, *, usable: bool) -> ExistingDatabase:
    own = [grant for grant in table.on(name) if grant.user == owner]
    alone = all(grant.user == owner for grant in table.reaching(name))
    return ExistingDatabase(
        name=name,
        owner=owner,
        granted=alone and rules.complete(own, name),
        usable=usable,
        droppable=any(rules.proves(grant, name) for grant in own),
    )
