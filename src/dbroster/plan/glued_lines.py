"""Two lines of users.txt may become one without a trace: `ann:x` + `bob:y` looks like another password of ann's.

The server tells: it has bob, who would be removed now, and ann's password there is the beginning of the line's. So
lines are looked at again when there is a plan.
"""

import re
from collections.abc import Iterator, Mapping

from dbroster.model.plan import Plan, Verb
from dbroster.model.problems import Problem
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, PasswordCheck
from dbroster.passwords.secret import Secret
from dbroster.plan.possible_renames import Check

MOST_PREFIXES = 50
"""So many beginnings of a changed password are tried at most: some servers check one by a login."""

_NAME_AND_COLON = re.compile(r"[A-Za-z0-9._-]+:", re.ASCII)
_BETWEEN = re.compile(r"(?:\s|,|;|\\r|\\n)+\Z")
"""What a line end may have become: white space, a list's comma, or the letters that stand for it in JSON."""


def glued(plan: Plan, roster: Roster, actual: Actual, check: Check) -> Mapping[str, str]:
    """Return the users whose line seems to be two lines, and why, in words that hold nothing of a password."""
    return {**dict(_with_a_leaver(plan, roster, actual)), **dict(_with_the_old_password(plan, roster, actual, check))}


def without_glued(roster: Roster, found: Mapping[str, str]) -> Roster:
    """Return the roster that leaves these users as they are, and removes nobody."""
    for name, why in found.items():
        text = f"{why}, so the line may be two lines: part them; this user is left as found; nothing is removed"
        problem = Problem(text, roster.file, roster.users[name].line, name)
        reason = f"{roster.file} line {roster.users[name].line}: it may be two lines"
        roster = roster.without({name}, ()).doubted(problem, reason)
    return roster


def _with_a_leaver(plan: Plan, roster: Roster, actual: Actual) -> Iterator[tuple[str, str]]:
    """Find passwords that hold `name:` of somebody who would be removed, with whatever in front of it."""
    leaving = plan.leavers
    if not leaving:
        return
    for user in roster.users.values():
        password = user.password.reveal()
        if ":" not in password or actual.passwords.get(user.name) is PasswordCheck.SAME:
            continue
        ends = [found.end() - 1 for found in _NAME_AND_COLON.finditer(password)]
        held = next((name for name in sorted(leaving) for end in ends if password.endswith(name, 0, end)), None)
        if held:
            yield user.name, f"the line holds the name of {held}, who would be removed"


def _with_the_old_password(plan: Plan, roster: Roster, actual: Actual, check: Check) -> Iterator[tuple[str, str]]:
    """Find changed passwords that begin with the old one, and go on like a line of their own."""
    left = MOST_PREFIXES
    for action in plan.of(Verb.UPDATE_PASSWORD):
        if action.user not in roster.users:
            continue
        user = roster.users[action.user]
        for prefix in _prefixes(user.password.reveal()):
            if not left:
                return
            left -= 1
            answer = check([User(user.name, Secret(prefix), user.line)], actual.users)
            if answer.get(user.name) is PasswordCheck.SAME:
                yield user.name, "the account has the password that the line begins with, and a name and a colon follow"
                break


def _prefixes(password: str) -> Iterator[str]:
    """Return what may stand before a second `name:`, the longest names first."""
    for found in _NAME_AND_COLON.finditer(password):
        for start in range(found.start(), found.end() - 1):
            if password[start].isalnum():
                prefix = password[:start]
                yield from filter(None, dict.fromkeys((prefix, _BETWEEN.sub("", prefix))))
