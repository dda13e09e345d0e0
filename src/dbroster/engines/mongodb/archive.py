"""Archives of MongoDB databases: a zip file with mongorestore's layout inside, written and read by pymongo.

`DATABASE/COLLECTION.bson` holds the documents as they are, `DATABASE/COLLECTION.metadata.json` options and indexes,
also as BSON: JSON has no place for a key that is there twice, and takes a literal that looks like its own for another.
Of a time series it holds the measurements, not the buckets: a user may not write those.
"""

import json
import re
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, ClassVar
from urllib.parse import quote, unquote

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from dbroster.archive import Archive, Draft
from dbroster.engines.mongodb.access.admin_privileges import READER, lets_everybody_in, own_rights
from dbroster.engines.mongodb.access.surroundings import taking
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.engines.mongodb.removal.accounts_inside import insiders, shut_out
from dbroster.engines.mongodb.removal.end_operations import end_operations
from dbroster.engines.mongodb.session import RAW, UNAUTHORIZED, Session, open_session
from dbroster.engines.mongodb.state import UNREADABLE, read_accounts
from dbroster.engines.waits import breakable
from dbroster.engines.zip_archiver import DAMAGED, ZipArchiver, member, write_text
from dbroster.errors import OperationError, ServerError
from dbroster.model.connection import Connection
from dbroster.model.roster import User

_ACTIONS = frozenset({"find", "listCollections", "listIndexes"})
_PLACES: tuple[Mapping[str, str], ...] = ({"db": "", "collection": ""}, {"db": "", "collection": "system.js"})
_MADE_BY_ITSELF = re.compile(r"system\.(views|profile|buckets\..*)")
_BSON, _METADATA = ".bson", ".metadata.json"
_BATCH_BYTES, _BATCH_DOCUMENTS = 16 * 1024 * 1024, 1000
_JSON = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
_DECODING: CodecOptions[dict[str, Any]] = CodecOptions(
    datetime_conversion=DatetimeConversion.DATETIME_AUTO, unicode_decode_error_handler="replace"
)
_EXACT = "bson"
_LATE = ("view",)
"""Kinds of collections that need others to be there."""


class MongoDBArchiver(ZipArchiver):
    """Archives and restores by the driver; no program is needed."""

    damaged = (*DAMAGED, BSONError)
    method: ClassVar[str] = "pymongo, in mongorestore's layout"

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session

    def missing(self) -> list[str]:
        """Say how the admin gets the right to read what it archives; without access control it has it."""
        rights = own_rights(self._session)
        may = not rights.told or all(_may_read(rights.privileges, place) for place in _PLACES)
        if may or lets_everybody_in(self.connection):
            return []
        grant = {"grantRolesToUser": rights.admin["user"], "roles": [READER]}
        return [f'db.getSiblingDB("{rights.admin["db"]}").runCommand({json_util.dumps(grant)})']

    def close(self, user: str, database: str) -> None:  # noqa: ARG002 - whoever has roles on it loses them
        """Take all roles on the database away; what proves whose it is stays in the marker."""
        accounts = read_accounts(self._session, self.connection, {"roles.db": database}, credentials=False)
        for name, account in accounts.items():
            if account.existing.managed:
                where, roles = self._session.auth_database, [role for role in account.roles if role[1] == database]
                self._session.change(where, taking(self._session, self.connection, name, roles))
                end_operations(self._session, [{"user": name, "db": where}])
        shut_out(self._session, insiders(self._session, [database]))

    def losses(self, database: str) -> Iterator[str]:
        """Name accounts and roles that are defined in this database; they stand in admin, and stay there."""
        for kind, word in (("user", "account"), ("role", "role")):
            with suppress(OperationError):  # the admin may not see them, and no archive is worse for it
                names = self._session.defined(kind, database)
                yield from (f"the {word} {name}, which is defined in it" for name in names)

    def dump(self, user: str, database: str, draft: Draft) -> None:  # noqa: ARG002 - only PostgreSQL's needs it
        """Write each collection with its documents and indexes; a view has neither."""
        with self._writing(draft, database) as file:
            for entry in sorted(_collections(self._session, database), key=lambda entry: str(entry["name"])):
                name, indexes = entry["name"], []
                if entry["type"] not in _LATE:
                    with file.open(member(database, name) + _BSON, "w", force_zip64=True) as target:
                        draft.counts[name] = self._copy(self._session.client[database][name], target)
                    with self._session.talking():
                        indexes = self._session.listed(database, "listIndexes", name)
                write_text(file, member(database, name) + _METADATA, _metadata(entry, indexes))

    def _copy(self, collection: Collection[Any], target: IO[bytes]) -> int:
        number = 0
        with self._session.talking():
            for batch in collection.find_raw_batches():
                target.write(batch)
                number += _number_of_documents(batch)
        return number

    def is_empty(self, user: User, database: str) -> bool:
        """Look for collections as the user; the one that dbroster makes counts when there is something in it."""
        marker = MongoDBOptions.of(self.connection).marker_collection
        with self._as_user(user) as session, session.talking():
            names = [entry["name"] for entry in _collections(session, database)]
            return all(name == marker and not session.client[database][name].find_one() for name in names)

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Make collections with their documents, then indexes, and views last; all as the user.

        What can't be made keeps nothing else away.
        """
        with self._as_user(user) as session, self._reading(archive) as (file, failures):
            described = [name for name in file.namelist() if name.endswith(_METADATA)]
            parts = [(name.removesuffix(_METADATA), _read_metadata(file, name)) for name in described]
            for part, metadata in sorted(parts, key=lambda each: each[1]["type"] in _LATE):
                name = unquote(part.partition("/")[2])
                try:
                    number = self._restore(session, file, part, metadata, database)
                    if number != archive.manifest.counts.get(name, 0):
                        raise OperationError(f"{number} documents were there, not as many as in the manifest")
                    self._make_indexes(session, metadata, database, name)
                except OperationError as error:
                    failures.append(f"{name}: {error}")

    def _restore(
        self, session: Session, file: zipfile.ZipFile, part: str, metadata: Mapping[str, Any], database: str
    ) -> int:
        name = unquote(part.partition("/")[2])
        options = dict(metadata["options"])
        if name != MongoDBOptions.of(self.connection).marker_collection:
            session.change(database, {"create": name, **_creation(options)})
        if metadata["type"] in _LATE:
            return 0
        collection = session.client[database][name]
        try:
            return _fill(session, collection, file, part, unchecked="validator" in options)
        except OperationError as error:
            if error.code != UNAUTHORIZED:  # without dbAdmin only what the validator takes comes back
                raise
            return _fill(session, collection, file, part)

    def _make_indexes(self, session: Session, metadata: Mapping[str, Any], database: str, name: str) -> None:
        indexes = [spec for spec in metadata["indexes"] if spec["name"] != "_id_" and not spec.get("clustered")]
        if "collation" in metadata["options"]:  # what an index does without, the server does not list
            indexes = [{"collation": {"locale": "simple"}, **spec} for spec in indexes]
        if indexes:
            session.change(database, {"createIndexes": name, "indexes": indexes})

    @contextmanager
    def _as_user(self, user: User) -> Iterator[Session]:
        options = MongoDBOptions.of(self.connection).but(uri=_uri(self.connection))
        connection = self.connection._replace(username=user.name, password=user.password, options=options)
        try:
            session = open_session(connection)
        except ServerError as error:
            raise OperationError(f"can't log in as {user.name}: {error}") from None
        try:
            with breakable(self.connection, session.abort):
                yield session
        finally:
            session.close()


def _fill(
    session: Session, collection: Collection[Any], file: zipfile.ZipFile, part: str, *, unchecked: bool = False
) -> int:
    """Insert all documents, and return how many; `unchecked`: also those that the validator refuses."""
    number = 0
    with file.open(part + _BSON) as source, session.talking():
        for batch in _batches(source):
            collection.insert_many(batch, bypass_document_validation=unchecked or None)
            number += len(batch)
    return number


def _may_read(privileges: Iterable[Mapping[str, Any]], place: Mapping[str, str]) -> bool:
    entries = [p for p in privileges if p["resource"] == place or p["resource"].get("anyResource")]
    return {action for entry in entries for action in entry["actions"]} >= _ACTIONS


def _uri(connection: Connection) -> str:
    """How users log in: in their own authentication database, by password, however the admin does."""
    options = MongoDBOptions.of(connection)
    host = quote(connection.host, safe="") if "/" in connection.host else connection.host
    host = f"[{host}]" if ":" in host else host
    uri = options.uri or f"mongodb://{host}:{connection.port}/"
    uri = re.sub(r"(?i)auth(source|mechanism)=[^&]*&?", "", uri).rstrip("?&")
    uri += "" if "/" in uri.partition("://")[2] else "/"
    where = quote(options.auth_database, safe="")
    return f"{uri}{'&' if '?' in uri else '?'}authSource={where}"


def _collections(session: Session, database: str) -> list[RawBSONDocument]:
    with session.talking():
        found = session.listed(database, "listCollections")
    if odd := [entry["name"] for entry in found if UNREADABLE in entry["name"]]:
        raise OperationError(
            f"the name of the collection {odd[0]} is no UTF-8, so dbroster can't ask for what is in it; archive the "
            f'database by other means (mongodump), and drop it: db.getSiblingDB("{database}").dropDatabase()'
        )
    return [entry for entry in found if not _MADE_BY_ITSELF.fullmatch(entry["name"])]


def _metadata(entry: RawBSONDocument, indexes: list[RawBSONDocument]) -> str:
    exact = bson.encode({"options": entry["options"], "indexes": indexes, "type": entry["type"]})
    document = {
        **bson.decode(exact, _DECODING),
        "collectionName": entry["name"],
        **({"uuid": bytes(entry["info"]["uuid"]).hex()} if "uuid" in entry["info"] else {}),
        _EXACT: b64encode(exact).decode(),
    }
    return json_util.dumps(document, json_options=_JSON)


def _read_metadata(file: zipfile.ZipFile, name: str) -> Mapping[str, Any]:
    text = file.read(name)
    if exact := json.loads(text).get(_EXACT):
        return RawBSONDocument(b64decode(exact), RAW)
    found: dict[str, Any] = json_util.loads(text, json_options=_JSON)  # of an archive from before
    return found


def _creation(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a collection as `create` takes them back: it refuses the span that a granularity implies."""
    series = dict(options.get("timeseries", {}))
    if "granularity" in series and "bucketRoundingSeconds" not in series:
        series.pop("bucketMaxSpanSeconds", None)
    return {**options, **({"timeseries": series} if series else {})}


def _number_of_documents(data: bytes) -> int:
    """Count concatenated documents: each begins with its own length (bsonspec.org)."""
    position = number = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "little")
        position += length
        number += 1
        if length < 5 or position > len(data):
            raise OperationError("the server has sent something that is no document")
    return number


def _batches(source: IO[bytes]) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    size = 0
    while head := source.read(4):
        length = int.from_bytes(head, "little")
        data = head + source.read(length - 4)
        if len(data) != length:
            raise ValueError("a document is cut off")
        if batch and (size + length > _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS):
            yield batch
            batch, size = [], 0
        batch.append(RawBSONDocument(data))
        size += length
    if batch:
        yield batch
