"""What comes through an archive of MongoDB."""

import datetime
import os
import time
import uuid
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bson import (
    Binary,
    Code,
    CodecOptions,
    DBRef,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    Regex,
    Timestamp,
)
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from gridfs import GridFS
from pymongo.collation import Collation

from dbroster.engines import connect
from dbroster.errors import OperationError
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import PASSWORD, Client, Site
from tests.support.archiving import archive, archiving, there_and_back


def fill(client: Client, database: str) -> None:
    """Everything that a user may make, with documents of every kind."""
    db = client[database]
    note = db["näme/odd %x.語"]
    note.insert_many(
        {"_id": n, "n": Int64(n), "d": Decimal128("1.10"), "r": Regex("a.*", "i"), "b": Binary(bytes(range(256)))}
        for n in range(5000)
    )
    db.large.insert_many([{"data": os.urandom(10_000_000)}, {"data": os.urandom(15_000_000)}])
    note.create_index("n", unique=True, name="ünique")
    note.create_index([("d", 1), ("b", -1)], partialFilterExpression={"n": {"$gt": 10}})
    db.create_collection("capped", capped=True, size=100_000, max=10)
    db.capped.insert_many({"n": n} for n in range(20))
    db.plain.insert_one({"no": "name"})
    db.command("collMod", "plain", validator={"name": {"$exists": True}})
    db.create_collection("sorted", collation={"locale": "de", "strength": 1})
    db.create_collection("empty")
    db.empty.create_index("at", expireAfterSeconds=3600)
    db.create_collection("aview", viewOn="plain", pipeline=[{"$match": {"no": "name"}}])
    db.create_collection("series", timeseries={"timeField": "t", "metaField": "m", "granularity": "minutes"})
    day = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    db.series.insert_many({"t": day + datetime.timedelta(hours=n), "m": {"a": n % 3}, "v": n} for n in range(100))
    db["system.js"].insert_one({"_id": "f", "value": "x"})
    fill_more(db)


def fill_more(db: Any) -> None:
    """Indexes, options and documents of rarer kinds."""
    db.create_collection("onto", viewOn="aview", pipeline=[{"$project": {"no": 1}}])
    db.create_collection("compared", viewOn="plain", pipeline=[], collation={"locale": "fr"})
    db.create_collection("broken", viewOn="nowhere", pipeline=[{"$lookup": {"from": "x", "as": "y", "pipeline": []}}])
    db.create_collection("strict", validator={"$jsonSchema": {"required": ["a"]}}, validationLevel="moderate",
                         validationAction="warn")  # fmt: skip
    if db.client.server_info()["versionArray"] >= [6]:
        db.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "by id"},
                             expireAfterSeconds=10**8)  # fmt: skip
        db.create_collection("imaged", changeStreamPreAndPostImages={"enabled": True})
    db.clustered.insert_many({"_id": n} for n in (3, 1, 2))
    db.create_collection("passing", timeseries={"timeField": "t", "metaField": "m"}, expireAfterSeconds=10**9)
    db.passing.create_index([("m.a", 1), ("t", -1)], name="second")
    day = datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)
    db.passing.insert_many([{"t": day, "m": {"a": 1}, "v": [1, {"x": None}], "_id": 7}, {"t": day}])
    many = db.indexed
    place = {"type": "Point", "coordinates": [1.5, 2.5]}
    many.insert_many([{"p": place, "words": "a b", "h": n, "w": {"x": n}, "e": day} for n in range(10)])
    many.create_index([("p", "2dsphere")], name="on a sphere")
    many.create_index([("words", "text")], default_language="german", weights={"words": 7}, name="texts")
    many.create_index([("h", "hashed")])
    many.create_index([("w.$**", 1)])
    many.create_index([("words", 1)], collation=Collation("de", strength=1), unique=False, sparse=True, name="collated")
    many.create_index("e", expireAfterSeconds=10**9, hidden=True)
    fs = GridFS(db)
    fs.put(os.urandom(1_000_000), filename="ä file", metadata={"x": 1})
    db.odd.insert_one(RawBSONDocument(_ODD))
    db.odd.insert_many([
        {"_id": {"a": 1}, "$x": 1, "a.b": 2, "": 3}, {"_id": DBRef("x", 1), "m": MinKey(), "M": MaxKey()},
        {"_id": b"\0\xff", "nan": float("nan"), "inf": float("-inf"), "z": -0.0, "u": uuid.UUID(int=7).bytes},
        {"_id": None, "t": Timestamp(1, 1), "deep": {"x": [[[{}]]]}, "c": Code("x", {"y": 1})},
    ])  # fmt: skip


_ODD = b"\x18\0\0\0\x10_id\0\x01\0\0\0\x02s\0\x03\0\0\0\xff\xfe\0\0"
"""{_id: 1, s: <bytes that are no UTF-8>}"""


def state(client: Client, database: str) -> dict[str, Any]:
    """Documents byte by byte (of a capped collection in their order), indexes and options of every collection."""
    db: Any = client.get_database(database, CodecOptions[Any](document_class=RawBSONDocument))
    found: dict[str, Any] = {}
    for entry in client[database].list_collections():
        name = entry["name"]
        if not name.startswith(("system.views", "system.buckets")):
            documents: list[Any] = [bytes(document.raw) for document in db[name].find()]
            if entry["type"] == "timeseries":  # kept in columns, so fields have no order of their own
                documents = [str(sorted(document.items(), key=str)) for document in client[database][name].find()]
            if not entry["options"].get("capped"):
                documents.sort()
            indexes = [] if entry["type"] == "view" else sorted(map(str, client[database][name].list_indexes()))
            found[name] = (entry["type"], entry["options"], documents, indexes)
    return found


def test_everything_comes_back_as_it_was(site: Site, tmp_path: Path) -> None:
    """A8: views on views and broken ones, clustered, capped and time-series collections, GridFS, all indexes."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            fill(bob, site.web)
        before = state(site.dba, site.web)
        made = there_and_back(handler, site.bob, PASSWORD, site.web)
        assert state(site.dba, site.web) == before
    assert made.manifest.counts["large"] == 2
    with zipfile.ZipFile(made.path) as file:
        assert {f"{site.web}/plain.bson", f"{site.web}/plain.metadata.json"} <= set(file.namelist())
    with site.login(site.bob, PASSWORD) as bob:
        bob[site.web].large.insert_one({"still": "mine"})


FAR = DatetimeMS(9 * 10**15)
"""A date that Python has none for."""


def test_the_same_is_archived_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """G2: at another time of day, and however the server lists collections; a rename compares what it has copied."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            for name in ("t", "a", "z", "m", "b", "y"):
                bob[site.web][name].insert_one({"_id": name})
        first = archive(handler, site.bob, site.web)
        monkeypatch.setattr(zipfile, "time", SimpleNamespace(time=time.time, localtime=lambda _: (2000, 1, 1, 0, 0, 0)))
        for name in ("y", "a"):
            site.dba[site.web][name].rename(f"{name}2")
            site.dba[site.web][f"{name}2"].rename(name)
        assert archive(handler, site.bob, site.web) == first
        site.dba[site.web].t.insert_one({"_id": "late"})
        assert archive(handler, site.bob, site.web) != first


def test_dates_that_python_does_not_know_come_back(site: Site, tmp_path: Path) -> None:
    """A8, B4: in a validator, an index or a view one was "a defect", and ended every run before others were removed."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD, datetime_conversion="DATETIME_AUTO") as bob:
            db = bob[site.web]
            db.create_collection("checked", validator={"until": {"$lt": FAR}})
            db.checked.insert_one({"until": DatetimeMS(-9 * 10**15)})
            db.checked.create_index("until", partialFilterExpression={"until": {"$gt": DatetimeMS(-int(FAR))}})
            db.create_collection("seen", viewOn="checked", pipeline=[{"$match": {"until": {"$lt": FAR}}}])

            def listed(command: str, value: Any = 1) -> list[Any]:
                return list(db.cursor_command(command, value, codec_options=bob.codec_options))

            def described() -> list[object]:
                found = sorted(listed("listCollections"), key=lambda entry: str(entry["name"]))
                made = [(entry["name"], entry["type"], entry["options"]) for entry in found]
                return [*made, *listed("listIndexes", "checked"), *db.checked.find({}, {"_id": 0})]

            before = described()
            there_and_back(handler, site.bob, PASSWORD, site.web)
            assert described() == before


def test_a_text_that_is_no_utf_8_comes_back(site: Site, tmp_path: Path) -> None:
    """A8, B4: in a validator, one kept its database from being archived, and so from being dropped."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            bob[site.web].command("create", "odd", validator=RawBSONDocument(_ODD))

            def validator() -> bytes:
                (found,) = bob[site.web].cursor_command(
                    "listCollections", filter={"name": "odd"}, codec_options=DEFAULT_RAW_BSON_OPTIONS
                )
                raw: bytes = found["options"]["validator"].raw
                return raw

            assert validator() == _ODD
            there_and_back(handler, site.bob, PASSWORD, site.web)
            assert validator() == _ODD


def test_what_an_archive_does_not_hold_is_said(site: Site, tmp_path: Path) -> None:
    """A8: accounts and roles that are defined in the database."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        assert list(handler.archiver().losses(site.web)) == []
        site.dba[site.web].command("createUser", "guest", pwd=PASSWORD, roles=[])
        site.dba[site.web].command("createRole", "reader", privileges=[], roles=[])
        said = list(handler.archiver().losses(site.web))
        site.dba[site.web].command("dropAllUsersFromDatabase")
        site.dba[site.web].command("dropAllRolesFromDatabase")
    assert said == ["the account guest, which is defined in it", "the role reader, which is defined in it"]


@pytest.mark.parametrize("marker", ["_dbroster", ""])
def test_an_empty_database_comes_back(site: Site, tmp_path: Path, marker: str) -> None:
    with connect(archiving(site.connection(marker_collection=marker), tmp_path)) as handler:
        site.make(handler)
        there_and_back(handler, site.bob, PASSWORD, site.web)


def test_users_elsewhere_than_the_admin_log_in_there(site: Site, tmp_path: Path) -> None:
    uri = f"mongodb://{site.server.host}:{site.server.port}/?authSource=admin&appName=x"
    with connect(archiving(site.connection(auth_database="staff", uri=uri), tmp_path)) as handler:
        site.make(handler)
        site.dba[site.web].note.insert_one({"x": 1})
        there_and_back(handler, site.bob, PASSWORD, site.web)
        handler.drop_database(site.bob, site.web)
        handler.drop_user(site.bob)


def test_an_open_connection_can_write_no_more(site: Site, tmp_path: Path) -> None:
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            bob[site.web].note.insert_one({"x": 1})
            archive(handler, site.bob, site.web)
            with pytest.raises(Exception, match=r"not authorized|requires authentication"):
                bob[site.web].note.insert_one({"x": 2})
        assert site.dba[site.web].note.count_documents({}) == 1


def test_an_archive_that_is_cut_is_noticed(site: Site, tmp_path: Path) -> None:
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        made = archive(handler, site.bob, site.web)
        made.path.write_bytes(made.path.read_bytes()[:-30])
        handler.drop_database(site.bob, site.web)
        for verb in handler.creation_order:
            getattr(handler, verb.value)(site.bob, site.web)
        with pytest.raises(OperationError, match="can't be read"):
            handler.archiver().restore(made, User(site.bob, Secret(PASSWORD), 1), site.web)


def test_what_the_admin_lacks_is_named(site: Site, tmp_path: Path) -> None:
    with connect(site.connection()) as handler:
        assert handler.archiver().missing() == []
    site.dba.admin.command("createUser", f"{site.bob}adm", pwd=PASSWORD, roles=["userAdminAnyDatabase"])
    weak = site.connection()._replace(username=f"{site.bob}adm", password=Secret(PASSWORD))
    with connect(weak) as handler:
        (command,) = handler.archiver().missing()
        assert "readAnyDatabase" in command
        site.dba.admin.command("grantRolesToUser", f"{site.bob}adm", roles=["readAnyDatabase"])
        assert handler.archiver().missing() == []
    site.dba.admin.command("dropUser", f"{site.bob}adm")
