"""Ending all that an account has going on: its sessions, and operations that a client has sent without a session.

killAllSessions knows nothing of the latter, and no member of a set ends what runs on another one. Who has lost all
roles can begin nothing new, but what has begun would go on: reading, or writing into a database that was dropped.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from dbroster.engines.mongodb.accounts import Document
from dbroster.engines.mongodb.session import ADMIN, Session
from dbroster.engines.mongodb.sync_lock import ask_other_members

_ROOM = 100_000
"""Characters of names in one command."""

Ask = Callable[[Mapping[str, Any]], Document]


def end_operations(session: Session, who: Collection[Mapping[str, str]]) -> None:
    """End what these accounts (user, db) do, on the primary and on each other member that can be reached."""

    for some in _portions(who):

        def end(ask: Ask, some: list[Mapping[str, str]] = some) -> None:
            ask({"killAllSessions": some})
            for operation in ask(_operations(some))["cursor"]["firstBatch"]:
                ask({"killOp": 1, "op": operation["opid"]})

        end(lambda body: session.command(ADMIN, body))
        ask_other_members(session.connection, end)


def _operations(who: Collection[Mapping[str, str]]) -> dict[str, Any]:
    """Ask for nothing but numbers: with the names that an owner has made, the answer could be too long."""
    theirs = {"$or": [{"effectiveUsers": {"$elemMatch": each}} for each in who]}
    stages = [{"$currentOp": {"allUsers": True}}, {"$match": theirs}, {"$project": {"_id": 0, "opid": 1}}]
    return {"aggregate": 1, "pipeline": stages, "cursor": {"batchSize": 100_000}}


def _portions(who: Collection[Mapping[str, str]]) -> Iterator[list[Mapping[str, str]]]:
    """Cut into what one command may hold, since an owner makes as many accounts with as long names as he likes."""
    some: list[Mapping[str, str]] = []
    room = 0
    for each in who:
        size = len(each["user"]) + len(each["db"])
        if some and room < size:
            yield some
            some = []
        room = (room if some else _ROOM) - size
        some.append(each)
    if some:
        yield some
