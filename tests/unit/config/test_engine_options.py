"""Keys that only one engine has: MongoDB's `uri`, which stands for host and port."""

from pathlib import Path

import pytest
import yaml

from dbroster.config.connections import transport_warning
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.errors import ConfigError
from tests.unit.config.test_connections import read

MONGO = {"username": "admin", "password": "pw"}


def mongo(directory: Path, **keys: object) -> list[str]:
    try:
        read(directory, yaml.safe_dump({"mongodb": {**MONGO, **keys}}), "mongodb")
    except ConfigError as error:
        return [problem.text for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("uri", "host", "warned"),
    [
        ("mongodb://127.0.0.1:27018", "127.0.0.1", False),
        ("mongodb://localhost,[::1]:27018/?replicaSet=rs1", "localhost", False),
        ("mongodb://localhost,db2.example.com:27018/", "db2.example.com", True),
        ("mongodb+srv://cluster.example.com/", "cluster.example.com", False),
    ],
)
def test_a_uri_names_the_hosts(tmp_path: Path, uri: str, host: str, warned: bool) -> None:
    (found,) = read(tmp_path, yaml.safe_dump({"mongodb": {**MONGO, "uri": uri}}), "mongodb")
    assert (found.host, MongoDBOptions.of(found).uri) == (host, uri)
    assert (transport_warning(found) is not None) is warned


def test_host_or_uri_and_not_both(tmp_path: Path) -> None:
    uri = "mongodb://localhost"
    assert mongo(tmp_path) == ["mongodb.host: one of host and uri must be set"]
    assert mongo(tmp_path, host="localhost") == []
    for beside in ({"host": "localhost"}, {"port": 27018}):
        (problem,) = mongo(tmp_path, uri=uri, **beside)
        assert "beside uri" in problem


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost",
        "mongodb://",
        "mongodb://admin:secret@localhost",
        "mongodb://localhost/?tlsInsecure=true",
        "mongodb://localhost/?replicaSet=a&SSL=true",
        "mongodb://localhost/?directConnection=true",
        "mongodb://localhost/?readPreference=secondary",
    ],
)
def test_what_a_uri_may_not_be(tmp_path: Path, uri: str) -> None:
    (problem,) = mongo(tmp_path, uri=uri)
    assert problem.startswith("mongodb.uri: ")
    assert "secret" not in problem
