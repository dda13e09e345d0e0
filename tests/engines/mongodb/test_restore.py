"""What a restore at MongoDB brings back when something of it fails, and indexes that compare otherwise."""

from pathlib import Path

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from bson.son import SON
from pymongo.collation import Collation
from pymongo.errors import DuplicateKeyError

from dbroster.engines import connect
from dbroster.errors import OperationError
from dbroster.model.roster import User
from dbroster.passwords.secret import Secret
from tests.engines.mongodb.conftest import PASSWORD, Site
from tests.support.archiving import archive, archiving, there_and_back


def test_an_index_that_compares_plainly_in_a_collection_that_does_not_comes_back_so(site: Site, tmp_path: Path) -> None:
    """L5, A8: it came back with the collection's collation, by which rows were the same, or not at all (texts)."""
    plain = Collation("simple")
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            db = bob[site.web]
            db.create_collection("words", collation={"locale": "fr", "strength": 1})
            db.words.create_index("w", unique=True, name="plain", collation=plain)
            db.words.create_index([("t", "text")], name="texts", collation=plain)
            db.words.create_index("v", unique=True, sparse=True, name="french")
            db.words.insert_many([{"w": "e", "v": "e"}, {"w": "é"}])
            before = db.words.index_information()
            there_and_back(handler, site.bob, PASSWORD, site.web)
            assert db.words.index_information() == before
            assert db.words.count_documents({}) == 2
            with pytest.raises(DuplicateKeyError):
                db.words.insert_one({"w": "f", "v": "é"})


def test_what_can_not_come_back_keeps_nothing_else_away(site: Site, tmp_path: Path) -> None:
    """L5, T7, A8: the first collection that failed ended the restore; now each is tried, those that fail are named.

    With the role readWrite alone, no document of a collection with a validator came back, whatever it was.
    """
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            db = bob[site.web]
            for name in ("_dbroster", "checked", "first", "last"):
                db[name].insert_one({"_id": 1})
            db.command("collMod", "checked", validator={"needed": {"$exists": True}})
            db.command("collMod", "first", validator={"_id": 1})
            db.create_collection("seen", viewOn="last", pipeline=[])
        made = archive(handler, site.bob, site.web)
        handler.drop_database(site.bob, site.web)
        for verb in handler.creation_order:
            getattr(handler, verb.value)(site.bob, site.web)
        # without it nobody may put in what the validator refuses
        site.dba.admin.command("revokeRolesFromUser", site.bob, roles=[{"role": "dbAdmin", "db": site.web}])
        site.dba[site.web]["_dbroster"].insert_one({"_id": 1})
        with pytest.raises(OperationError, match=r"^not everything is back: ") as failed:
            handler.archiver().restore(made, User(site.bob, Secret(PASSWORD), 1), site.web)
        assert "checked: Document failed validation" in str(failed.value)
        assert "_dbroster: E11000 duplicate key" in str(failed.value)
        assert "first" not in str(failed.value)
        found = {name: list(site.dba[site.web][name].find()) for name in ("first", "last", "seen")}
        assert found == {name: [{"_id": 1}] for name in found}


def test_definitions_come_back_byte_by_byte(site: Site, tmp_path: Path) -> None:
    """T5, A8: JSON lost what stands beside $regex, or is there twice, and one odd literal kept everything away."""
    with connect(archiving(site.connection(), tmp_path)) as handler:
        site.make(handler)
        with site.login(site.bob, PASSWORD) as bob:
            db = bob[site.web]
            twice = bson.encode({"x": {"$gt": 1}, "y": {"$lt": 5}}).replace(b"\x03y\0", b"\x03x\0")
            db.command(SON([("create", "twice"), ("validator", RawBSONDocument(twice))]))
            db.create_collection("mails", validator={"mail": {"$regex": "@", "$type": "string", "$ne": "root@x"}})
            db.words.insert_many([{"_id": word} for word in ("a", "ab", "b")])
            views = {
                "some": {"$match": {"_id": {"$regex": "^a", "$nin": ["ab"]}}},
                "odd": {"$addFields": {"n": {"$literal": {"$numberInt": "none"}}}},
                "later": {"$match": {"d": {"$ne": DatetimeMS(9_000_000_000_000_000)}}},
            }
            for name, stage in views.items():
                db.create_collection(name, viewOn="words", pipeline=[stage])

            def described() -> dict[str, bytes]:
                found = db.cursor_command("listCollections", codec_options=DEFAULT_RAW_BSON_OPTIONS)
                return {entry["name"]: entry["options"].raw for entry in found}

            before = described()
            there_and_back(handler, site.bob, PASSWORD, site.web)
            assert described() == before
            assert [found["_id"] for found in db.some.find()] == ["a"]
