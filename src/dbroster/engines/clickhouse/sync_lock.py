"""The lock that keeps two syncs from working on one ClickHouse server at the same time: a query that sleeps.

ClickHouse has no locks for clients. So a sync starts a query that does nothing for a long time, under an id that nobody
else has, and then looks at all running queries. If there is another sync's, it steps back, and tries again when none
is left. Of two that start at once, at least the second one to look sees the other. When the connection breaks,
because the sync ended in whatever way, the server cancels the query within a fifth of a second, since it is read-only
(`cancel_http_readonly_queries_on_client_close`).

Everybody may run a query that looks like this one. So only those of accounts that could be a sync's admin count: of
our own one, and of those that manage accounts. Nobody of the roster can keep a sync from running.

Limits: it counts on one server only, not for all of a cluster, and for a day. A proxy that ends silent connections ends
the lock early, which is noticed before the next step that removes something; the lock file beside the audit log still
keeps out a second sync of this machine.
When the machine of a sync dies without closing its connection, the query goes on for the rest of the day, or until
somebody kills it.
"""

import os
import random
import re
import secrets
import socket
import time
from typing import NamedTuple
from urllib.parse import urlencode

from dbroster.engines.clickhouse.access.powers import powerful
from dbroster.engines.clickhouse.http.requests import SingleConnection
from dbroster.engines.clickhouse.session import Session, literal
from dbroster.errors import ConnectError, ServerError, SyncLockHeld

QUERY_ID = "dbroster-sync-"
"""What the ids of these queries begin with."""
PATIENCE = 5.0
"""Seconds; the lock of a killed sync lives on until the server notices, at the end of a sleep."""

_SETTINGS = {
    "readonly": "2",  # only such queries are cancelled with their connection
    "cancel_http_readonly_queries_on_client_close": "1",
    "max_block_size": "1",  # so that it notices a closed connection after each single row
    "max_execution_time": "0",
}
_SLEEP = "sleepEachRow(0.1) FROM numbers(864000) FORMAT Null"  # a day; what is cancelled ends after one sleep
_LOOKS, _FIRST_PAUSE = 7, 0.005  # 0.6 s in all; most often the second look finds the query running
_CODE = re.compile(r"Code: \d+")


class _Running(NamedTuple):
    """A running query, with a text for people."""

    query_id: str
    user: str
    text: str


class SyncLock:
    """Held while its connection is open."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connection = session.connection
        self._holder = self._query_id = ""
        self._line: SingleConnection | None = None

    def acquire(self) -> None:
        """Take the lock. Raises SyncLockHeld, naming who has it, ConnectError, and ServerError for a refused query."""
        deadline, pause = time.monotonic() + PATIENCE, 0.1
        holder = self._take_or_name_holder()
        while holder:
            if time.monotonic() > deadline:
                raise SyncLockHeld(
                    f"another sync is at work on this server: {holder.text}; try again when it has ended, or, if its "
                    "machine is dead: "
                    f"KILL QUERY{self._session.databases_on} WHERE query_id = {literal(holder.query_id)}"
                )
            time.sleep(random.uniform(0.05, pause))  # noqa: S311 - so that two do not step back for each other for ever
            pause = min(2 * pause, 0.8)
            # first without a query of our own, which would live on for a moment and stand in others' way
            holder = next(iter(self._rivals(self._running())), None) or self._take_or_name_holder()

    def is_held(self) -> bool:
        """Whether the query still runs."""
        return any(query.query_id == self._query_id for query in self._running())

    def release(self) -> None:
        """Close the connection, which ends the query; never raises."""
        if self._line:
            self._line.end()
        self._line = None

    def _take_or_name_holder(self) -> "_Running | None":
        self._holder = f"dbroster {os.getpid()}@{socket.gethostname()} {secrets.token_hex(4)}"
        own = self._query_id = f"{QUERY_ID}{secrets.token_hex(8)}"
        self._line = line = self._start()
        for attempt in range(_LOOKS):
            running = self._running()
            if any(query.query_id == own for query in running):
                rivals = self._rivals([query for query in running if query.query_id != own])
                if rivals:
                    self.release()
                return rivals[0] if rivals else None
            time.sleep(_FIRST_PAUSE * 2**attempt)  # the request is on its way, or has been refused
        refusal = _CODE.search(self._refusal(line))
        self.release()
        raise ServerError(
            f"the server refuses the query that serves as a lock ({refusal[0] if refusal else 'no code'}); see its log"
        )

    def _rivals(self, others: "list[_Running]") -> "list[_Running]":
        """Those queries that could be another sync's."""
        strangers = sorted({query.user for query in others} - {self._connection.username})
        admins = {self._connection.username, *(powerful(self._session, strangers) if strangers else ())}
        return [query for query in others if query.user in admins]

    def _running(self) -> "list[_Running]":
        """Every query that may be a lock."""
        rows = self._session.union(
            "SELECT query_id, user, substring(query, 1, 200) AS text, toString(address) AS place,"
            " toUInt32(elapsed) AS age"
            " FROM system.processes WHERE startsWith(query_id, {start})",
            start=QUERY_ID,
        )
        return [
            _Running(query_id, user, f"{_label(query)} ({user}) from {_bare(address)} since {seconds} s")
            for query_id, user, query, address, seconds in rows
        ]

    def _start(self) -> SingleConnection:
        """Send the query and don't wait for its answer, which comes in a day, or at once if it is refused."""
        query = f"SELECT {literal(self._holder)}, {_SLEEP}"
        try:
            line = self._session.single_connection()
            settings = urlencode({**_SETTINGS, "query_id": self._query_id})
            line.send_statement(query.encode(), *self._session.account, settings)
        except OSError as error:
            raise ConnectError(f"no connection to {self._session.address} for the lock: {error}") from None
        return line

    @staticmethod
    def _refusal(line: SingleConnection) -> str:
        """What the server said to a query that it did not start; nothing when it says nothing."""
        try:
            line.sock.settimeout(1)  # meanwhile it may have been started after all
            return line.answer().text
        except OSError:
            return ""


def _label(query: str) -> str:
    found = re.match(r"SELECT '([^']*)'", query)
    return found[1] if found else "a query"


def _bare(address: str) -> str:
    return address.removeprefix("::ffff:")
