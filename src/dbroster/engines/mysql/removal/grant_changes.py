"""What of the grants on databases has to go, and what of it the admin may take away."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from dbroster.engines.mysql.access import ways_in
from dbroster.engines.mysql.access.accounts import Key
from dbroster.engines.mysql.access.admin_privileges import Held, held
from dbroster.engines.mysql.access.database_owners import Estate
from dbroster.engines.mysql.access.grants import Grant
from dbroster.engines.mysql.access.ways_in import FineGrant
from dbroster.engines.mysql.session import Session, accounts_list, identifier
from dbroster.engines.mysql.state import State

Excess = tuple[Grant, Collection[str]]
"""A grant, and those of its privileges that have to go."""


class GrantChanges:
    """Takes grants away, where the admin may; names those that only a more powerful account can take away."""

    def __init__(self, session: Session, state: State) -> None:
        self._session = session
        self._state = state
        self._rules = state.rules

    @cached_property
    def admin(self) -> Held:
        """What the admin may do."""
        return held(str(next(iter(line.values()))) for line in self._session.rows("SHOW GRANTS"))

    def excess(self, user: str, database: str, own: Iterable[Grant]) -> list[Excess]:
        """What is to be taken away: from the user what is too much or spelled wrong, from others everything."""
        rules, spelled = self._rules, self._rules.spelled(database)
        mine = [
            (grant, grant.privileges - (rules.wanted if rules.fold(grant.pattern) == spelled else frozenset()))
            for grant in own
        ]
        rivals = [(grant, grant.privileges) for grant in self._state.rivals(user, database)]
        return [(grant, excess) for grant, excess in (*mine, *rivals) if excess]

    def left_behind(self, estate: Estate) -> list[Excess]:
        """The user's grants, and those of others on this very name, which would open a later database to them."""
        rivals = self._state.rivals(estate.user, estate.database)
        spelled = self._rules.spelled(estate.database)
        named = [grant for grant in rivals if self._rules.fold(grant.pattern) == spelled]
        return [(grant, grant.privileges) for grant in (*estate.grants, *named)]

    def stuck(self, excess: Iterable[Excess], fine: Iterable[FineGrant] = (), first: Iterable[str] = ()) -> str | None:
        """Word what only a more powerful account can take away: a grant whose name has no backslashes, for one."""
        left = [(grant, frozenset(some) - self._revocable(grant, some)) for grant, some in excess]
        statements = [ways_in.revoke(grant, some) for grant, some in left if some]
        statements += [grant.revoke() for grant in fine if not self._may_revoke_fine(grant)]
        if not statements:
            return None
        listed = "; ".join((*first, *statements))
        return f"a grant reaches more than the admin account may change; run as root: {listed};"

    def grant(self, estate: Estate) -> None:
        """Give the accounts on configured hosts what they lack. Raises OperationError if there is none."""
        rules, spelled = self._rules, self._rules.spelled(estate.database)
        right = {grant.host: grant.privileges for grant in estate.grants if rules.fold(grant.pattern) == spelled}
        lacking = [
            found.key for found in estate.targets(rules) if not right.get(found.host, frozenset()) >= rules.wanted
        ]
        if lacking:
            self._session.run(self._grant_statement(spelled, lacking))

    def revoke(self, excess: Iterable[Excess], fine: Iterable[FineGrant] = ()) -> None:
        """Take away what the admin may take away."""
        allowed = [(grant, self._revocable(grant, some)) for grant, some in excess]
        statements = [ways_in.revoke(grant, some) for grant, some in allowed if some]
        for statement in (*statements, *(grant.revoke() for grant in fine if self._may_revoke_fine(grant))):
            self._session.run(statement)

    def stuck_adoption(self, user: str, database: str, own: Sequence[Grant]) -> str | None:
        """The same for a user who is to be taken over, whom the statements leave with what a sync would give."""
        spelled, keys = self._rules.spelled(database), dict.fromkeys((grant.user, grant.host) for grant in own)
        right = any(self._rules.fold(grant.pattern) == spelled for grant in own)
        first = [] if right or not keys else [self._grant_statement(spelled, keys)]
        return self.stuck(self.excess(user, database, own), first=first)

    def _grant_statement(self, spelled: str, accounts: Iterable[Key]) -> str:
        return f"GRANT {', '.join(sorted(self._rules.wanted))} ON {identifier(spelled)}.* TO {accounts_list(accounts)}"

    def _revocable(self, grant: Grant, privileges: Collection[str]) -> frozenset[str]:
        return self.admin.revocable(grant.pattern, privileges, literal=self._rules.literal)

    def _may_revoke_fine(self, fine: FineGrant) -> bool:
        return not fine.is_of_package and self.admin.may_pass_on(
            fine.privileges - {"GRANT OPTION"}, fine.database, literal=self._rules.literal
        )
