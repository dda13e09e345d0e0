"""Who has what on a server that others made, for `dbroster import`."""

import pytest

from dbroster.errors import PrivilegeError
from tests.engines.mysql.conftest import OTHER, Site


def test_grants_in_each_spelling_and_accounts_at_other_hosts(site: Site) -> None:
    ann, bob, cyd = (site.name() for _ in range(3))
    site.dba.run(
        *(f"CREATE USER '{name}'@'{host}' IDENTIFIED BY '{OTHER}'" for name, host in (
            (ann, "%"), (ann, "10.0.0.1"), (bob, "%"), (cyd, "localhost"),
        )),
        *(f"CREATE DATABASE {name}" for name in (f"{ann}_web", f"{ann}_old", f"{bob}_web", f"{bob}Xweb")),
        f"GRANT ALL ON {ann}_web.* TO '{ann}'@'%'",
        f"GRANT ALL ON `{bob}\\_%`.* TO '{bob}'@'%'",
        f"GRANT SELECT ON `{ann}\\_old`.* TO '{ann}'@'10.0.0.1'",
        f"GRANT SELECT ON `{ann}\\_old`.* TO '{cyd}'@'localhost'",
    )  # fmt: skip
    handler = site.open()
    handler.get_existing_users()
    databases = handler.get_existing_databases()
    found = handler.holdings(databases)
    assert {name: set(found.holders.get(name, ())) for name in databases if name.startswith((ann, bob))} == {
        f"{ann}_web": {ann},
        f"{ann}_old": {ann, cyd},
        f"{bob}_web": {bob},
        f"{bob}Xweb": set(),
    }
    told = {name: reason for name, reason in found.unfit.items() if name.startswith((ann, bob, cyd))}
    assert told.keys() == {ann, f"{cyd}@localhost"}
    assert f"{ann}@10.0.0.1 would stay as it is" in told[ann]
    assert "does not list localhost" in told[f"{cyd}@localhost"]
    listed = site.open(options={"hosts": ("%", "localhost")})
    assert f"{cyd}@localhost" not in listed.holdings(listed.get_existing_databases()).unfit


def test_an_admin_who_does_not_see_all_databases_is_told_what_lacks(site: Site) -> None:
    admin, foreign = site.least(), site.name()
    site.dba.run(f"CREATE DATABASE {foreign}")
    handler = site.open(admin)
    assert foreign not in handler.get_existing_databases()
    with pytest.raises(PrivilegeError) as caught:
        handler.holdings({})
    site.dba.run(*caught.value.missing)
    handler = site.open(admin)
    databases = handler.get_existing_databases()
    assert foreign in databases
    assert foreign not in handler.holdings(databases).holders
