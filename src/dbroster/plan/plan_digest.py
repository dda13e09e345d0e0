"""The digest of a plan: short enough to copy from a dry run, and different for every other plan."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator

from dbroster.model.connection import Connection
from dbroster.model.plan import Action

DIGITS = 24


def plan_digest(connection: Connection, actions: Iterable[Action]) -> str:
    """Return the digest over engine, server, roster and every action, in whatever order.

    Not over passwords: who sees the digest could try passwords against it.
    """
    told = sorted([action.verb.value, action.user, action.database or ""] for action in actions)
    text = json.dumps([connection.engine, connection.server, connection.roster, told])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def unexpected(plan: str, expected: Collection[str]) -> Iterator[str]:
    """Refuse a plan that is none of those that were expected; nothing expected means that any will do."""
    if expected and plan not in expected:
        yield (
            f"the plan is {plan}, which no --expect names: files or server have changed since that dry run; "
            "look at a new one"
        )
