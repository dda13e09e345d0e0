"""Queries and mutations of a user that the server can't break off, whatever kills them."""

import http.client
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from urllib3.exceptions import HTTPError

from dbroster.passwords.secret import Secret
from tests.contract.adapters import Refused
from tests.engines.clickhouse.adapter import ClickHouseAdapter, quoted
from tests.support.bounded import BUSY
from tests.support.waiting import wait_until

QUERY = "SELECT count() FROM system.processes WHERE user = '{}' AND elapsed > 0.2"
MUTATION = "SELECT count() FROM system.merges WHERE is_mutation AND database = '{}_web'"

# up to a second for each row; the server looks only between blocks of rows whether it shall end
SLOW = "editDistance(repeat('a', 20000), concat(repeat('b', 19000), repeat(toString(x), 10)))"

# seconds: longer than a run with a short `timeout`; the longer ones of soak also beside other work
LONG = 45 if os.environ.get("DBROSTER_SOAK") else 15


@contextmanager
def unstoppable(
    adapter: ClickHouseAdapter,
    user: str,
    password: Secret,
    statement: str,
    running: str,
    end: Callable[[], object] | None = None,
) -> Iterator[None]:
    """A statement with a {slow} function on a {table} that goes on for LONG seconds or so; `running` counts it.

    `end` kills the server when nobody needs the statement any more; without it everybody waits.
    """
    table = f"{quoted(f'{user}_web')}.t"
    adapter.ask(user, password.reveal(), f"CREATE TABLE {table} (x UInt64, y UInt64) ENGINE = MergeTree ORDER BY x")
    adapter.ask(user, password.reveal(), f"INSERT INTO {table} SELECT number, 0 FROM numbers({_rows(adapter)})")

    def work() -> None:
        with suppress(Refused, OSError, http.client.HTTPException, HTTPError):
            adapter.ask(user, password.reveal(), statement.format(table=table, slow=SLOW))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until(lambda: adapter._do(running).strip() != "0")
    try:
        yield
    finally:
        if end:
            end()
    if not end:
        thread.join(4 * LONG * BUSY)
        # a client that has been broken off ends long before what the server is at
        wait_until(lambda: adapter._do(running).strip() == "0", 4 * LONG)


def _rows(adapter: ClickHouseAdapter) -> int:
    """How many rows take this machine, as busy as it is, long enough."""
    began = time.monotonic()
    adapter._do(f"SELECT {SLOW} FROM (SELECT 0 AS x)")
    return min(100, int(LONG / (time.monotonic() - began)) + 1)
