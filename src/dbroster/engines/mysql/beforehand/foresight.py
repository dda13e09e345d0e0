"""What a plan asks for that the server must refuse, and what its locks take, before anything is tried."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Account, Key
from dbroster.engines.mysql.access.grants import Grant
from dbroster.engines.mysql.removal import dependencies, prepared_transactions
from dbroster.engines.mysql.removal.grant_changes import GrantChanges
from dbroster.engines.mysql.session import Session, reading
from dbroster.engines.mysql.state import State
from dbroster.model.connection import Connection
from dbroster.model.plan import Action, Verb
from dbroster.model.problems import Problem


class Foresight:
    """What the server shows of the accounts and databases in a plan."""

    def __init__(
        self, session: Session, connection: Connection, state: State, changes: GrantChanges,
        mandatory: Sequence[Key], actions: Sequence[Action],
    ) -> None:  # fmt: skip
        self._session = session
        self._state = state
        self._rules = state.rules
        self._changes = changes
        self._mandatory = mandatory
        self._users = {verb: {action.user for action in actions if action.verb is verb} for verb in Verb}
        self._new = {action.database for action in actions if action.verb is Verb.CREATE_DATABASE}
        drops = {a.database: a.user for a in actions if a.verb is Verb.DROP_DATABASE and a.database}
        with reading():
            self._accounts = state.every_account()
            self._definers = self._defined_elsewhere(drops)
            self._referring = self._referring_to(drops)
        self._held = prepared_transactions.held(session, connection, drops)

    def reason(self, action: Action) -> str | None:
        """Say why an action must fail."""
        user, database, leaving = action.user, action.database or "", self._is_leaving(action.user)
        if action.verb is Verb.DROP_USER:
            return self._needed(user)
        if action.verb is Verb.ADOPT and database:
            return self._changes.stuck_adoption(user, database, self._grants[user, self._rules.fold(database)])
        if action.verb is Verb.GRANT_PRIVILEGES and not leaving:
            return self._intrusion(user, database)
        if action.verb is Verb.DROP_DATABASE and database in self._held:
            return prepared_transactions.REASON
        if action.verb is Verb.DROP_DATABASE and not leaving:
            own = ((grant, grant.privileges) for grant in self._state.own(user, database))
            return self._changes.stuck(own) or self._referring.get(database)
        return self._referring.get(database) if action.verb in (Verb.ARCHIVE_DATABASE, Verb.DROP_DATABASE) else None

    @cached_property
    def _grants(self) -> Mapping[tuple[str, str], Sequence[Grant]]:
        """All grants by user and database, in either spelling; also those of accounts that are not ours."""
        found: defaultdict[tuple[str, str], list[Grant]] = defaultdict(list)
        for grant in self._state.grants:
            for name in self._rules.names(grant):
                found[grant.user, name].append(grant)
        return found

    def _is_leaving(self, user: str) -> bool:
        return user in self._users[Verb.LOCK_USER] | self._users[Verb.DROP_USER]

    def _needed(self, user: str) -> str | None:
        if places := self._definers.get(user):
            return (
                f"{user} is the DEFINER of {', '.join(places[:5])}, which would fail without the account: drop "
                "them, or give them another DEFINER first, with whose privileges they run then: never one with more"
            )
        if found := [role for role in self._mandatory if role[0] == user]:
            cure = ways_in.without_role(self._mandatory, found[0])
            return f"{user} is one of the server's mandatory_roles, which can't be dropped; take it out: {cure}"
        return None

    def _intrusion(self, user: str, database: str) -> str | None:
        """Find what keeps a database open, if nothing else is to be done: the user's own grant comes first."""
        own, spelled = self._state.own(user, database), self._rules.spelled(database)
        right = [grant for grant in own if self._rules.fold(grant.pattern) == spelled]
        if database not in self._new and not self._rules.complete(right, database):
            return None
        return self._changes.stuck(self._changes.excess(user, database, own), self._state.fine_rivals(user, database))

    def _defined_elsewhere(self, drops: Mapping[str, str]) -> Mapping[str, list[str]]:
        """Find views, routines, triggers and events of users who are dropped, outside of what is dropped with them."""
        users = self._users[Verb.DROP_USER]
        names = {f"{found.name}@{found.host}": found.name for found in self._accounts if found.name in users}
        dropped = {self._rules.fold(database) for database in drops}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in dependencies.defined_by(self._session, names) if names else ():
            if self._rules.fold(row["db"]) not in dropped and row["definer"] in names:
                found[names[row["definer"]]].append(f"the {row['kind']} {row['db']}.{row['name']}")
        return found

    def _referring_to(self, drops: Mapping[str, str]) -> Mapping[str, str]:
        """Find foreign keys from databases of others that stay."""
        fold = self._rules.fold
        dropped = {fold(database): (database, user) for database, user in drops.items()}
        found: defaultdict[str, list[str]] = defaultdict(list)
        for row in dependencies.referring(self._session, dropped):
            database, user = dropped.get(fold(row["target"]), ("", ""))
            if database and fold(row["db"]) not in dropped and not self._rules.belongs(user, row["db"]):
                found[database].append(f"{row['db']}.{row['name']}")
        return {name: dependencies.KEYS.format(", ".join(sorted(set(tables)))) for name, tables in found.items()}

    # --- what locks take --------------------------------------------------------------------------------------------

    def taken_by_locks(self) -> Iterator[Problem]:
        """Tell which privileges go with a lock that dbroster has not given, and so can't give back."""
        users, ownership = self._users[Verb.LOCK_USER], self._state.ownership
        locked = {found.key: found for found in self._accounts if found.name in users and ownership.is_ours(found)}
        lost = self._not_of_dbroster(locked)
        for key, texts in ((key, lost[key]) for key in locked if lost[key]):
            yield Problem(
                f"the lock takes privileges from {locked[key]} that dbroster has not given and can't give back: "
                f"{'; '.join(texts)}",
                user=key[0],
                warning=True,
            )

    def _not_of_dbroster(self, accounts: Mapping[Key, Account]) -> Mapping[Key, list[str]]:
        """At MySQL a lock leaves the roles."""
        lost: defaultdict[Key, list[str]] = defaultdict(list)
        owners = self._state.owners()
        for grant in self._state.grants:
            own = any(owners.get(name) == grant.user for name in self._rules.names(grant))
            if (grant.user, grant.host) in accounts and not own:
                lost[grant.user, grant.host].append(f"{', '.join(sorted(grant.privileges))} on {grant.pattern}")
        for fine in (each for grants in self._state.fine.values() for each in grants):
            if (fine.user, fine.host) in accounts:
                lost[fine.user, fine.host].append(f"those on {fine.database}.{fine.name}")
        for key, found in accounts.items() if self._session.is_mariadb else ():
            lost[key] += [f"the role {role}" for role in found.roles if not role.startswith("dbroster")]
        return lost
