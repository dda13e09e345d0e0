"""A newcomer with an empty directory and one server: what the README promises, command by command."""

import json
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from tests.e2e.site import Site
from tests.e2e.test_grants import CLEANING
from tests.support import warm
from tests.support.admin_script import pipe

ROLES = {
    "postgresql": ('DROP ROLE "dbroster:{roster}"',),
    "mariadb": ("DROP ROLE `dbroster:{roster}`", "DROP ROLE `dbroster:{roster}:has:web`"),
    "clickhouse": ("DROP ROLE `dbroster:{roster}`",),
}
"""What a roster leaves on a server."""


@pytest.fixture
def empty(site: Site, tmp_path: Path) -> Iterator[Path]:
    """A directory to begin in; what was made on the server goes again."""
    home = tmp_path / "home"
    home.mkdir()
    yield home
    site.configure(site.prefix)
    site.users()
    site.run("--max-removals", "all")
    for statement in CLEANING[site.adapter.engine]:
        site.adapter.server.admin(statement.format(admin="dbroster"))
    for statement in ROLES.get(site.adapter.server.engine, ()):
        site.adapter.server.admin(statement.format(roster=site.prefix))


def dbroster(directory: Path, *words: str) -> str:
    """Type a command, and see that it succeeds."""
    with chdir(directory):
        code, out, err = warm.run(["-m", "dbroster", *words], warm.with_nothing_but_a_path())
    assert code == 0, out + err
    return out


def test_bob_is_logged_in_after_six_commands(site: Site, empty: Path) -> None:
    server, product = site.adapter.server, site.adapter.server.engine
    bob = site.name("bob")
    told = dbroster(empty, "init", "--engine", f"{product}={server.host}:{server.port}")
    settings = empty / "config" / "connections.yaml"  # other tests have used this server as `default`
    settings.write_text(settings.read_text().replace("roster: default", f"roster: {site.prefix}"))
    commands = [line.split()[:2] for line in told.splitlines() if line.startswith("  ")]
    assert commands == [["dbroster", "grants"], ["dbroster", "add"], ["dbroster", "plan"]]
    pipe(server, dbroster(empty, "grants", product, "--show"))
    dbroster(empty, "add", bob)
    planned = dbroster(empty, "plan")
    assert bob in planned
    assert f"{bob}_web" not in site.adapter.databases()
    dbroster(empty, "sync")
    (given,) = json.loads(dbroster(empty, "handout", bob, "--show", "--output", "json"))["databases"]
    assert (given["host"], given["port"]) == (server.host, server.port)
    assert site.adapter.can_write(given["user"], given["password"], given["database"])
    told = dbroster(empty, "check", "--connect")
    assert "login as dbroster: has all privileges" in told
