"""Queries and mutations of a user that the server can't break off, whatever kills them."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dbroster.secret import Secret
from tests.bounded import BUSY
from tests.contract.adapter_clickhouse import ClickHouseAdapter, quoted
from tests.contract.adapters import Refused
from tests.unit.waiting import wait_until

QUERY = "SELECT count() FROM system.processes WHERE user = '{}' AND elapsed > 0.2"
MUTATION = "SELECT count() FROM system.merges WHERE is_mutation AND database = '{}_web'"

# most of a second for each row; the server looks only between blocks of rows whether it shall end
SLOW = "editDistance(repeat('a', 20000), concat(repeat('b', 19000), repeat(toString(x), 10)))"


@contextmanager
def unstoppable(
    adapter: ClickHouseAdapter, user: str, password: Secret, statement: str, running: str
) -> Iterator[None]:
    """A statement with a {slow} function on a {table} that goes on for some ten seconds; `running` counts it."""
    table = f"{quoted(f'{user}_web')}.t"
    adapter.ask(user, password.reveal(), f"CREATE TABLE {table} (x UInt64, y UInt64) ENGINE = MergeTree ORDER BY x")
    adapter.ask(user, password.reveal(), f"INSERT INTO {table} SELECT number, 0 FROM numbers(16)")

    def work() -> None:
        with suppress(Refused, OSError, http.client.HTTPException):
            adapter.ask(user, password.reveal(), statement.format(table=table, slow=SLOW))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_until(lambda: adapter._do(running).strip() != "0")
    yield
    thread.join(10 * BUSY)
