"""Keys that only one engine has: MongoDB's `uri`, which stands for host and port."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dbroster.config.connections import transport_warning
from dbroster.engines import ENGINES, options_of
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mysql.options import MySQLOptions
from dbroster.errors import ConfigError
from dbroster.model.connection import Connection
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


OTHERS = """
import sys
from dbroster.engines import options_of
options_of(sys.argv[1])
print(*(name for name in sys.modules if name.startswith("dbroster.engines.") or "." not in name))
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_options_are_known_without_anything_else_of_their_engine(engine: str) -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS, engine], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    ours = {f"dbroster.engines.{engine}", f"dbroster.engines.{engine}.options"}
    assert {name for name in loaded if name.startswith("dbroster.")} == ours
    assert not loaded & {"pymysql", "psycopg", "pymongo", "bson", "clickhouse_connect", "yaml"}


def test_options_are_frozen_compared_by_value_and_never_of_another_engine() -> None:
    options = MongoDBOptions(uri="mongodb://h")
    assert options.but(roles=("read",)).but(roles=options.roles) == options != MongoDBOptions()
    assert (options.roles, options.but(roles=("read",)).roles) == (("readWrite", "dbAdmin"), ("read",))
    assert MySQLOptions() != MongoDBOptions()
    with pytest.raises(AttributeError, match="frozen"):
        options.uri = "mongodb://other"
    with pytest.raises(TypeError, match="no options of MongoDBOptions: rols"):
        MongoDBOptions(rols=())
    connection = Connection("mongodb", "default", "h", 1, "admin", None)
    assert MongoDBOptions.of(connection) == MongoDBOptions()
    with pytest.raises(TypeError, match="MongoDBOptions instead of MySQLOptions"):
        MySQLOptions.of(Connection("mongodb", "default", "h", 1, "admin", None, options=options))


def test_each_key_has_a_meaning_and_a_default_of_its_own_kind() -> None:
    for engine in ENGINES:
        kind = options_of(engine)
        assert kind.product
        assert kind.default_port
        assert all(key.meaning for key in kind.keys.values())
