"""Reading accounts: by a cursor on the collection that holds them, or where the admin may not, by usersInfo.

usersInfo knows neither cursor nor limit, and the server breaks the connection off when a reply is larger than 16 MB
(from some 15,000 accounts on). So the accounts are read in parts. What divides them evenly, whatever their names
are, is `userId`: the server gives each account a random one. A sample, 1 of 256 parts, tells how many parts it takes.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from bson.binary import UUID_SUBTYPE, Binary

Document = dict[str, Any]
PART = 1000
"""Accounts that one reply of usersInfo shall have, about; 20 times as many would be too many."""

_SAMPLE = 256
_BITS = 128


def read_by_usersinfo(
    ask: Callable[[Document], list[Document]], auth_database: str, query: Mapping[str, Any], *, credentials: bool
) -> list[Document]:
    """Read all accounts of the authentication database, or those that match; `ask` sends a command.

    From where an account may log in is told only of an account that is named (manual, "usersInfo").
    """
    if isinstance(query.get("user"), str):
        who = {"user": query["user"], "db": auth_database}
        return ask({"usersInfo": who, "showCredentials": credentials, "showAuthenticationRestrictions": True})

    def matching(wanted: Mapping[str, Any]) -> list[Document]:
        return ask({"usersInfo": 1, "showCredentials": credentials, "filter": dict(wanted)})

    if query:
        return matching(query)
    found = matching({"userId": {"$lt": _bound(1, _SAMPLE)}})
    parts = len(found) * _SAMPLE // PART + 1
    starts = [_bound(parts + number * (_SAMPLE - 1), parts * _SAMPLE) for number in range(parts)]
    for start, end in pairwise(starts):
        found += matching({"userId": {"$gte": start, "$lt": end}})
    # the last part, and accounts of old versions, which have no userId
    return found + matching({"userId": {"$not": {"$lt": starts[-1]}}})


def _bound(number: int, parts: int) -> Binary:
    """The UUID with which a part of all UUIDs begins."""
    return Binary(((number << _BITS) // parts).to_bytes(_BITS // 8, "big"), UUID_SUBTYPE)
