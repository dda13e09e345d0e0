"""Ending all that an account has going on: its sessions, and operations that a client has sent without a session.

killAllSessions knows nothing of the latter, and no member of a set ends what runs on another one. Who has lost all
roles can begin nothing new, but what has begun would go on: reading, or writing into a database that was dropped.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from dbroster.engines.mongodb.accounts import Document
from dbroster.engines.mongodb.session import ADMIN, Session
from dbroster.engines.mongodb.sync_lock import ask_other_members

Ask = Callable[[Mapping[str, Any]], Document]


def end_operations(session: Session, who: Collection[Mapping[str, str]]) -> None:
    """End what these accounts (user, db) do, on the primary and on each other member that can be reached."""

    def end(ask: Ask) -> None:
        ask({"killAllSessions": list(who)})
        for operation in ask({"currentOp": 1, "$or": [{"effectiveUsers": {"$elemMatch": each}} for each in who]})[
            "inprog"
        ]:
            ask({"killOp": 1, "op": operation["opid"]})

    if who:
        end(lambda body: session.command(ADMIN, body))
        ask_other_members(session.connection, end)
