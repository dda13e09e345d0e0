"""Who has what on a server that others made, for `dbroster import`."""

from dbroster.engines.base import Handler
from dbroster.model.state import Holdings
from tests.engines.clickhouse.adapter import ClickHouseAdapter


def test_grants_on_databases_and_on_beginnings_of_names(
    adapter: ClickHouseAdapter, prefix: str, handler: Handler
) -> None:
    ann, bob, cyd = (f"{prefix}{short}" for short in ("ann", "bob", "cyd"))
    for name in (ann, bob, cyd):
        adapter.create_account_by_hand(name, "by-Hand-1234567")
        adapter.create_database_by_hand(f"{name}_web")
    for statement in (
        f"GRANT ALL ON {ann}_web.* TO {ann}",
        f"GRANT SELECT ON {bob}_*.* TO {bob}",
        f"GRANT SELECT ON {bob}_web.t TO {ann}",
        f"GRANT SELECT ON *.* TO {cyd}",
        f"GRANT SELECT ON nowhere_of_{prefix}.* TO {cyd}",
    ):
        adapter._do(statement)
    databases = handler.get_existing_databases()
    held = Holdings(handler.holdings(databases).holders).holders
    assert {name: set(users) for name, users in held.items() if name.startswith(prefix)} == {
        f"{ann}_web": {ann},
        f"{bob}_web": {ann, bob},
    }
