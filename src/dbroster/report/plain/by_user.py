"""What a run changes, one line for each user: removals first, then who is new, who changes, and what went wrong."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dbroster.model.plan import NEW_USER, NOT_LISTED, OTHER_PASSWORD, REMOVALS, TAKEN_BACK, Verb
from dbroster.model.result import Outcome, Result, Status
from dbroster.report.exit_codes import WENT_WRONG
from dbroster.report.labels import label

REMOVED, NEW, CHANGED, WRONG = "-", "+", "~", "!"
SIGNS = (REMOVED, NEW, CHANGED, WRONG)
MOST = 12
"""Lines of one sign, but for removals: these are always told."""

_NAMED_SERVERS = 3
_STEPS = {
    Verb.CREATE_USER: "create the account",
    Verb.ADOPT: "take over",
    Verb.UPDATE_PASSWORD: "set the password",
    Verb.CREATE_DATABASE: "create",
    Verb.GRANT_PRIVILEGES: "grant privileges on",
    Verb.LOCK_USER: "lock the account",
    Verb.ARCHIVE_DATABASE: "archive",
    Verb.DROP_DATABASE: "drop",
    Verb.DROP_USER: "drop the account",
    Verb.RESTORE_DATABASE: "restore",
    Verb.RENAME_USER: "rename the account",
    Verb.MOVE_DATABASE: "fill",
}


class Line(NamedTuple):
    """What becomes of one user, or would if it had not been refused."""

    sign: str
    user: str
    text: str
    refused: bool = False


def lines_of(results: Sequence[Result]) -> list[Line]:
    """Return the lines of all servers, ordered by sign; a line that not all servers have names those that do."""
    where: dict[Line, list[str]] = {}
    for result in results:
        for line in _of_one(result):
            where.setdefault(line, []).append(label(result.engine, result.server))
    lines = [line._replace(text=line.text + _on(names, len(results))) for line, names in where.items()]
    return sorted(lines, key=lambda line: SIGNS.index(line.sign))


def told_lines(results: Sequence[Result], *, silent: bool) -> list[Line]:
    """Return the lines that a report shows; a silent one only what went wrong or was refused."""
    lines = [line for line in lines_of(results) if not silent or line.sign == WRONG or line.refused]
    return list(_cut(lines))


def _cut(lines: Sequence[Line]) -> Iterator[Line]:
    """Yield as many lines of each sign as a person reads; behind them, how many of that sign were left out."""
    for sign in SIGNS:
        ours = [line for line in lines if line.sign == sign]
        shown = len(ours) if sign == REMOVED or len(ours) <= MOST else MOST - 2
        yield from ours[:shown]
        if left := len(ours) - shown:
            yield Line(sign, "...", f"and {left} more, which --verbose tells")


def _on(names: Sequence[str], servers: int) -> str:
    if len(names) == servers:
        return ""
    more = len(names) - _NAMED_SERVERS
    return f" (on {', '.join(names[:_NAMED_SERVERS])}{f' and {more} more' if more > 0 else ''})"


def _of_one(result: Result) -> Iterator[Line]:
    by_user: dict[str, list[Outcome]] = {}
    for outcome in result.outcomes:
        by_user.setdefault(outcome.action.user, []).append(outcome)
    for user, outcomes in by_user.items():
        changes = _Changes(user, [o for o in outcomes if o.status not in WENT_WRONG])
        if text := changes.text():
            refused = any(o.status is Status.REFUSED for o in outcomes)
            yield Line(changes.sign(), user, text + " (refused)" * refused, refused)
        yield from (Line(WRONG, user, text) for text in _wrong(outcomes))


class _Changes:
    """What is changed for one user; what a failure took back is no change."""

    def __init__(self, user: str, outcomes: Sequence[Outcome]) -> None:
        self.user = user
        back = {o.action.database for o in outcomes if o.action.reason == TAKEN_BACK}
        self.outcomes = [o for o in outcomes if o.action.database not in back]
        self.verbs = {o.action.verb for o in self.outcomes}

    def sign(self) -> str:
        if self.verbs & {*REMOVALS}:
            return REMOVED
        new = Verb.RESTORE_DATABASE in self.verbs or Verb.ADOPT in self.verbs or self._is_new()
        return NEW if new else CHANGED

    def text(self) -> str:
        account, databases = self._account(), self._databases()
        return f"{account}: {databases}" if account and databases else account or databases

    def _is_new(self) -> bool:
        return any(o.action.verb is Verb.CREATE_USER and o.action.reason == NEW_USER for o in self.outcomes)

    def _account(self) -> str:
        own = {o.action.verb: o.action.reason for o in self.outcomes if o.action.database is None}
        if Verb.CREATE_USER in own and Verb.MOVE_DATABASE in self.verbs:
            own.pop(Verb.UPDATE_PASSWORD, None)  # its own password comes behind that
        if Verb.DROP_USER in own:
            return "removed" + _because(own[Verb.DROP_USER], NOT_LISTED)
        told = {
            Verb.LOCK_USER: ("locked", ""),
            Verb.CREATE_USER: ("new" if self._is_new() else "account created", NEW_USER),
            Verb.ADOPT: ("taken over", ""),
            Verb.RENAME_USER: ("renamed", ""),
            Verb.UPDATE_PASSWORD: ("password changed", OTHER_PASSWORD),
        }
        return ", ".join(text + _because(own[verb], usual) for verb, (text, usual) in told.items() if verb in own)

    def _databases(self) -> str:
        archived, moved = self._names(Verb.ARCHIVE_DATABASE), self._names(Verb.MOVE_DATABASE)
        created = [name for name in self._names(Verb.CREATE_DATABASE) if name not in moved]
        dropped, adopted = self._names(Verb.DROP_DATABASE), self._names(Verb.ADOPT)
        granted = [name for name in self._names(Verb.GRANT_PRIVILEGES) if name not in (*created, *adopted, *moved)]
        saved = bool(dropped) and set(dropped) <= set(archived)
        stays = Verb.DROP_USER not in self.verbs
        told = (
            self._some([name for name in archived if name not in dropped], "archived"),
            self._some(dropped, "archived and dropped" if saved else "dropped", Verb.DROP_DATABASE if stays else None),
            _number(created) if created and self._is_new() else self._some(created, "created"),
            self._some(adopted, "taken over", Verb.ADOPT),
            self._some(granted, "granted anew", Verb.GRANT_PRIVILEGES),
            self._some(self._names(Verb.RESTORE_DATABASE), "restored"),
            self._some(moved, "moved"),
        )
        return "; ".join(filter(None, told))

    def _names(self, verb: Verb) -> list[str]:
        return [o.action.database for o in self.outcomes if o.action.verb is verb and o.action.database is not None]

    def _some(self, names: Sequence[str], what: str, why: Verb | None = None) -> str:
        """Say what becomes of databases; why, if that is the same for all of them."""
        if not names:
            return ""
        short = ", ".join(name.removeprefix(f"{self.user}_") for name in names)
        reasons = {o.action.reason for o in self.outcomes if o.action.verb is why and o.action.database is not None}
        reason = reasons.pop() if len(reasons) == 1 else ""
        return f"{_number(names)} {what} ({short}){f', {reason}' if reason else ''}"


def _because(reason: str, usual: str) -> str:
    return f" ({reason})" if reason and reason != usual else ""


def _number(names: Sequence[str]) -> str:
    return f"{len(names)} database{'s' * (len(names) != 1)}"


def _wrong(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Say which steps failed and why, which were left out because of that, and what is to be known of others."""
    left_out: dict[tuple[Status, str | None], list[str]] = {}
    for outcome in outcomes:
        if outcome.status is Status.FAILED:
            code = f" [{outcome.code}]" if outcome.code else ""
            yield f"failed to {_step(outcome)}: {outcome.error}{code}"
        elif outcome.status in WENT_WRONG:
            left_out.setdefault((outcome.status, outcome.error), []).append(_step(outcome))
        elif outcome.note:
            yield f"{_step(outcome)}: {outcome.note}"
    for (status, reason), steps in left_out.items():
        yield f"{status.value.replace('_', ' ')}: {', '.join(steps)}{f': {reason}' if reason else ''}"
    if any(o.action.reason == TAKEN_BACK and o.status is Status.DONE for o in outcomes):
        yield TAKEN_BACK


def _step(outcome: Outcome) -> str:
    verb, _, database = outcome.action[:3]
    return (
        f"{_STEPS[verb]} {database}"
        if database is not None
        else "take over the account"
        if verb is Verb.ADOPT
        else _STEPS[verb]
    )
