"""What the admin needs, and how it logs in."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from dbroster.engines import connect
from dbroster.engines.base import Handler
from dbroster.engines.mongodb.access.admin_privileges import ROLE, needed
from dbroster.errors import ConnectError, UnsupportedServer
from dbroster.model.connection import Connection, Tls
from dbroster.model.state import Lock
from dbroster.passwords.secret import Secret
from servers import MongoDB
from tests.engines.mongodb.conftest import OTHER, PASSWORD, Site, opened

RIGHTS = [action for _, actions in needed("admin") for action in actions]


@pytest.fixture
def dba(site: Site) -> Iterator[Connection]:
    """An admin without any right, in a server without dbroster's role."""
    name = f"{site.bob}dba"
    site.dba.admin.command("createUser", name, pwd=PASSWORD, roles=[])
    yield site.connection()._replace(username=name, password=Secret(PASSWORD))
    site.dba.admin.command("dropAllRolesFromDatabase")


def make_role(site: Site, dba: Connection, privileges: list[tuple[Any, Any]]) -> None:
    documents = [{"resource": resource, "actions": list(actions)} for resource, actions in privileges if actions]
    site.dba.admin.command("createRole", ROLE, privileges=documents, roles=[])
    site.dba.admin.command("grantRolesToUser", dba.username, roles=[{"role": ROLE, "db": "admin"}])


def do_as_told(site: Site, statements: list[str]) -> None:
    for text in statements:
        database, body = text.removeprefix('db.getSiblingDB("').removesuffix(")").split('").runCommand(')
        site.dba[database].command(json.loads(body))


def live(site: Site, handler: Handler) -> None:
    """Everything that happens to a user."""
    assert handler.missing_privileges(["web"]) == []
    handler.acquire_sync_lock()
    site.make(handler)
    assert handler.get_existing_users()[site.bob].managed
    handler.update_user_password(site.bob, Secret(OTHER))
    handler.lock_user(site.bob)
    handler.update_user_password(site.bob, Secret(OTHER))
    assert handler.get_existing_databases()[site.web].granted
    assert handler.database_sizes([site.web]).keys() == {site.web}
    handler.lock_user(site.bob)
    handler.drop_database(site.bob, site.web)
    handler.drop_user(site.bob)
    assert handler.warnings() == []


def test_the_commands_for_missing_privileges_are_enough_for_everything(site: Site, dba: Connection) -> None:
    with connect(dba) as handler:
        missing = handler.missing_privileges(["web"])
        assert len(missing) == 2
    do_as_told(site, missing)
    with connect(dba) as handler:
        live(site, handler)


@pytest.mark.parametrize("right", RIGHTS)
def test_a_single_missing_right_is_named_and_given_by_the_command(site: Site, dba: Connection, right: str) -> None:
    make_role(site, dba, [(what, [a for a in actions if a != right]) for what, actions in needed("admin")])
    with connect(dba) as handler:
        (missing,) = handler.missing_privileges(["web"])
    assert [other for other in RIGHTS if f'"{other}"' in missing] == [right]
    do_as_told(site, [missing])
    with connect(dba) as handler:
        assert handler.missing_privileges(["web"]) == []


def test_view_user_is_enough_to_read(site: Site, dba: Connection) -> None:
    rest = [(resource, actions) for resource, actions in needed("admin") if "find" not in actions]
    make_role(site, dba, [*rest, ({"db": "admin", "collection": ""}, ["viewUser"])])
    with connect(dba) as handler, site.handler() as full:
        live(site, handler)
        site.make(handler)
        assert handler.get_existing_users()[site.bob] == full.get_existing_users()[site.bob]
        assert handler.get_existing_users().keys() == full.get_existing_users().keys()
        assert handler.get_existing_databases() == full.get_existing_databases()


def test_view_user_keeps_restrictions_and_does_not_see_who_is_shut_out(site: Site, dba: Connection) -> None:
    rest = [(resource, actions) for resource, actions in needed("admin") if "find" not in actions]
    make_role(site, dba, [*rest, ({"db": "admin", "collection": ""}, ["viewUser"])])
    shut = [{"clientSource": ["255.255.255.255"]}]
    with connect(dba) as handler, site.handler() as full:
        site.make(handler)
        site.dba.admin.command("updateUser", site.bob, authenticationRestrictions=shut)
        assert full.get_existing_users()[site.bob].lock is Lock.FOREIGN
        assert handler.get_existing_users()[site.bob].lock is Lock.OPEN
        handler.lock_user(site.bob)
        handler.update_user_password(site.bob, Secret(PASSWORD))
        assert site.account()["authenticationRestrictions"] == shut


def test_without_access_control_a_warning_says_that_nothing_is_protected(mongodb_server: object) -> None:
    with MongoDB(access_control=False) as server, opened(server) as site:
        server_admin = f"{site.bob}dba"
        site.dba.admin.command("createUser", server_admin, pwd=PASSWORD, roles=[])
        connection = site.connection()
        for admin in (connection, connection._replace(username=server_admin, password=Secret(PASSWORD))):
            with connect(admin) as handler:
                assert handler.missing_privileges(["web"]) == []
                (warning,) = handler.warnings()
                assert warning.warning
                assert "--auth" in warning.text


# --- login and TLS ----------------------------------------------------------------------------------------------------


def authority(directory: Path, name: str) -> Path:
    """Make an authority, and a certificate for the client `CN=dbroster,O=team` that it has signed."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for words in (
        ["-subj", f"/CN={name}", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "keyUsage=critical,keyCertSign"],
        ["-subj", "/O=team/CN=dbroster", "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "key.pem", "-out", "cert.pem",
         "-addext", "basicConstraints=critical,CA:FALSE"],
    ):  # fmt: skip
        subprocess.run([*new, *words], cwd=directory, check=True, capture_output=True)
    both = directory / "both.pem"
    both.write_text((directory / "key.pem").read_text() + (directory / "cert.pem").read_text())
    return directory / "ca.pem"


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that the server's own account may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_the_admin_may_log_in_by_a_certificate(open_path: Path, mongodb_server: object) -> None:
    ca = authority(open_path, "clients")
    with MongoDB(options={"tlsClusterCAFile": str(ca)}) as server, opened(server) as site:
        tls = Tls("verify-full", str(server.ca), str(open_path / "both.pem"))
        connection = site.connection()._replace(username="CN=dbroster,O=team", password=None, tls=tls)
        with pytest.raises(ConnectError, match="CN=dbroster,O=team"):
            connect(connection)
        site.dba["$external"].command("createUser", connection.username, roles=[])
        with connect(connection) as handler:
            missing = handler.missing_privileges(["web"])
            assert "$external" in missing[1]
        do_as_told(site, missing)
        with connect(connection) as handler:
            live(site, handler)


def test_neither_password_nor_certificate(site: Site) -> None:
    with pytest.raises(UnsupportedServer, match=r"tls\.cert"):
        connect(site.connection()._replace(password=None))


def test_a_server_that_another_authority_vouches_for_is_refused(tmp_path: Path, site: Site) -> None:
    wrong = Tls("verify-full", str(authority(tmp_path, "somebody else")))
    with pytest.raises(ConnectError, match="certificate verify failed") as caught:
        connect(site.connection()._replace(tls=wrong, connect_timeout=1))
    assert site.server.admin_password not in str(caught.value)
    with connect(site.connection()._replace(tls=Tls("require"))) as handler:
        assert handler.server().host
