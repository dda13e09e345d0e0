"""How long the account of a removed user is kept, locked and with its databases; pure functions.

Only what is certain removes anything: a date that is unknown, or in the future, does not.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from dbroster.model.problems import Problem
from dbroster.model.state import ExistingUser, Lock

STAMP = "%Y-%m-%dT%H:%M:%SZ"
"""How engines write down when an account was locked: UTC, to the second."""


class GracePeriod(NamedTuple):
    """The days for which an account is kept after it was locked, and what time it is, by the server's clock."""

    days: int = 0
    now: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def ends(self, existing: ExistingUser) -> datetime | None:
        """When the account may be removed; None when nobody knows, since it is dbroster's lock that is dated."""
        if existing.lock is Lock.FOREIGN:
            return None
        since = existing.locked_since or self.now
        return since + min(timedelta(days=self.days), datetime.max.replace(tzinfo=UTC) - since)

    def is_due(self, existing: ExistingUser) -> bool:
        """Whether the account may be removed now: at once without days of grace, else when they are over."""
        if not self.days:
            return True
        since = existing.locked_since
        return existing.lock is Lock.OURS and since is not None and self.now - since >= timedelta(days=self.days)

    def needs_lock(self, existing: ExistingUser) -> bool:
        """Whether the account has to be locked, or locked again, since it is not known when it was."""
        if not self.days:
            return existing.lock is not Lock.OURS
        return existing.lock is Lock.OPEN or (existing.lock is Lock.OURS and existing.locked_since is None)

    def note(self, existing: ExistingUser) -> Problem:
        """Say for an account that is kept until when; in the run that locks it, that may fail yet."""
        until = self.ends(existing)
        if until is None:
            text = (
                "not in users.txt, and locked, but not by dbroster: kept with its databases, since nobody knows how "
                "long for (removals.grace_days); open it, and the next run locks it and counts from then on"
            )
        else:
            text = f"not in users.txt: kept until {until:%Y-%m-%d %H:%M} UTC with its databases"
        return Problem(text, user=existing.name, warning=True)


NO_GRACE = GracePeriod()
"""Accounts are removed at once."""


def stamp(when: datetime) -> str:
    """Write down a time."""
    return f"{when.astimezone(UTC):{STAMP}}"


def read_stamp(text: object) -> datetime | None:
    """Read a time that `stamp` has written; None for anything else, which then counts as unknown."""
    try:
        return datetime.strptime(text, STAMP).replace(tzinfo=UTC) if isinstance(text, str) else None
    except ValueError:
        return None
