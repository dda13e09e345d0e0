"""`dbroster grants`: what it prints goes into the native client of a superuser, and then its admin does everything."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import ClickHouse, Server
from servers.process import free_port
from tests.contract.conftest import ADAPTERS
from tests.e2e.site import PASSWORD, Run, Site
from tests.support import warm
from tests.support.admin_script import pipe
from tests.support.typed import in_terminal, own_client

SECRET = 'An-admin\'s \\ own "pass" 7'
CLEANING = {
    "postgresql": ('DROP OWNED BY "{admin}"', 'DROP ROLE "{admin}"'),
    "mysql": ("DROP USER '{admin}'@'%'",),
    "mongodb": ('{{"dropUser": "{admin}"}}', '{{"dropRole": "dbrosterAdmin"}}'),
    "clickhouse": ("DROP USER {admin}",),
}


def grants(site: Site, *options: str) -> Run:
    product = "mariadb" if site.adapter.server.engine == "mariadb" else site.adapter.engine
    return Run(*warm.run(["-m", "dbroster", "grants", product, "--config", str(site.directory), *options]))


@pytest.fixture
def least(site: Site) -> Iterator[Site]:
    """A site whose connections.yaml names an admin that is not there yet."""
    admin = f"adm_{site.prefix}"
    site.configure(username=admin, password=SECRET)
    yield site
    site.configure()
    site.users()
    site.run("--max-removals", "all")
    for statement in CLEANING[site.adapter.engine]:
        site.adapter.server.admin(statement.format(admin=admin))


def test_the_admin_that_grants_makes_can_do_everything(least: Site) -> None:
    site = least
    least.configure(username=f"adm_{site.prefix}", password=SECRET, removals={"grace_days": 0, "max": "all"})
    first = grants(site, "--show")
    assert (first.code, first.err) == (0, "")
    assert "dbroster can't log in there yet" in first.out
    if site.adapter.server.engine in ("mysql", "mariadb", "clickhouse"):
        assert f" {site.adapter.server.told_version} at " in first.out.partition("\n")[0]
    pipe(site.adapter.server, first.out)
    (bob, _) = site.users("bob", "ann")
    site.converge()
    site.everybody_is_at_home()
    checked = Run(*warm.run(["-m", "dbroster", "check", "--connect", "--config", str(site.directory)]))
    assert checked.code == 0, checked.out
    assert f"; login as adm_{site.prefix}: has all privileges; " in checked.out
    assert re.match(r"\w+: (PostgreSQL|MySQL|MariaDB|MongoDB|ClickHouse) [\d.]+ at ", checked.out)
    site.users("ann")
    site.converge()
    assert bob not in site.adapter.accounts()
    again = grants(site, "--show")
    assert "is there already" in again.out
    pipe(site.adapter.server, again.out)
    site.in_step()


def test_a_new_template_archives_and_new_names_are_granted_by_running_it_again(least: Site) -> None:
    site = least
    pipe(site.adapter.server, grants(site, "--show").out)
    bob, _ = site.users("bob", "ann")
    site.converge()
    site.templates("tools", "web", "new")
    site.configure(username=f"adm_{site.prefix}", password=SECRET, removals={"archive_dir": "archives", "max": "all"})
    pipe(site.adapter.server, grants(site).out)
    site.converge()
    site.adapter.put(bob, PASSWORD, f"{bob}_new", "a row")
    robert, files = site.name("robert"), ["--config", str(site.directory)]
    renamed = Run(*warm.run(["-m", "dbroster", "rename", bob, robert, *files]))
    assert renamed.code == 0, renamed.out + renamed.err
    assert site.adapter.get(robert, PASSWORD, f"{robert}_new") == ["a row"]
    site.in_step()
    site.users("ann")
    site.converge()
    assert len(list((site.directory / "archives").rglob(f"{robert}_new-*"))) == 2


def test_without_show_the_password_is_not_printed(least: Site) -> None:
    site = least
    told = grants(site)
    assert told.code == 0
    assert SECRET not in told.out
    assert "An-admin" not in told.out + told.err
    site.configure(username=f"adm_{site.prefix}", password=None, password_env="DBROSTER_NOT_THERE")
    assert grants(site).code == 0
    refused = grants(site, "--show")
    assert (refused.code, refused.out) == (2, "")
    assert "the environment variable DBROSTER_NOT_THERE is not set" in refused.err
    site.configure(username=f"adm_{site.prefix}", password=SECRET)
    pipe(site.adapter.server, grants(site, "--show").out)
    assert "is there already" in (known := grants(site)).out
    assert "An-admin" not in known.out


def test_the_command_that_it_prints_is_one_for_the_administrators_client(least: Site, tmp_path: Path) -> None:
    """As it stands there; mongosh takes what comes through a pipe for the password. For ClickHouse see below."""
    server, typed = least.adapter.server, as_administrator(least)
    if server.engine == "mongodb":
        assert re.fullmatch(r"mongosh \S+ --username \S+ --file <\(dbroster grants mongodb .* --show\)", typed)
    if server.engine == "clickhouse" or (server.engine == "mongodb" and not shutil.which("mongosh")):
        pipe(server, grants(least, "--show").out)
    else:
        type_it(server, typed, tmp_path)
    has_all_privileges(least)


def test_clickhouse_s_own_client_takes_the_command(tmp_path: Path) -> None:
    port = free_port()
    with ClickHouse(options={"tcp_port": str(port)}) as server:
        adapter = ADAPTERS["clickhouse"](server)
        site = Site(adapter, tmp_path / "config", "gra")
        site.configure(username="adm_gra", password=SECRET, native_port=port)
        type_it(server, as_administrator(site), tmp_path)
        has_all_privileges(site)
        adapter.close()


def as_administrator(site: Site) -> str:
    """Return the command line that the statements are to be run by, for the superuser of a test's server."""
    told = grants(site).out
    (line,) = re.findall(r"^\S+ Run it as the server's own administrator: (.*)$", told, re.MULTILINE)
    name = site.adapter.server.admin_user
    return re.sub(r"((?:-U |-u |--user[= ]|--username ))(postgres|root|default)\b", rf"\g<1>{name}", line)


def type_it(server: Server, command: str, home: Path) -> None:
    """Type it in a terminal, and the superuser's password where it is asked for."""
    own_client(server, home / "bin", str(getattr(server, "program", "")))
    path = f"{home}/bin:{Path(server.client_program).parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    code, said = in_terminal(["bash", "-c", command], home, path, server.admin_password)
    assert code == 0, said
    assert "assword" in said


def has_all_privileges(site: Site) -> None:
    checked = Run(*warm.run(["-m", "dbroster", "check", "--connect", "--config", str(site.directory)]))
    assert checked.code == 0, checked.out
    assert "has all privileges" in checked.out
