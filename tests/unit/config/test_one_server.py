"""connections.yaml for another directory: one server, with paths that hold there, and nothing that runs."""

from pathlib import Path

import pytest
import yaml

from dbroster.config.connections import read_connections
from dbroster.config.one_server import one_server
from dbroster.files.read import Files
from tests.support.samples import private

TEXT = """\
roster: team # ours
users_command: [cat, users]
notify_command: [./tell]
protected: [shop]
tls: {ca: ca.pem}
removals: {archive_dir: archives, grace_days: 3}
password_policy: {min_length: 20}
mongodb: {host: m, username: adm, password_env: NOT_SET}
mysql:
- {name: a, host: h1, username: adm, password_file: a.password, hosts: ["10.%"]}
- &b
  name: b
  host: h2
  port: 3307
  username: adm
  password_file: /abs/b.password
  tls: {ca: "${HERE}/other.pem", cert: c.pem, key: k.pem}
  removals: {archive_dir: false}
  handout: {host: db.example, ca: user.pem}
postgresql: {host: p, username: adm, password: "Se'cret: ${HERE} #", protected: [x]}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HERE", str(tmp_path))
    for name in ("ca.pem", "other.pem", "c.pem", "k.pem", "a.password"):
        private(tmp_path / name, "x")
    text = TEXT.replace("/abs/b.password", str(tmp_path / "a.password"))
    private(tmp_path / "connections.yaml", text)
    return tmp_path


@pytest.mark.parametrize(("engine", "server"), [("mysql", "a"), ("mysql", "b"), ("postgresql", None)])
def test_the_copy_leads_to_the_same_server(directory: Path, engine: str, server: str | None) -> None:
    files = Files(directory)
    (connection,) = read_connections(files, engine, server)
    text = one_server(files, connection)
    elsewhere = directory / "else" / "where"
    elsewhere.mkdir(parents=True)
    private(elsewhere / "connections.yaml", text)
    (copied,) = read_connections(Files(elsewhere), engine)
    assert copied._replace(others_archive=()) == connection._replace(others_archive=())
    assert yaml.safe_load(text).keys() == {"roster", "protected", "tls", "removals", "password_policy", engine}


def test_a_reference_to_the_environment_stays_one_where_it_is_no_path(directory: Path) -> None:
    (connection,) = read_connections(Files(directory), "postgresql")
    assert "Se'cret: ${HERE} #" in one_server(Files(directory), connection).replace("''", "'")


def test_a_relative_directory(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory.parent)
    files = Files(Path(directory.name))
    (connection,) = read_connections(files, "mysql", "a")
    assert f"password_file: {directory}/a.password" in one_server(files, connection)
