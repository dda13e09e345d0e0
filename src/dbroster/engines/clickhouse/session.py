"""One connection to ClickHouse over HTTP: opening it, quoting, and turning the driver's errors into ours."""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import clickhouse_connect
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, Error

from dbroster.engines import tls
from dbroster.engines.clickhouse.cluster.nodes import LOST, Cluster
from dbroster.engines.clickhouse.http.connections import Sockets, pool, timed_out
from dbroster.engines.clickhouse.http.requests import RequestPool, SingleConnection
from dbroster.engines.clickhouse.options import ClickHouseOptions
from dbroster.errors import ConnectError, DbrosterError, LoginRefused, OperationError, Stalled
from dbroster.model.connection import Connection
from dbroster.passwords.secret import Secret, scrub

SYNTAX_ERROR, USER_EXISTS, DATABASE_EXISTS, DENIED, FIXED_SETTING = "62", "493", "82", "497", "452"
HAS_DEPENDENTS, NOT_LOADED = "630", "722"
ROLE_PREFIX = "dbroster:"
_REFUSED_LOGINS = frozenset({192, 193, 194, 516})
_CROWDED = 202
_UNCLEAR_LOGINS = frozenset({201})  # a quota, maybe the one for failed logins
_NO_CONNECTION = "Failed to establish a new connection: "
"""urllib3's words, behind a class and its arguments."""
_ADMIN_REFUSED = frozenset({516})
_RETRYABLE = frozenset({159, 202, 209, 210, 999})
LEFT_AMONG_ACCOUNTS = (
    "then see that ZooKeeper has nothing but accounts there (below uuid only their UUIDs), and take the rest away with "
    "rmr of clickhouse-keeper-client, or deleteall of zkCli.sh"
)
_NO_ACCOUNT = (
    "if that is about an account: a replicated table with a path among them, which the run's warnings name while it is "
    f"there, keeps accounts from being changed: drop it, {LEFT_AMONG_ACCOUNTS}"
)
_ADVICE = {
    376: _NO_ACCOUNT,
    999: _NO_ACCOUNT,
    359: "it holds a table that is larger than max_table_size_to_drop; drop that by hand",
    495: "it is defined outside of SQL (users.xml, LDAP), where only the server's own configuration changes it",
    497: "let `check --connect` say what to grant to the admin account",
    514: "the server has no writable user directory; add <local_directory> to <user_directories> in its configuration",
    630: "something else depends on it; drop that first, until then the account stays locked",
    722: "mend that table and restart the server; until then its database can be neither archived nor dropped",
    701: "name a cluster of this server under `cluster` in connections.yaml",
}
_Found = TypeVar("_Found")
# What the admin's profile may have set, and what would hide rows from dbroster or change how they look.
_OWN_SETTINGS = {
    **dict.fromkeys((
        "max_execution_time", "max_result_rows", "max_result_bytes", "max_rows_to_read", "max_bytes_to_read",
        "max_rows_to_read_leaf", "max_bytes_to_read_leaf", "limit", "offset", "final", "use_query_cache",
        "join_use_nulls", "aggregate_functions_null_for_empty", "transform_null_in",
        "show_table_uuid_in_table_create_query_if_not_nil",
    ), "0"),
    "additional_table_filters": "{}", "additional_result_filter": "",
}  # fmt: skip
# An answer comes when the server is sure of it; until then it says three times within `timeout` that it is at work.
_WAITING = {"wait_end_of_query": "1", "send_progress_in_http_headers": "1"}
_BROKEN = """
    SELECT DISTINCT name, job FROM system.databases, system.asynchronous_loader
    WHERE status = 'FAILED' AND match(job, '^(load|startup) table ')
        AND startsWith(substring(job, position(job, ' table ') + 7), name || '.') ORDER BY name, job"""
IF_BROKEN = "\n-- where the server has tables that it could not load:\n"
"""Divides a query from the one that is asked in its place there."""
_NOTHING = "SET ROLE DEFAULT"
_PING = 2.0  # seconds
_TO_NAME = 6.0  # seconds more that a node has for naming a silent one: before all else it sends a ping, for 5 s
_MESSAGE = re.compile(
    r"(?:DB|Coordination)::Exception: (.*?)\.?(?: \([A-Z][A-Z0-9_]+\))?(?:\s*\(version .*)?\s*$", re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_FIXED = re.compile(r"Setting (\w+) (?:should|is readonly)")
_BLIND = "response to server version query: ''"
_CODE = re.compile(r"\bCode: (\d+)")
_BYTE = re.compile("[\udc80-\udcff]")

# whether a proxy has cut it off is asked with each new client, and matters for types that dbroster does not read
clickhouse_connect.common.set_setting("use_protocol_version", False)
# the driver logs what it also raises; with no handler at all Python would print that
logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())


def identifier(name: str) -> str:
    r"""Quote a name of a database, user or role; `\x41` and its like count inside of backticks too."""
    return _quoted(name, "`")


def literal(text: str) -> str:
    """Quote a text."""
    return _quoted(text, "'")


def _quoted(text: str, mark: str) -> str:
    """Bytes that are no UTF-8, which `from_hex` keeps as surrogates, are written as numbers."""
    escaped = text.replace("\\", "\\\\").replace(mark, f"\\{mark}")
    return mark + _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02X}", escaped) + mark


def from_hex(text: str) -> str:
    """A text that the server has sent as hex(), since names and statements may hold anything."""
    return bytes.fromhex(text).decode("utf-8", "surrogateescape")


def qualified(database: str, table: str) -> str:
    """Quote a table with its database."""
    return f"{identifier(database)}.{identifier(table)}"


def unescaped(text: str) -> str:
    """A text without the backslashes that stand before its characters."""
    return _ESCAPED.sub(r"\1", text)


def bare(text: str) -> str:
    """A name or text as the server shows it, without its quotes, if it has any."""
    return unescaped(text[1:-1]) if text[:1] in ("'", "`") else text


def fixed_setting(text: str) -> str | None:
    """The setting that an error says the admin may not change; the server's errors and the driver's."""
    found = _FIXED.search(text)
    return found[1] if found else None


def writable(user: str, setting: str) -> str:
    """What lets the admin change a setting that a profile fixes, and that might leave rows out of answers."""
    return (
        "dbroster has to change it, or might not see everything; beside the SETTINGS that SHOW CREATE USER shows: "
        f"ALTER USER {identifier(user)} SETTINGS {setting} WRITABLE;"
    )


def all_rows(user: str, cluster: str = "") -> str:
    """What lets the admin see all rows of the system tables, whatever policies say that are not restrictive."""
    name = identifier(f"all rows for {user}")
    return f"CREATE ROW POLICY IF NOT EXISTS {name}{cluster} ON system.* USING 1 TO {identifier(user)};"


class Session:
    """What stands for a connection: HTTP has none that lasts, but once closed this one is never used again."""

    def __init__(self, connection: Connection) -> None:
        """Log in as the admin. Raises ConnectError with the server's own reason."""
        self.connection = connection
        self.roster = connection.roster
        self.role = f"{ROLE_PREFIX}{connection.roster}"
        """The role that marks the accounts of the roster."""
        self.address = f"{connection.host}:{connection.port}"
        self.tls = tls.context(connection.tls)
        self.path = ClickHouseOptions.of(connection).http_path.strip("/")
        self.notes: list[str] = []
        """What the DBA should be told of this session."""
        self.cluster: Cluster | None = None
        """All whose state counts, if this server is not alone."""
        self.databases_on = self.accounts_on = ""
        """The ON CLUSTER clauses of statements about databases, and about accounts."""
        self._closed = False
        self.account = connection.username, connection.password.reveal() if connection.password else ""
        self._login_limit, self._limit = connection.connect_timeout, connection.timeout
        pause = {"http_headers_progress_interval_ms": str(self._limit * 1000 // 3)}
        self._always = urlencode({**_OWN_SETTINGS, **_WAITING, **pause})
        self.sockets = Sockets()
        self._pool = pool(connection, self.tls, self.sockets)
        self._requests = RequestPool(connection, self.tls, self.sockets)
        try:
            with self._translated(opening=True):
                self._client = self._connect(connection)
        except BaseException:
            self._requests.close()
            self.sockets.close()
            raise

    def close(self) -> None:
        """End the session; never raises."""
        self._closed = True
        with suppress(Error, OSError):
            self._client.close()
        self._pool.clear()
        self._requests.close()
        self.sockets.close()

    def abort(self) -> None:
        """Break whatever is waited for; callable from any thread, never raises, never blocks."""
        self.sockets.break_all()

    @property
    def version(self) -> str:
        """The server's version as it says it."""
        return str(self._client.server_version)

    @property
    def release(self) -> tuple[int, ...]:
        """Year and month of the version, by which versions are compared."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    @property
    def here(self) -> int:
        """The place of the node that is asked among all whose state counts."""
        return self.cluster.here if self.cluster else 0

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"{'https' if self.tls else 'http'}://{_uri_host(self.address)}/{self.path}"

    def rows(self, query: str, **texts: str | Sequence[str]) -> list[tuple[Any, ...]]:
        """Return what a query finds; each `{name}` in it stands for a text, or for texts for `IN`, quoted here.

        `{broken}` stands for databases of which the server can show no table. Raises ConnectError or OperationError.
        """
        return self._but_broken(self._rows, query, texts)

    def everywhere(self, query: str, **texts: str | Sequence[str]) -> list[list[tuple[Any, ...]]]:
        """Return what a query, with texts as for `rows`, finds on each node of the cluster; or on the only server.

        Raises ConnectError or OperationError.
        """
        if self.cluster is None:
            return [self.rows(query, **texts)]
        ask = partial(self._ask_all, self.cluster, seconds=self._limit, key="timeout")
        return self._but_broken(ask, query, texts)

    def _but_broken(self, ask: Callable[[str], _Found], query: str, texts: Mapping[str, str | Sequence[str]]) -> _Found:
        """Ask about all databases; if the server could not load a table when it started, about the others."""
        usual, _, instead = query.partition(IF_BROKEN)
        try:
            return ask(_filled(usual, {"broken": [""], **texts}))
        except OperationError as error:
            if error.code != NOT_LOADED or "{broken}" not in query:
                raise
        found = self.union(_BROKEN)
        self.notes += [_not_loaded(database, job) for database, job in found]
        return ask(_filled(instead or usual, {**texts, "broken": [database for database, _ in found] or [""]}))

    def meet(self) -> None:
        """Ask every node for a sign, which has to come as soon as one of a login. Raises ConnectError."""
        if self.cluster:
            self._ask_all(self.cluster, "SELECT 1 AS here", min(self._login_limit, self._limit), "connect_timeout")

    def _ask_all(self, cluster: Cluster, query: str, seconds: int, key: str) -> list[list[tuple[Any, ...]]]:
        settings = cluster.for_reading(seconds, self.version)
        try:
            return cluster.by_node(self._rows(cluster.asking(query), settings, seconds + _TO_NAME))
        except OperationError as error:
            if error.code not in LOST:
                raise
            raise cluster.stalled(cluster.named_in(str(error)), seconds, key) from None

    def union(self, query: str, **texts: str | Sequence[str]) -> list[tuple[Any, ...]]:
        """Return what a query finds on any node, each row once. Raises ConnectError or OperationError."""
        return list(dict.fromkeys(row for rows in self.everywhere(query, **texts) for row in rows))

    def _rows(
        self, query: str, settings: Mapping[str, str] | None = None, limit: float | None = None
    ) -> list[tuple[Any, ...]]:
        with self._translated(limit=limit):
            found = self._client.query(query, settings=dict(settings or {})).result_rows
        return [tuple(row) for row in found]

    def lines(self, statement: str, **settings: str) -> list[str]:
        """Return the answer to a statement that can't name a format, a row each, unescaped but for line ends.

        Raises ConnectError or OperationError.
        """
        with self._translated():
            text = self._client.raw_query(statement, settings=settings).decode("utf-8", "replace")
        return [re.sub(r"\\(['\\])", r"\1", line) for line in text.split("\n") if line]

    def run(self, statement: str, secrets: Iterable[str] = (), **settings: str) -> None:
        """Perform a statement; `secrets` are its parts that no error may show. Raises ConnectError, OperationError."""
        cluster, shared = self.cluster, self.cluster.for_changing(self._limit) if self.cluster else {}
        query = "&".join(filter(None, (self._always, urlencode({**shared, **settings}))))
        with self._translated(secrets):
            answer = self._requests.ask(self.url, statement, *self.account, query)
            if answer.status != 200 or answer.code:
                what = f"Code: {answer.code}." if answer.code else f"HTTP status {answer.status}"
                raise DatabaseError(f"{what} {answer.text}")
        if cluster:
            cluster.judge(answer.text, self._limit)

    def single_connection(self) -> SingleConnection:
        """Open one connection more, for its caller alone. Raises OSError."""
        return SingleConnection(self.url, self.connection, self.tls, self.sockets)

    def login(self, user: str, password: Secret) -> bool | None:
        """Try a login, at each node that has accounts of its own. Raises ConnectError.

        Return whether the password was accepted, by all; None when there was no clear answer.
        """
        urls = [self.url, *(self.cluster.urls if self.cluster else ())]
        answers = [self._login_at(url, user, password) for url in urls]
        return False if False in answers else None if None in answers else True

    def reach(self, urls: Sequence[str]) -> None:
        """Try logins at these places, too."""
        if self.cluster:
            self.cluster = self.cluster._replace(urls=tuple(urls))

    def answers(self, url: str) -> bool:
        """Whether a ClickHouse server answers at a place, quickly. Never raises."""
        try:
            answer = self._pool.request("GET", f"{url.rstrip('/')}/ping", timeout=_PING, retries=False)
        except (urllib3.exceptions.HTTPError, OSError):
            return False
        return answer.status == 200

    def _login_at(self, url: str, user: str, password: Secret) -> bool | None:
        """Try a login at one place.

        Any other error than a refused login comes from a user who has been let in. What is asked does nothing, at half
        the price of a query.
        Source: ClickHouse documentation, "HTTP Interface".
        """
        try:
            with self.sockets.at_most(self._login_limit):
                answer = self._requests.ask(url, _NOTHING, user, password.reveal(), again=True)
        except OSError as error:
            if self.sockets.broken or timed_out(error):
                raise self._broken(error, opening=True) from None
            return None
        if answer.status == 200:
            return True
        found = _CODE.search(f"Code: {answer.code or ''} {answer.text}")
        code = int(found[1]) if found else None
        return None if code is None or code in _UNCLEAR_LOGINS else code not in _REFUSED_LOGINS

    def _connect(self, connection: Connection) -> Client:
        return clickhouse_connect.get_client(
            host=connection.host,
            port=connection.port,
            username=self.account[0],
            password=self.account[1],
            secure=self.tls is not None,
            proxy_path=self.path,
            pool_mgr=self._pool,
            connect_timeout=connection.connect_timeout,
            send_receive_timeout=connection.timeout,
            settings=_OWN_SETTINGS,
            autogenerate_session_id=False,  # the server would let one session's requests wait for each other
            compress=False,
            query_retries=0,
            show_clickhouse_errors=True,
        )

    @contextmanager
    def _translated(
        self, secrets: Iterable[str] = (), *, opening: bool = False, limit: float | None = None
    ) -> Iterator[None]:
        if self._closed:
            raise ConnectError(f"the connection to {self.address} is closed")
        try:
            with self.sockets.at_most(self._login_limit if opening else limit or self._limit):
                yield
        except (Error, OSError, urllib3.exceptions.HTTPError) as error:
            # not chained: the driver's error may carry a part of the statement
            raise self._error(error, [*secrets, self.account[1]], opening=opening) from None

    def _error(self, error: Exception, secrets: Iterable[str], *, opening: bool) -> DbrosterError:
        code = getattr(error, "code", None)  # drivers before 1.0 have it in the text only
        if code is None and (found := _CODE.search(str(error))):
            code = int(found[1])
        if code is None:
            if self.sockets.broken or timed_out(error):
                return self._broken(error, opening=opening)
            if setting := fixed_setting(str(error)):  # the driver looks at constraints before it asks
                text = f"the setting {setting} of the admin is fixed"
                return ConnectError(f"ClickHouse at {self.address}: {text}: {writable(self.account[0], setting)}")
            if _BLIND in str(error):
                text = "the server answers with no rows at all, so a row policy hides even system.one from the admin"
                return ConnectError(f"ClickHouse at {self.address}: {text}: {all_rows(self.account[0])}")
            told = str(getattr(error.__cause__, "reason", None) or error.__cause__ or error)
            reason = told.partition(_NO_CONNECTION)[2] or told
            return ConnectError(f"no answer from ClickHouse at {self.address}: {scrub(reason, secrets)}")
        text = scrub(_words(error, code), secrets)
        if opening and code == _CROWDED:
            text += self._crowd()
        if opening or code in _ADMIN_REFUSED:
            kind = LoginRefused if code in _REFUSED_LOGINS else ConnectError
            return kind(f"ClickHouse at {self.address}: {text}")
        advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
        return OperationError(f"{text} (code {code}){advice}", str(code), retryable=code in _RETRYABLE)

    def _crowd(self) -> str:
        """Who runs most of the queries that leave no place for the admin's; the server lets this one question in."""
        question = "SELECT user, count() AS n FROM system.processes GROUP BY user ORDER BY n DESC LIMIT 1 FORMAT JSON"
        try:
            with self.sockets.at_most(self._login_limit):
                answer = self._requests.ask(self.url, question, *self.account)
            user, number = json.loads(answer.text)["data"][0].values()
        except (OSError, ValueError, LookupError):
            return ""
        limit = f"ALTER ROLE {identifier(self.role)} SETTINGS max_concurrent_queries_for_user = 50 CONST;"
        return (
            f"; {user} runs {number} of them; to end these: KILL QUERY WHERE user = {literal(user)} SYNC; "
            f"so that no user takes all places: {limit}"
        )

    def _broken(self, error: Exception, *, opening: bool) -> ConnectError:
        """What a wait that has ended means: the server was too slow, or the run was told to end."""
        if not self.sockets.late and not timed_out(error):
            return ConnectError(f"the connection to ClickHouse at {self.address} was broken off")
        self.sockets.break_all()  # whoever waits beside this one would wait as long
        key, limit = ("connect_timeout", self._login_limit) if opening else ("timeout", self._limit)
        return Stalled(f"ClickHouse at {self.address} did not answer within {limit} s (`{key}` in connections.yaml)")


def _filled(query: str, texts: Mapping[str, str | Sequence[str]]) -> str:
    """The query with its texts, quoted."""
    return query.format(
        **{
            name: literal(value) if isinstance(value, str) else ", ".join(map(literal, value))
            for name, value in texts.items()
        }
    )


def _not_loaded(database: str, job: str) -> str:
    query = f"SELECT exception FROM system.asynchronous_loader WHERE job = {literal(job)};"  # noqa: S608 - quoted
    return (
        f"the server has failed to {job} when it started, so it shows nothing of the database {database}, which can be "
        f"neither archived nor dropped until that is mended, and the server started again; why: {query}"
    )


def _words(error: Exception, code: int) -> str:
    """The server's sentence; of a syntax error only that it was one, since the rest quotes the statement."""
    if str(code) == SYNTAX_ERROR:
        return "this server does not understand a statement of dbroster; it may be too old"
    found = _MESSAGE.search(str(error))
    return found[1] if found else "the server gave no reason"


def _uri_host(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"[{host}]:{port}" if ":" in host else address
