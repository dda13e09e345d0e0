"""Is who leaves the same person as who comes? A new name with the password of an account that goes says so.

To give an account a new name in users.txt means new, empty databases, and the end of the old ones. Few people expect
that, so dbroster says it, and wants a permission for it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product

from dbroster.model.connection import Connection
from dbroster.model.plan import Plan, Verb
from dbroster.model.roster import Roster, User
from dbroster.model.state import Actual, ExistingUser, PasswordCheck

MOST_PAIRS = 100
"""So many passwords are tried at most: some servers check one by a login. More changes are for the guard anyway."""

Check = Callable[[Sequence[User], Mapping[str, ExistingUser]], Mapping[str, PasswordCheck]]


def renamed(plan: Plan, roster: Roster, actual: Actual, check: Check) -> dict[str, str]:
    """Return old and new names of users who leave and come with one password, as `check` tells."""
    leaving = [name for name in sorted(plan.leavers) if name in actual.users][:MOST_PAIRS]
    coming = [user for user in roster.users.values() if not _is_managed(actual.users.get(user.name))]
    found: dict[str, str] = {}
    for user in coming[: MOST_PAIRS // len(leaving)] if leaving else ():
        asked = [User(name, user.password, user.line) for name in leaving if name not in found]
        answers = check(asked, actual.users)
        found |= {name: user.name for name in answers if answers[name] is PasswordCheck.SAME}
    return found


def _is_managed(existing: ExistingUser | None) -> bool:
    return existing is not None and existing.managed


def reservations(pairs: Mapping[str, str], plan: Plan, connection: Connection) -> Iterator[str]:
    """Say of each pair what would be lost, and how to keep it."""
    drops = plan.of(Verb.DROP_DATABASE)
    for old, new in pairs.items():
        databases = sorted(action.database or "" for action in drops if action.user == old)
        same = f"{new} seems to be {old} under a new name (the password is the same)"
        yield f"{same}, but {_loss(old, new, databases, connection)}"


def template_reservations(plan: Plan, actual: Actual) -> Iterator[str]:
    """Tell templates that look like a cut line, or like two lines that became one: `analyt`, `webtools`."""
    leaving = plan.leavers
    drops = [a for a in plan.of(Verb.DROP_DATABASE) if a.user not in leaving]
    old = {(a.database or "").removeprefix(f"{a.user}_") for a in drops}
    made = [a for a in plan.of(Verb.CREATE_DATABASE) if a.user in actual.users]
    new = {(a.database or "").removeprefix(f"{a.user}_") for a in made}
    for gone, come in product(sorted(old), sorted(new)):
        if come.startswith(gone) or come.endswith(gone) or gone.startswith(come):
            data = f"{gone} would be dropped with its data, and {come} starts empty"
            yield f"the template {come} is new, {gone} is not listed any more, and one is a part of the other: {data}"


def _loss(old: str, new: str, databases: Sequence[str], connection: Connection) -> str:
    back = f"to keep everything, put the line of {old} back, and then: dbroster rename {old} {new}"
    if days := connection.removals.grace_days:
        gone = f"{old} is locked, and dropped with its databases after {days} days of grace"
        return f"{gone}, and {new} starts empty; {back}"
    if not databases:
        return f"{old} is an account of its own, which would be removed; {back}"
    template = databases[0].removeprefix(f"{old}_")
    restore = f"dbroster restore {connection.engine} ARCHIVE --database {new}_{template} --from-another"
    archived = (
        "they are archived first" if connection.removals.archive_dir else "set removals: {archive_dir: DIR} first"
    )
    lost = f"{new} starts with empty databases, and {', '.join(databases)} would be dropped"
    return f"{lost}; {back}; to move the data, {archived}, then {restore}"
