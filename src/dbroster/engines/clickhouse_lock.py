"""The lock that keeps two syncs from working on one ClickHouse server at the same time: a query that sleeps.

ClickHouse has no locks for clients, but never runs two queries of one id at once. So the lock is a query of a fixed
id that does nothing for a long time. When the connection breaks, because the sync ended in whatever way, the
server cancels it within about a second, since it is read-only (`cancel_http_readonly_queries_on_client_close`).

Limits: it counts on one server only, not for all of a cluster, and for a day. A proxy that ends silent connections ends
the lock early, which is not noticed; the lock file beside the audit log still keeps out a second sync of this machine.
When the machine of a sync dies without closing its connection, the query goes on for the rest of the day, or until
somebody kills it.
"""

import base64
import http.client
import os
import re
import secrets
import socket
import time
from contextlib import suppress
from urllib.parse import quote, urlencode, urlsplit

from dbroster.config import Connection
from dbroster.engines.clickhouse_session import Session, literal
from dbroster.errors import ConnectError, LockHeld, ServerError

QUERY_ID = "dbroster-sync"
PATIENCE = 5.0
"""Seconds; the lock of a killed sync lives on until the server notices, at the end of a sleep."""

_SETTINGS = {
    "query_id": QUERY_ID,
    "readonly": "2",  # only such queries are cancelled with their connection
    "cancel_http_readonly_queries_on_client_close": "1",
    "max_block_size": "1",  # so that it notices a closed connection after each single row
    "max_execution_time": "0",
    "replace_running_query": "0",  # where the admin's profile has it on, the newcomer would win
}
_SLEEP = "sleepEachRow(1) FROM numbers(86400) FORMAT Null"  # a day
_LOOKS, _FIRST_PAUSE = 7, 0.005  # 0.6 s in all; most often the second look finds the query running
_ALREADY_RUNNING = re.compile(r"Code: 216\b")
_CODE = re.compile(r"Code: \d+")


class ServerLock:
    """Held while its connection is open."""

    def __init__(self, session: Session, connection: Connection) -> None:
        self._session = session
        self._connection = connection
        self._holder = ""
        self._wire: http.client.HTTPConnection | None = None

    def acquire(self) -> None:
        """Take the lock. Raises LockHeld, naming who has it, ConnectError, and ServerError for a refused query."""
        deadline = time.monotonic() + PATIENCE
        while holder := self._take_or_name_holder():
            if time.monotonic() > deadline:
                raise LockHeld(
                    f"another sync is at work on this server: {holder}; try again when it has ended, or, if its "
                    f"machine is dead: KILL QUERY WHERE query_id = '{QUERY_ID}'"
                )
            time.sleep(0.2)

    def release(self) -> None:
        """Close the connection, which ends the query; never raises."""
        if self._wire:
            with suppress(OSError):
                self._wire.close()
        self._wire = None

    def _take_or_name_holder(self) -> str | None:
        # new each time: a query of an earlier attempt may be at its end, and must not be taken for this one
        self._holder = f"dbroster {os.getpid()}@{socket.gethostname()} {secrets.token_hex(4)}"
        self._wire = self._start()
        others: list[str] = []
        for attempt in range(_LOOKS):
            others = self._running()
            if any(self._holder in query for query in others):
                return None
            if others:
                break
            time.sleep(_FIRST_PAUSE * 2**attempt)  # the request is on its way, or has been refused
        refusal = self._refusal(self._wire)
        self.release()
        if refusal and not _ALREADY_RUNNING.search(refusal):
            code = _CODE.search(refusal)
            raise ServerError(
                f"the server refuses the query that serves as a lock ({code[0] if code else 'no code'}); see its log"
            )
        return others[0] if others else "one of another admin account, or one that has just ended"

    def _running(self) -> list[str]:
        """Describe the running query of our id, if there is one; its text begins with who sent it."""
        rows = self._session.rows(
            "SELECT substring(query, 1, 200), user, toString(address), toUInt32(elapsed) FROM system.processes"
            " WHERE query_id = {id}",
            id=QUERY_ID,
        )
        return [
            f"{_label(query)} ({user}) from {address.removeprefix('::ffff:')} since {seconds} s"
            for query, user, address, seconds in rows
        ]

    def _start(self) -> http.client.HTTPConnection:
        """Send the query and don't wait for its answer, which comes in a day, or at once if it is refused."""
        query = f"SELECT {literal(self._holder)}, {_SLEEP}"
        place, timeout = urlsplit(self._session.url), self._connection.connect_timeout
        host, port = place.hostname or "", place.port
        wire = (
            http.client.HTTPSConnection(host, port, timeout=timeout, context=self._session.tls)
            if self._session.tls
            else http.client.HTTPConnection(host, port, timeout=timeout)
        )
        password = self._connection.password.reveal() if self._connection.password else ""
        login = base64.b64encode(f"{self._connection.username}:{password}".encode()).decode()
        try:
            wire.request(
                "POST",
                f"{quote(place.path)}?{urlencode(_SETTINGS)}",
                query.encode(),
                {"Authorization": f"Basic {login}"},
            )
        except OSError as error:
            wire.close()
            raise ConnectError(f"no connection to {self._session.address} for the lock: {error}") from None
        return wire

    @staticmethod
    def _refusal(wire: http.client.HTTPConnection) -> str:
        """What the server said to a query that it did not start; nothing when it says nothing."""
        try:
            if wire.sock:
                wire.sock.settimeout(1)  # meanwhile it may have been started after all
            return wire.getresponse().read(2000).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return ""


def _label(query: str) -> str:
    found = re.match(r"SELECT '([^']*)'", query)
    return found[1] if found else "a query"
