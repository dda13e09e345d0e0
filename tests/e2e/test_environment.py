"""Nothing in the environment, and no file of the user who runs it, decides where dbroster works or what it sends."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import PASSWORD, Site
from tests.e2e.test_archive import archive_of, dbroster, with_archives


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """A port on which nobody may ever knock."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        yield listener


@pytest.fixture
def misleading(trap: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say in every way that drivers and programs know that the server, the user or the settings are others."""
    port, home = trap.getsockname()[1], tmp_path / "home"
    home.mkdir()
    proxy = f"http://127.0.0.1:{port}"
    service = f"[elsewhere]\nhost=127.0.0.1\nport={port}\nuser=nobody\ndbname=nowhere\n"
    options = f"[client]\nhost=127.0.0.1\nport={port}\nuser=nobody\nprotocol=tcp\nssl-mode=DISABLED\n"
    for name, text in {
        ".pg_service.conf": service,
        ".pgpass": "*:*:*:*:wrong\n",
        ".my.cnf": f"{options}[mysqldump]\nno-data\nwhere=1=0\n[mariadb-dump]\nno-data\nwhere=1=0\n",
    }.items():
        (home / name).write_text(text)
        (home / name).chmod(0o600)
    values = {
        "HOME": home,
        "PGHOST": "127.0.0.1",
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": port,
        "PGUSER": "nobody",
        "PGDATABASE": "nowhere",
        "PGPASSWORD": "wrong",
        "PGPASSFILE": home / ".pgpass",
        "PGSERVICE": "elsewhere",
        "PGSERVICEFILE": home / ".pg_service.conf",
        "PGOPTIONS": "-c default_transaction_read_only=on -c search_path=nowhere",
        "PGSSLMODE": "disable",
        "PGSSLROOTCERT": home / "none",
        "PGSSLCERT": home / "none",
        "PGCONNECT_TIMEOUT": "1",
        "PGTARGETSESSIONATTRS": "standby",
        "PGREQUIREAUTH": "none",
        "PGCLIENTENCODING": "SQL_ASCII",
        "PGTZ": "Asia/Tokyo",
        "PGDATESTYLE": "SQL, DMY",
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_TCP_PORT": port,
        "MYSQL_UNIX_PORT": home / "none",
        "MYSQL_PWD": "wrong",
        "MYSQL_TEST_LOGIN_FILE": home / "none",
        "CLICKHOUSE_HOST": "127.0.0.1",
        "CLICKHOUSE_PORT": port,
        "CLICKHOUSE_USER": "nobody",
        "CLICKHOUSE_PASSWORD": "wrong",
        **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy),
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("misleading")
def test_the_environment_decides_nothing(site: Site, trap: socket.socket) -> None:
    """C4: a sync, a removal with its archives and a restore reach the server of connections.yaml, and no other."""
    archives, (bob, _) = with_archives(site), site.users("bob", "ann")
    site.converge()
    with pytest.MonkeyPatch.context() as patch:  # the tests' own clients are nobody's to mislead
        for name in ("PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS", "PGREQUIREAUTH", "PGOPTIONS", "PGSSLMODE"):
            patch.delenv(name)
        site.adapter.put(bob, PASSWORD, f"{bob}_web", "a row")
    site.users("ann")
    site.converge()
    site.users("bob", "ann")
    site.converge()
    restored = dbroster(site, "restore", str(archive_of(archives, f"{bob}_web")))
    assert restored.code == 0, restored.out + restored.err
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PGHOSTADDR", "PGSERVICE", "PGTARGETSESSIONATTRS", "PGREQUIREAUTH", "PGOPTIONS", "PGSSLMODE"):
            patch.delenv(name)
        assert site.adapter.get(bob, PASSWORD, f"{bob}_web") == ["a row"]
    with pytest.raises(TimeoutError):
        trap.accept()
