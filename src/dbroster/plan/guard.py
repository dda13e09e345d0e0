"""May this plan run? A judgement of how much it would take away, by the plan, the server's state and the audit log.

Removals without permission are few: of one run, and of all runs within 24 hours. `--max-removals` permits more for one
run. What dbroster has locked already was judged, or permitted, when it was locked, and does not count again.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from dbroster.model.connection import Removals
from dbroster.model.plan import Action, Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster
from dbroster.model.state import Actual, Lock

if TYPE_CHECKING:
    from dbroster.audit.history import History

ALL = "all"
SHOWN = 10
_STRANGERS = "in this directory's audit log: another team's? Give each team its own `roster:` name in connections.yaml"


class Limit(NamedTuple):
    """How much may be removed: the larger of a count and a share in percent; a count of None is no limit."""

    most: int | None
    percent: int

    def allows(self, removed: int, managed: int) -> bool:
        """Whether so many removals out of so many managed objects are within the limit."""
        return self.most is None or removed <= max(self.most, managed * self.percent // 100)

    def __str__(self) -> str:
        if self.most and self.percent:
            return f"the larger of {self.most} and {self.percent} %"
        return f"{self.percent} %" if self.percent else str(self.most)


def limit_of(removals: Removals, option: str | None) -> Limit:
    """Take the limit from `--max-removals`, else from connections.yaml.

    Raises ValueError when the option is neither a number, nor a percentage, nor `all`.
    """
    if option is None:
        return Limit(removals.max, removals.max_percent)
    if option == ALL:
        return Limit(None, 100)
    match = re.fullmatch(r"(\d{1,9})(%?)", option, re.ASCII)
    if match is None:
        raise ValueError(f"expected a number, a percentage like 20%, or all, not {option!r}")
    number = int(match[1])
    return Limit(0, min(number, 100)) if match[2] else Limit(number, 0)


class Guard:
    """Judges one plan. `option` is what `--max-removals` says; `log` reads the audit log, and is asked if need be."""

    def __init__(
        self,
        plan: Plan,
        roster: Roster,
        actual: Actual,
        removals: Removals,
        option: str | None,
        log: Callable[[], "History"],
    ) -> None:
        self.plan, self.roster, self.actual = plan, roster, actual
        self.removals, self.option, self.log = removals, option, log

    @cached_property
    def refusals(self) -> tuple[str, ...]:
        """Why the plan must not run; empty when it may."""
        return tuple(self._refusals())

    @property
    def warnings(self) -> Iterator[Problem]:
        """What a person should know beside: what of the audit log could not be read, and strangers among those who go.

        An account that this directory has never made, while it has made others, may be one of a second directory.
        """
        if self.refusals or "_history" in vars(self):
            for doubt in self._history.doubts:
                yield Problem(f"{doubt}; the guard may count too little", warning=True)
        if self._counted and self.option is None and not self.refusals and self._history.known:
            for name in self._counted:
                if name in self.actual.users and name not in self._history.known:
                    yield Problem(f"{name} was never {_STRANGERS}", warning=True)

    @property
    def permission(self) -> str:
        """What `--max-removals` must say for this plan."""
        if self._nobody_left or self._no_template:
            return ALL
        return str(max(len(self._accounts), len(self._databases)))

    # --- what would go ----------------------------------------------------------------------------------------------

    @cached_property
    def _accounts(self) -> list[str]:
        return sorted(self.plan.leavers)

    @cached_property
    def _counted(self) -> list[str]:
        """Accounts that count: one that dbroster has locked before counted then, unless a number is given for now."""
        if self.option is not None:
            return self._accounts
        users = self.actual.users
        return [name for name in self._accounts if name not in users or users[name].lock is not Lock.OURS]

    @cached_property
    def _standing(self) -> set[str]:
        """Managed accounts that a share is taken of: without those that went, and counted, before."""
        users = self.actual.users.items()
        return {name for name, user in users if user.managed and (self.option or user.lock is not Lock.OURS)}

    @cached_property
    def _owned(self) -> set[str]:
        """Databases that a share is taken of."""
        return {name for name, database in self.actual.databases.items() if database.owner in self._standing}

    @cached_property
    def _databases(self) -> list[Action]:
        """Databases of users who stay. Those of leavers go with their users; nobody ever was in an unfinished one."""
        leavers = self.plan.leavers
        used = {name for name, database in self.actual.databases.items() if database.usable}
        drops = self.plan.of(Verb.DROP_DATABASE)
        return [action for action in drops if action.user not in leavers and action.database in used]

    @cached_property
    def _history(self) -> "History":
        return self.log()

    @cached_property
    def _limit(self) -> Limit:
        return limit_of(self.removals, self.option)

    @property
    def _unlimited(self) -> bool:
        return self._limit.most is None

    # --- why it must not --------------------------------------------------------------------------------------------

    def _refusals(self) -> Iterator[str]:
        nobody, no_template = self._nobody_left, self._no_template
        if nobody:
            found = f"{_are(self.plan.managed_users, 'account')} on the server"
            yield f"{self.roster.file} holds no usable user, but {found}{self._whose()}; {self._permit}"
        if no_template:
            found = f"{_are(self.plan.managed_databases, 'database')} on the server"
            yield f"the template list is empty, but {found}; {self._permit}"
        if self._counted and not nobody:
            yield from self._too_many_accounts()
        if self._databases and not no_template:
            yield from self._too_many_databases()
        if self.option is None:
            for text in (
                *self._promised(), *self._unarchived(), *self._came_back(), *self._half_renamed(),
                *self.plan.reservations,
            ):  # fmt: skip
                yield f"{text}; {self._permit}"

    def _too_many_accounts(self) -> Iterator[str]:
        why = list(self._against_accounts())
        if why:
            found = f"{len(self._counted)} of {len(self._standing)} managed accounts would be removed"
            yield f"{found} ({_few(self._counted)}): {' and '.join(why)}{self._whose()}; {self._permit}"

    def _too_many_databases(self) -> Iterator[str]:
        why = list(self._against_databases())
        if why:
            found = f"{len(self._databases)} of {len(self._owned)} managed databases would be dropped"
            names = _few([action.database or "" for action in self._databases])
            yield f"{found} from users who stay ({names}): {' and '.join(why)}; {self._permit}"

    @property
    def _permit(self) -> str:
        return f"permit it with --max-removals {self.permission}"

    @property
    def _nobody_left(self) -> bool:
        return not self._unlimited and not self.roster.users and self.plan.managed_users > 0

    @property
    def _no_template(self) -> bool:
        return not self._unlimited and not self.roster.templates and bool(self._databases)

    def _against_accounts(self) -> Iterator[str]:
        if not self._limit.allows(len(self._counted), len(self._standing)):
            yield f"more than the limit for one run ({self._limit})"
        if not self._unlimited and self.option is None and self._standing <= set(self._accounts):
            yield "all that there are"
        before = self._history.accounts if self.option is None else {}
        new = [name for name in self._counted if name not in self._history.begun] if before else self._counted
        yield from self._against_day(new, before, len(self._standing | before.keys()))

    def _against_databases(self) -> Iterator[str]:
        if not self._limit.allows(len(self._databases), len(self._owned)):
            yield f"more than the limit for one run ({self._limit})"
        if self.option is None and not self._unlimited and self._whole_templates:
            yield f"all that there are of the template {' and '.join(self._whole_templates)}{self._renamed()}"
        before = self._history.databases if self.option is None else {}
        names = [a.database or "" for a in self._databases]
        new = [name for name in names if name not in self._history.begun_databases] if before else names
        yield from self._against_day(new, before, len(self._owned | before.keys()))

    def _against_day(self, new: Collection[str], before: Mapping[str, int], managed: int) -> Iterator[str]:
        """Add what earlier runs have removed without permission within 24 hours, as the audit log tells."""
        limit = Limit(self.removals.max_per_day, self.removals.max_percent_per_day)
        if self.option is None and not limit.allows(len(new) + sum(before.values()), managed):
            earlier = f", with {sum(before.values())} in the last 24 hours ({_few(sorted(before))})" if before else ""
            yield f"more than the limit for a day{earlier} ({limit})"

    @cached_property
    def _whole_templates(self) -> list[str]:
        """Templates that two or more users have, and that would be dropped from users who stay."""
        owners: defaultdict[str, set[str]] = defaultdict(set)
        for database in self.actual.databases.values():
            if database.owner is not None:
                owners[_template(database.owner, database.name)].add(database.owner)
        dropped = {_template(action.user, action.database or "") for action in self._databases}
        return sorted(template for template in dropped if len(owners[template]) > 1)

    def _renamed(self) -> str:
        """Say that a template that nobody has so far may be the new name of one that goes."""
        had = {_template(d.owner, d.name) for d in self.actual.databases.values() if d.owner is not None}
        new = [template for template in self.roster.templates if template not in had]
        return f" ({' and '.join(new)} would be made anew and empty: data does not move)" if new else ""

    def _promised(self) -> Iterator[str]:
        """Tell who was locked to be kept for days, if connections.yaml, cut or edited, says nothing of them now."""
        users = self.actual.users
        kept = [name for name in self._accounts if name in users and users[name].locked_since is not None]
        if kept and not self.removals.grace_days:
            yield f"{_few(kept)} would be kept for days of grace, but removals.grace_days is not set any more"

    def _unarchived(self) -> Iterator[str]:
        """Tell what would go without an archive, if connections.yaml, cut or edited, says nothing of archives now."""
        removals, databases = self.removals, self.actual.databases
        drops = [action.database or "" for action in self.plan.of(Verb.DROP_DATABASE)]
        used = [name for name in drops if name in databases and databases[name].usable]
        if used and not (removals.archive_dir or removals.unarchived) and self._history.archived:
            text = f"{_few(used)} would be dropped without an archive, but earlier runs were to archive those"
            yield f"{text}, and removals.archive_dir is not set any more (archive_dir: false says that it is meant)"

    def _came_back(self) -> Iterator[str]:
        """Tell what dbroster has dropped and is there again, as when a backup of the server was restored."""
        objects: list[tuple[str, str | None]] = [(name, None) for name in self._accounts if name in self.actual.users]
        objects += [(action.user, action.database) for action in self._databases]
        dates = {base or user: self._history.dropped_at(user, base) for user, base in objects}
        back = [f"{name} (dropped on {when:%Y-%m-%d %H:%M} UTC)" for name, when in dates.items() if when]
        if back:
            yield f"{_few(back)} came back, by the audit log: was a backup of the server restored?"

    def _half_renamed(self) -> Iterator[str]:
        """Tell whose databases a rename has begun to fill, or to empty, and has not finished."""
        if half := [name for name in self._accounts if name in self._history.moving]:
            text = "databases got another name, or not yet, by a rename that is not finished"
            yield f"{_few(half)}: {text}: write OLD>NEW into the line again, and dbroster rename OLD NEW goes on"

    def _whose(self) -> str:
        """Say whose the accounts seem to be."""
        names = self._accounts or sorted(name for name, user in self.actual.users.items() if user.managed)
        strangers = [name for name in names if name not in self._history.known]
        if not strangers:
            return ""
        if len(names) == 1:
            return f"; {names[0]} was never {_STRANGERS}"
        who = "none of them" if strangers == names else f"of these, none of {_few(strangers)}"
        return f"; {who} was ever {_STRANGERS}"


def _template(user: str, database: str) -> str:
    return database.removeprefix(f"{user}_")


def _few(names: Collection[str]) -> str:
    shown = list(names)[:SHOWN]
    more = [f"and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return ", ".join([*shown, *more])


def _are(number: int, what: str) -> str:
    return f"{number} managed {what}{' is' if number == 1 else 's are'}"
