"""May this plan run? A pure judgement of how much it would take away."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dbroster.config import Removals
from dbroster.model import Action, Plan, Roster, Verb

PERMIT = "permit it with --max-removals N, N% or all, or with removals: in connections.yaml"
PERMIT_ALL = "permit it with --max-removals all, or with removals: {max: all} in connections.yaml"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much one run may remove: the larger of a count and a share in percent; a count of None is no limit."""

    count: int | None
    percent: int

    def allows(self, removed: int, managed: int) -> bool:
        """Whether so many removals out of so many managed objects are within the limit."""
        return self.count is None or removed <= max(self.count, managed * self.percent // 100)

    def __str__(self) -> str:
        if self.count and self.percent:
            return f"the larger of {self.count} and {self.percent} %"
        return f"{self.percent} %" if self.percent else str(self.count)


def limit_of(removals: Removals, option: str | None) -> Limit:
    """Take the limit from `--max-removals`, else from connections.yaml.

    Raises ValueError when the option is neither a number, nor a percentage, nor `all`.
    """
    if option is None:
        return Limit(removals.max, removals.max_percent)
    if option == "all":
        return Limit(None, 100)
    match = re.fullmatch(r"(\d{1,9})(%?)", option, re.ASCII)
    if match is None:
        raise ValueError(f"expected a number, a percentage like 20%, or all, not {option!r}")
    number = int(match[1])
    return Limit(0, min(number, 100)) if match[2] else Limit(number, 0)


def refusals(plan: Plan, roster: Roster, limit: Limit) -> list[str]:
    """Return why the plan must not run; empty when it may."""
    return list(_refusals(plan, roster, limit))


def _refusals(plan: Plan, roster: Roster, limit: Limit) -> Iterator[str]:
    users = removed_users(plan)
    databases = [a for a in plan.actions if a.verb is Verb.DROP_DATABASE and a.user not in users]
    if limit.count is not None and not roster.users and plan.managed_users:
        found = f"{plan.managed_users} managed accounts are on the server"
        yield f"users.txt holds no usable user, but {found}; {PERMIT_ALL}"
    elif not limit.allows(len(users), plan.managed_users):
        yield (
            f"{len(users)} of {plan.managed_users} managed accounts would be removed, "
            f"more than the limit ({limit}); {PERMIT}"
        )
    if limit.count is not None and not roster.templates and databases:
        found = f"{plan.managed_databases} managed databases are on the server"
        yield f"the template list is empty, but {found}; {PERMIT_ALL}"
    elif not limit.allows(len(databases), plan.managed_databases):
        yield (
            f"{len(databases)} of {plan.managed_databases} managed databases would be dropped from users who stay, "
            f"more than the limit ({limit}); {PERMIT}"
        )


def removed_users(plan: Plan) -> set[str]:
    """Names of the accounts that the plan removes; every one of them is locked or dropped."""
    return {action.user for action in plan.actions if _removes(action)}


def _removes(action: Action) -> bool:
    return action.verb in (Verb.LOCK_USER, Verb.DROP_USER)
