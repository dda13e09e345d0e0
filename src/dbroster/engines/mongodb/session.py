"""A session with MongoDB: how it is opened and judged, how commands are sent, and what errors become."""

import atexit
import os
import re
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pymongo
import pymongo.synchronous.monitor
from bson.errors import BSONError
from bson.raw_bson import DEFAULT_RAW_BSON_OPTIONS, RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.server_description import ServerDescription

from dbroster.engines.mongodb.accounts import Document, read_by_usersinfo
from dbroster.engines.mongodb.options import MongoDBOptions
from dbroster.errors import ConnectError, DbrosterError, LoginRefused, OperationError, Stalled, UnsupportedServer
from dbroster.model.connection import Connection
from dbroster.model.loopback import is_loopback
from dbroster.passwords.secret import scrub

OLDEST = 5
ADMIN = "admin"
EXTERNAL = "$external"
"""Where accounts stand that log in by a certificate."""

USER_NOT_FOUND, UNAUTHORIZED, NAMESPACE_EXISTS, MAX_TIME_EXPIRED, USER_EXISTS = "11", "13", "48", "50", "51003"
ROLE_NOT_FOUND = "31"
WRITE_CONCERN = {"w": "majority", "wtimeout": 10_000}
"""What a change waits for: a stepdown of the primary can't undo it any more."""

RAW = DEFAULT_RAW_BSON_OPTIONS.with_options(unicode_decode_error_handler="replace")
"""How documents are read that are to stay byte by byte as they are."""

_WRONG_LOGIN, _UNKNOWN_COMMAND, _ATLAS = 18, 59, 8000
_NO_PRIMARY = {91, 189, 10058, 10107, 11600, 11602, 13435, 13436}
"""The server is not the primary, or not any more (specification "Server Discovery and Monitoring")."""

_RETRYABLE = {24, 46, 112, 215, 246}  # lock timeout, lock busy, write conflict, drop pending, snapshot unavailable
_GRACE = 2  # seconds that the server has, besides `timeout`, to say itself that a command took too long
_SHOWN, _LONG = 20, 100  # names, and their characters, that a person is told
_CLOSING = 1.0  # seconds that saying goodbye may take
_NOISE = re.compile(r"(?s) \(configured timeouts: [^)]*\)|, (?:Timeout|full error): .*")
_SOURCE = re.compile(r"(?i)[?&]authsource=([^&]*)")
_SERVER = re.compile(r"[^\s,]+:\d+(?=: )")
_CUT_OFF = re.compile("EOF occurred|connection closed|Connection reset")
_CROWDED = (
    "; the server takes a new connection and closes it at once, as it does when net.maxIncomingConnections are open: "
    "net.maxIncomingConnectionsOverride in its configuration lets in those from this machine's address all the same"
)
_TOO_LONG = "BSON size limit"
_CANCELLED = "operation cancelled"
"""What the driver says when it was told so, or has found out by itself that the server is silent."""

Address = tuple[str, int | None]


class Session:
    """A logged-in client of one server or replica set; writes go to the primary, wherever that is."""

    def __init__(self, client: MongoClient[Document], connection: Connection) -> None:
        """Read once what the server is. Raises UnsupportedServer, ConnectError and OperationError."""
        self.client = client
        self.connection = connection
        self.timeout = connection.timeout
        self.address = f"{connection.host}:{connection.port}"
        self._ended = ""
        options = MongoDBOptions.of(connection)
        self.auth_database = options.auth_database
        self.secrets = [connection.password.reveal()] if connection.password else []
        self._by_cursor = True
        version: str = self.command(ADMIN, {"buildInfo": 1})["version"]
        primary = _primary(client)  # found for that command
        host, port = primary.address
        self.address = f"{host}:{port}" if port else host
        _refuse_unsupported(primary)
        self.in_clear = _in_clear(connection, [host, *sorted(member for member, _ in primary.all_hosts)])
        if self.in_clear and not options.allow_plaintext_transport:
            raise UnsupportedServer(
                f"{self.in_clear} is not this machine and there is no TLS: MongoDB takes passwords in clear, so anybody"
                " on the way could read them; set tls: {ca: FILE}, or allow_plaintext_transport: true"
            )
        if int(version.split(".")[0]) < OLDEST:
            raise UnsupportedServer(f"MongoDB {version} is too old: MongoDB {OLDEST} or newer is needed")
        self.version = version

    @property
    def admin(self) -> dict[str, str]:
        """Name and authentication database of the account that has logged in."""
        found = _SOURCE.search(MongoDBOptions.of(self.connection).uri)
        source = EXTERNAL if not self.connection.password else unquote(found[1]) if found else ADMIN
        return {"user": self.connection.username, "db": source}

    def close(self) -> None:
        """End the session; never raises, and doesn't wait for a server that is silent."""
        close_client(self.client, forget=bool(self._ended))

    def abort(self) -> None:
        """Break whatever this session waits for, from another thread; never raises, never blocks."""
        self._ended = "the run was stopped"
        cancel(self.client)

    def command(
        self, database: str, body: Mapping[str, Any], secrets: Iterable[str] = (), limit: int | None = None
    ) -> Document:
        """Send one command and return the reply.

        Raises Stalled when it takes longer than `timeout`, whether the server says so or is silent; OperationError when
        it takes longer than a `limit` of its own, in seconds.
        """
        milliseconds = min(limit or self.timeout, self.timeout) * 1000
        with self.talking(secrets, limited=limit is not None):
            return self.client[database].command(
                {**body, "maxTimeMS": milliseconds}, codec_options=self.client.codec_options
            )

    def listed(self, database: str, command: str, value: int | str = 1) -> list[RawBSONDocument]:
        """Return all that a command with a cursor lists, byte by byte as the server has it."""
        found = self.client[database].cursor_command(command, value, codec_options=RAW)
        return list(found)  # type: ignore[arg-type]  # the options say what comes

    @contextmanager
    def talking(self, secrets: Iterable[str] = (), *, limited: bool = False) -> Iterator[None]:
        """Turn the driver's errors into ours, and note when there is nobody any more to talk to.

        Raises Stalled when the server takes longer than `timeout`, unless the command was `limited` to less.
        """
        if self._ended:
            raise ConnectError(self._ended)
        try:
            with translated([*self.secrets, *secrets], self.address):
                yield
        except Stalled as error:
            self._ended = str(error)
            raise
        except ConnectError as error:
            if _CANCELLED not in str(error):
                raise
            raise ConnectError(self._note(f"{self.address} does not answer any more")) from None
        except OperationError as error:
            if error.code != MAX_TIME_EXPIRED or limited:
                raise
            text = f"{self.address} needed longer than {self.timeout} s, the `timeout` in connections.yaml"
            raise Stalled(self._note(text)) from None

    def _note(self, text: str) -> str:
        """Keep the first reason why this session is over; another thread may have given one."""
        self._ended = self._ended or text
        return self._ended

    def now(self) -> datetime:
        """Return the time by the primary's clock."""
        found: datetime = self.command(ADMIN, {"hello": 1})["localTime"]
        return found.replace(tzinfo=UTC)

    def offered_mechanisms(self, database: str, user: str) -> set[str]:
        """By which mechanisms an account may log in, of those that it has a password for."""
        reply = self.command(ADMIN, {"hello": 1, "saslSupportedMechs": f"{database}.{user}"})
        return set(reply.get("saslSupportedMechs", ()))

    def members(self) -> list[Address]:
        """List the members that may become the primary, the present one first; a server that stands alone is one."""
        primary = _primary(self.client)
        if not primary.replica_set_name:
            return [primary.address]
        said = self.command(ADMIN, {"hello": 1})
        known = [_address(member) for member in (*said.get("hosts", ()), *said.get("passives", ()))]
        return [primary.address, *(member for member in known if member != primary.address)]

    def change(
        self, database: str, body: Mapping[str, Any], secrets: Iterable[str] = (), limit: int | None = None
    ) -> None:
        """Send a command that changes something, and wait until a majority has it.

        Raises OperationError as well when the majority did not confirm, which the driver does not check here.
        """
        reply = self.command(database, {**body, "writeConcern": WRITE_CONCERN}, secrets, limit)
        failed = reply.get("writeConcernError")
        if failed and failed.get("code") in _NO_PRIMARY:
            raise ConnectError("another primary was elected before a majority had confirmed the change")
        if failed:
            seconds = WRITE_CONCERN["wtimeout"] // 1000  # type: ignore[operator]  # a number
            raise OperationError(
                f"the primary has made the change, but a majority of the replica set did not confirm it in {seconds} s",
                str(failed.get("code", "")),
            )

    def find_accounts(self, query: Mapping[str, Any], fields: Mapping[str, int], page: int) -> list[Document]:
        """Read accounts of the authentication database; one query for each `page` of them (manual, "system.users").

        An admin who may not look into the collection asks the server's own command, in parts of about 1000 accounts.
        """
        found = self._find_if_allowed({"db": self.auth_database, **query}, fields, page)
        if found is not None:
            return found
        return read_by_usersinfo(self._users, self.auth_database, query, credentials="credentials" in fields)

    @property
    def sees_everybody(self) -> bool:
        """Whether accounts outside of the authentication database can be seen, as far as was tried."""
        return self._by_cursor

    def find_documents(
        self, query: Mapping[str, Any], fields: Mapping[str, int] | None, page: int = 0
    ) -> list[Document]:
        """Read accounts of any database. Raises OperationError where the admin may not look into the collection."""
        if not self._by_cursor:
            raise OperationError("the admin may not read admin.system.users", UNAUTHORIZED)
        try:
            with self.talking():
                found = self.client[ADMIN]["system.users"].find(query, fields, batch_size=page)
                return list(found.max_time_ms(self.timeout * 1000))
        except OperationError as error:
            self._by_cursor = error.code != UNAUTHORIZED
            raise

    def defined(self, kind: str, database: str) -> list[str]:
        """Name the users, or the roles, that are defined in a database, as many as a person reads.

        Not by usersInfo: an owner can make so many, or such long names, that the server breaks the connection off.
        """
        within = {"_id": {"$gte": f"{database}.", "$lt": f"{database}/"}}
        with self.talking():
            found = self.client[ADMIN][f"system.{kind}s"].find(within, {kind: 1}, limit=_SHOWN)
            return [str(each[kind])[:_LONG] for each in found.max_time_ms(self.timeout * 1000)]

    def find_holders(self, databases: Collection[str], fields: Mapping[str, int]) -> list[Document]:
        """Read accounts that have roles on these databases: all of them, or those of the authentication database."""
        query = {"roles.db": {"$in": list(databases)}}
        found = self._find_if_allowed(query, {**fields, "db": 1})
        return read_by_usersinfo(self._users, self.auth_database, query, credentials=False) if found is None else found

    def find_account(self, who: Mapping[str, str]) -> Document | None:
        """Read one account of any database. Raises OperationError where the admin may not look."""
        found = self._find_if_allowed(who, None)
        return next(iter(self.command(ADMIN, {"usersInfo": dict(who)})["users"] if found is None else found), None)

    def _find_if_allowed(
        self, query: Mapping[str, Any], fields: Mapping[str, int] | None, page: int = 0
    ) -> list[Document] | None:
        try:
            return self.find_documents(query, fields, page)
        except OperationError as error:
            if error.code != UNAUTHORIZED:
                raise
        return None

    def _users(self, body: Document) -> list[Document]:
        text = (
            "if accounts have more roles than one answer of usersInfo has room for: let it find in admin.system.users"
        )
        try:
            users: list[Document] = self.command(self.auth_database, body)["users"]
        except Stalled:
            raise
        except ConnectError as error:
            raise ConnectError(f"{error}; {text}") from None
        except OperationError as error:  # what 5.0 says, instead of breaking the connection off
            if _TOO_LONG not in str(error):
                raise
            raise OperationError(f"{error}; {text}", error.code) from None
        return users

    def database_names(self, like: Collection[str] | None = None) -> list[str]:
        """Name every database that has at least one collection, or those of these names, in whatever case."""
        body: Document = {"listDatabases": 1, "nameOnly": True}
        if like is not None:
            if not like:
                return []
            names = "|".join(map(re.escape, like))
            body["filter"] = {"name": {"$regex": f"^({names})$", "$options": "i"}}
        return [database["name"] for database in self.command(ADMIN, body)["databases"]]

    def database_sizes(self, names: Collection[str]) -> dict[str, int]:
        """Tell how large databases are, in bytes; one without collections is not there, and has none."""
        found = self.command(ADMIN, {"listDatabases": 1, "filter": {"name": {"$in": list(names)}}})["databases"]
        return dict.fromkeys(names, 0) | {database["name"]: int(database["sizeOnDisk"]) for database in found}


def open_session(connection: Connection) -> Session:
    """Connect as the admin. Raises ConnectError, UnsupportedServer."""
    secrets = [connection.password.reveal()] if connection.password else []
    _never_wait_at_exit()
    try:
        with translated(secrets):
            client: MongoClient[Document] = MongoClient(**parameters(connection, ""))
    except OperationError as error:
        raise ConnectError(str(error)) from None
    try:
        with pymongo.timeout(connection.connect_timeout):
            return Session(client, connection)
    except Stalled:
        close_client(client, forget=True)
        where = "the server" if MongoDBOptions.of(connection).uri else f"{connection.host}:{connection.port}"
        seconds = f"{connection.connect_timeout} s, the `connect_timeout` in connections.yaml"
        raise Stalled(f"{where} did not answer within {seconds}") from None
    except OperationError as error:
        close_client(client)
        raise ConnectError(str(error)) from None
    except ConnectError as error:
        close_client(client)
        raise type(error)(f"{error}{_CROWDED if _CUT_OFF.search(str(error)) else ''}") from None
    except BaseException:
        close_client(client)
        raise


def close_client(client: MongoClient[Document], *, forget: bool = False) -> None:
    """Close a client; never raises. One that is to `forget` the server does not say goodbye, which may take long.

    Nor does one that knows of no server: it would wait until one is back, only to say so.
    """
    forget = forget or not client.topology_description.known_servers
    if forget:
        waiting = getattr(client, "_kill_cursors_queue", None)
        if waiting:
            waiting.clear()
    with pymongo.timeout(0.001 if forget else _CLOSING), suppress(PyMongoError):
        client.close()


def cancel(client: MongoClient[Document]) -> None:
    """Tell the driver that nobody waits any more for what it waits for; it looks twice a second.

    It has no public name for this. A driver that does without these names goes on to its limit, `timeout`.
    """
    servers = getattr(getattr(client, "_topology", None), "_servers", {})
    for server in list(servers.values()):
        for context in list(getattr(getattr(server, "pool", None), "active_contexts", ())):
            context.cancel()


def _never_wait_at_exit() -> None:
    """Keep the driver from waiting half a second for its background threads when the process ends.

    They are daemons, and those of a closed client do nothing but sleep. A driver without this function may wait.
    """
    waiting = getattr(pymongo.synchronous.monitor, "_shutdown_resources", None)
    if waiting:
        atexit.unregister(waiting)


def application_name(role: str = "") -> str:
    """What this program calls itself, for the DBA who looks at the server's sessions."""
    return f"dbroster{role} {os.getpid()}@{socket.gethostname()[:60]}"


def parameters(connection: Connection, role: str) -> dict[str, Any]:
    """Return what the driver is given for a client of the admin; `role` is what other clients see of it."""
    uri = MongoDBOptions.of(connection).uri
    milliseconds = connection.connect_timeout * 1000
    return {
        "host": uri or connection.host,
        "port": connection.port,
        **_login(connection, uri),
        "directConnection": False,  # find the replica set, and its primary
        "appname": application_name(role),
        "maxPoolSize": 1,
        # one look at the start is enough for a session, and needs no second connection that stays open
        "serverMonitoringMode": "poll",
        "serverSelectionTimeoutMS": milliseconds,
        "connectTimeoutMS": milliseconds,
        "socketTimeoutMS": (connection.timeout + _GRACE) * 1000,
        "datetime_conversion": "DATETIME_AUTO",  # what users and DBAs write may be no date of Python's
        "unicode_decode_error_handler": "replace",  # and their names no UTF-8
        # what was lost is repeated by the core, which looks first at what has become of it
        "retryReads": False,
        "retryWrites": False,
        **_tls_parameters(connection),
    }


def _login(connection: Connection, uri: str) -> dict[str, str]:
    """How the admin logs in: with a password, else with the certificate (manual, "x.509")."""
    if connection.password:
        source = {} if "authsource=" in uri.lower() else {"authSource": ADMIN}
        return {"username": connection.username, "password": connection.password.reveal(), **source}
    if not connection.tls.cert:
        raise UnsupportedServer("MongoDB's admin needs a password, or a certificate (tls.cert)")
    return {"username": connection.username, "authSource": EXTERNAL, "authMechanism": "MONGODB-X509"}


def _tls_parameters(connection: Connection) -> dict[str, Any]:
    tls = connection.tls
    if tls.mode in (None, "disable"):
        return {}
    if tls.key not in (None, tls.cert):
        raise UnsupportedServer("MongoDB's driver wants certificate and key in one file: name it as tls: {cert: FILE}")
    return {
        "tls": True,
        "tlsAllowInvalidCertificates": tls.mode == "require",
        "tlsAllowInvalidHostnames": tls.mode in ("require", "verify-ca"),
        **({"tlsCAFile": tls.ca} if tls.ca else {}),
        **({"tlsCertificateKeyFile": tls.cert} if tls.cert else {}),
    }


def _in_clear(connection: Connection, hosts: Iterable[str]) -> str | None:
    """Name a member of the set to which passwords would travel in clear; any of them may become the primary."""
    if connection.tls.mode not in (None, "disable") or connection.options.brings_tls:
        return None
    return next((host for host in hosts if host and not is_loopback(host)), None)


def _address(member: str) -> Address:
    """What the driver makes of `host:port`, as members of a set are written."""
    host, _, port = member.rpartition(":")
    return host.strip("[]").lower(), int(port)


def _primary(client: MongoClient[Document]) -> ServerDescription:
    """Return what the driver has learned of the server that takes changes, when it connected."""
    known = client.topology_description.server_descriptions().values()
    primary = next((server for server in known if server.is_writable), None)
    if primary is None:
        raise ConnectError("there is no primary any more")
    return primary


def _refuse_unsupported(primary: ServerDescription) -> None:
    if primary.address[0].endswith(".mongodb.net"):
        raise UnsupportedServer("this is MongoDB Atlas, which takes accounts only through its own API")
    if primary.mongos:
        raise UnsupportedServer("this is a router of a sharded cluster, which dbroster does not know how to handle")


@contextmanager
def translated(secrets: Iterable[str] = (), where: str = "the server") -> Iterator[None]:
    """Turn the driver's errors into ConnectError or OperationError; `where`: whom to name when the driver doesn't."""
    try:
        yield
    except (BSONError, UnicodeError) as error:
        text = "what the server has sent can't be read: a name or a text in it is no UTF-8, or a value no BSON"
        raise OperationError(f"{text} ({type(error).__name__})") from None
    except PyMongoError as error:
        # not chained: the driver's error carries the whole reply
        raise _translate(error, secrets, where) from None


def _translate(error: PyMongoError, secrets: Iterable[str], where: str) -> DbrosterError:
    if isinstance(error, OperationFailure):
        return _translate_failure(error, secrets)
    text = scrub(_NOISE.sub("", str(error)), secrets)
    if isinstance(error, NetworkTimeout) or (isinstance(error, ServerSelectionTimeoutError) and _is_silent(text)):
        found = _SERVER.search(text)
        return Stalled(f"{found[0] if found else where} did not answer within the `timeout` in connections.yaml")
    if isinstance(error, (ConnectionFailure, ConfigurationError, InvalidOperation)):  # the last: closed already
        return ConnectError(text)
    return OperationError(text)


def _is_silent(text: str) -> bool:
    """Whether all servers that were tried can be reached, or not even refuse, but say nothing."""
    return text == "No servers found yet" or all("timed out" in part for part in text.split(","))


def _translate_failure(error: OperationFailure, secrets: Iterable[str]) -> DbrosterError:
    details = error.details or {}
    # "not authorized on admin to execute command { ... }" quotes the command itself
    of_writing = [failed.get("errmsg") for failed in details.get("writeErrors", ())]  # of many documents at once
    told = next(filter(None, [details.get("errmsg"), *of_writing]), error.code)
    text = scrub(str(told).split(" to execute command")[0], secrets)
    if error.code == _WRONG_LOGIN:
        return LoginRefused(f"the server refused the admin's login: {text}")
    if error.code in (_ATLAS, _UNKNOWN_COMMAND):
        text += " (a managed service? then accounts have to be made through the provider's API)"
    return OperationError(text, str(error.code), retryable=error.code in _RETRYABLE)
