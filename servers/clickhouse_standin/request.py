"""One statement: run by the engine as the user who sent it, with the store shown where the engine has nothing."""

import json
import re
from functools import partial
from itertools import pairwise
from typing import Any

from servers.clickhouse_standin import catalogue
from servers.clickhouse_standin.engine import Engine
from servers.clickhouse_standin.sql import (
    ServerError,
    Tokens,
    names_of,
    quote_name,
    quote_string,
    string_list,
    tokenize,
    unknown,
)

OVERLAID = ("users", "roles", "role_grants")  # system tables shown from the store
# Parameters of the protocol; all others are settings.
NOT_SETTINGS = (
    *("query", "query_id", "database", "default_format", "user", "password", "quota_key", "role", "stacktrace"),
    *("session_id", "session_timeout", "session_check", "close_session", "compress", "decompress", "buffer_size"),
    *("wait_end_of_query", "client_protocol_version", "http_headers_progress_interval_ms"),
)
# What the interpreter answers when a statement was fine and only the storage was missing or stale.
STORAGE_CODES = {514, 495, 493, 192, 511, 512}
SHOW_SECRETS = "format_display_secrets_in_show_and_select"
# A query may be this long unless told otherwise.
LONG_QUERY = 200_000
ERROR = re.compile(r"\s*Code: (\d+)\. DB::Exception: (.*)\. \((\w+)\)\s*$", re.DOTALL)


def _error_code(text: str) -> int:
    found = re.match(r"\s*Code: (\d+)", text)
    return int(found[1]) if found else 1002


def _position(tokens: Tokens, *words: str) -> int:
    """Where the first of these words stands, or the end."""
    return next((i for i, token in enumerate(tokens) if token.is_word(*words)), len(tokens))


def _is_change(words: list[str]) -> bool:
    return (
        words[0] in ("GRANT", "REVOKE")
        or words == ["SET", "DEFAULT", "ROLE"]
        or (words[0] in ("CREATE", "ALTER", "DROP") and words[1] in ("USER", "ROLE"))
    )


def _system_tables(tokens: Tokens) -> dict[str, list[int]]:
    """{'users': [positions]} for every mention of a system table that needs care."""
    used: dict[str, list[int]] = {}
    for i in range(len(tokens) - 2):
        schema, dot, table = tokens[i : i + 3]
        named = schema.kind in ("word", "quoted") and table.kind in ("word", "quoted")
        if named and schema.value == "system" and dot.raw == "." and table.value in (*OVERLAID, "grants", "processes"):
            used.setdefault(table.value, []).append(i)
    return used


class Request:
    """Who sent a statement, and with which settings."""

    def __init__(self, engine: Engine, user: str, params: dict[str, str]) -> None:
        self.engine, self.store, self.user, self.params = engine, engine.store, user, params
        self.format = params.get("default_format", "TabSeparated")
        self.session: Any = None

    def execute(self, sql: str, *, readonly: bool) -> bytes:
        """Run it and return the answer's body; raises ServerError."""
        tokens = [token for token in tokenize(sql) if token.raw.strip()]
        while tokens and tokens[-1].raw == ";":
            tokens.pop()
        if any(token.raw == ";" for token in tokens) and not tokens[0].is_word("INSERT"):
            raise ServerError(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        with self.engine.lock:
            return self._in_session(sql, tokens, readonly=readonly)

    def _in_session(self, sql: str, tokens: Tokens, *, readonly: bool) -> bytes:
        words = ([token.raw.upper() for token in tokens[:3]] + [""] * 3)[:3]
        used = _system_tables(tokens)
        shows = words[0] == "SHOW" and words[1] in ("GRANTS", "ACCESS")  # users and roles are shown from the store
        definer = any(token.is_word("DEFINER") for token in tokens)
        if not self._is_login_only(tokens):
            self.engine.ensure(self.user, fresh=shows or words[0] == "CHECK" or "grants" in used or definer)
        name = self.params.get("session_id", "")
        self.session = self.engine.sessions.get(name) or self.engine.open()
        try:
            self._prepare(readonly=readonly)
            return self._dispatch(sql, tokens, words, used)
        finally:
            if name:
                self.engine.sessions[name] = self.session
            else:
                self.session.close()

    def _is_login_only(self, tokens: Tokens) -> bool:
        """`SELECT 1` needs no privilege, so it need not cost a restart of the engine as somebody else."""
        return [token.raw.upper() for token in tokens] == ["SELECT", "1"] and not self.params.get("database")

    def _dispatch(self, sql: str, tokens: Tokens, words: list[str], used: dict[str, list[int]]) -> bytes:
        if _is_change(words):
            return self._change(sql)
        if words[:2] == ["SHOW", "CREATE"] and words[2] in ("USER", "USERS", "ROLE", "ROLES"):
            return self._show_create(tokens, words[2].lower())
        if words[:2] == ["SHOW", "GRANTS"]:
            return self._show_grants(sql, tokens)
        if words[0] == "SHOW" and words[1] in ("USERS", "ROLES"):
            sql = f"SELECT name FROM system.{words[1].lower()} ORDER BY name"
            tokens = tokenize(sql)
            used = _system_tables(tokens)
        return self._query(self._rewritten(sql, tokens, used))

    # --- running things in the engine ---------------------------------------------------------------------------------

    def _query(self, sql: str, output: str = "") -> bytes:
        try:
            return bytes(self.session.query(sql, output or self.format).bytes())
        except Exception as error:  # noqa: BLE001 - chdb raises RuntimeError and others with the server's text
            raise self._server_error(str(error)) from None

    def _server_error(self, text: str) -> ServerError:
        found = ERROR.match(text)
        if not found:
            return ServerError(_error_code(text), "UNKNOWN_EXCEPTION", text)
        message = found[2]
        if message.startswith("default: "):
            message = f"{self.user}: {message.removeprefix('default: ')}"
        for name, shown in self._aliases():
            message = message.replace(shown, name)
        return ServerError(int(found[1]), found[3], message)

    def _aliases(self) -> list[tuple[str, str]]:
        pairs = catalogue.aliases(self.store, self.user).items()
        return [(name, shown) for name, shown in pairs if name != shown and shown != "default"]

    def _prepare(self, *, readonly: bool) -> None:
        for name, value in self.params.items():
            if name.startswith("param_"):
                self._query(f"SET {name} = {quote_string(value)}")
            elif name not in NOT_SETTINGS:
                self._query(f"SET {quote_name(name)} = {quote_string(value)}")
        if self.params.get("database"):
            self._query(f"USE {quote_name(self.params['database'])}")
        if readonly:
            self._query("SET readonly = 2")

    def _change(self, sql: str) -> bytes:
        """Let the real interpreter parse and check the statement, then apply it to the store."""
        try:
            self._query(self._with_sender_known(sql))
        except ServerError as error:
            if error.code not in STORAGE_CODES:
                raise
        tokens = tokenize(sql)
        if any(one.is_word("ON") and two.is_word("CLUSTER") for one, two in pairwise(tokens)):
            # the engine's own words, which it has no time for when it misses a role of the store first
            raise ServerError(392, "QUERY_IS_PROHIBITED", "Replicated DDL queries are disabled")
        for parameter, value in self.params.items():  # {name:Identifier} has been checked just now
            if parameter.startswith("param_"):
                name = parameter.removeprefix("param_")
                sql = sql.replace(f"{{{name}:Identifier}}", quote_name(value))
                sql = sql.replace(f"{{{name}:String}}", quote_string(value))
        canonical = self._query(f"SELECT formatQuerySingleLine({quote_string(sql)})", "TSVRaw").decode()
        self.store.apply(canonical.strip(), actor=self.user)
        self.engine.save()
        return b""

    def _with_sender_known(self, sql: str) -> str:
        """Name the sender as a grantee, and roles, as the engine does, which has other names for them.

        What is unknown would be noticed before a missing privilege, and is taken for a lack of storage. Whether a role
        may be given away does not hang on to whom; what a REVOKE of privileges takes does.
        """
        tokens = [token for token in tokenize(sql) if token.raw.strip()]
        if self.user == "default" or not tokens[0].is_word("GRANT", "REVOKE"):
            return sql
        to = _position(tokens, "TO", "FROM")
        shown = catalogue.aliases(self.store, self.user)
        edits = [(token, quote_name(shown[token.value])) for token in tokens[:to] if token.value in self.store.roles]
        known = {*self.store.users, *self.store.roles} if edits else {self.user}
        edits += [(token, "CURRENT_USER") for token in tokens[to:] if token.value in known]
        for token, text in reversed(edits):
            sql = f"{sql[: token.start]}{text}{sql[token.end :]}"
        return sql

    # --- showing the store --------------------------------------------------------------------------------------------

    def _rewritten(self, sql: str, tokens: Tokens, used: dict[str, list[int]]) -> str:
        """The statement with the store's rows in place of what the engine cannot know."""
        edits = []
        for table, places in used.items():
            shown = {"grants": self._grants_with_real_names, "processes": self._processes}
            text = shown.get(table, partial(self._overlay, table))()
            edits += [(tokens[i].start, tokens[i + 2].end, text) for i in places if text]
        if self.user != "default":  # the engine believes that it is `default`
            for i in range(len(tokens) - 2):
                if tokens[i].raw in ("currentUser", "user") and tokens[i + 1].raw + tokens[i + 2].raw == "()":
                    edits.append((tokens[i].start, tokens[i + 2].end, quote_string(self.user)))
        for start, end, text in sorted(edits, reverse=True):
            sql = sql[:start] + text + sql[end:]
        size = len(sql.encode())
        if size > LONG_QUERY:  # several tables may each be short enough, and too long together
            self._query(f"SET max_query_size = {2 * size}")
        return sql

    def _processes(self) -> str:
        """Only the queries that sleep, and only some columns."""
        columns = ("query_id", "user", "address", "query")
        rows = [[query_id, *facts] for query_id, facts in self.engine.sleeping.items()] or [[""] * len(columns)]
        listed = [
            ", ".join(f"{quote_string(value)} AS {name}" for name, value in zip(columns, row, strict=True))
            for row in rows
        ]
        return "(" + " UNION ALL ".join(f"SELECT {row}, 0 AS elapsed" for row in listed) + ")"

    def _grants_with_real_names(self) -> str:
        pairs = [(shown, real) for real, shown in catalogue.aliases(self.store, self.user).items() if real != shown]
        if not pairs:
            return ""
        maps = ", ".join(f"[{string_list(side)}]" for side in zip(*pairs, strict=True))
        columns = ", ".join(f"transform({name}, {maps}, {name}) AS {name}" for name in ("user_name", "role_name"))
        return f"(SELECT * REPLACE ({columns}) FROM system.grants)"

    def _overlay(self, name: str) -> str:
        """A subquery shaped like system.<name>, holding the store's rows (and needing no privilege)."""
        # May this user look at all? And what are the columns?
        found = json.loads(self._query(f"SELECT * FROM system.{name} LIMIT 0", "JSONCompact"))["meta"]
        shape = ", ".join(f"{column['name']} {column['type']}" for column in found)
        rows = quote_string(json.dumps(catalogue.rows(self.store, name)))
        shown = ", ".join(f"tupleElement(x, '{column['name']}') AS {column['name']}" for column in found)
        array = f"JSONExtract({rows}, {quote_string(f'Array(Tuple({shape}))')})"
        return f"(SELECT {shown} FROM (SELECT arrayJoin({array}) AS x))"

    def _column(self, title: str, values: list[str]) -> bytes:
        array = f"[{string_list(values)}]::Array(String)"
        return self._query(f"SELECT arrayJoin({array}) AS `{title.replace('`', '')}`")

    def _take_format(self, tokens: Tokens) -> int:
        """Where FORMAT stands; what it says is used for the answer."""
        at = _position(tokens, "FORMAT")
        if at < len(tokens):
            self.format = tokens[at + 1].raw
        return at

    def _show_create(self, tokens: Tokens, what: str) -> bytes:
        kind = what.removesuffix("s")
        self._query(f"SELECT * FROM system.{kind}s LIMIT 0")  # may this user look at all?
        end = self._take_format(tokens)
        if what.endswith("s"):
            names = sorted(self.store.users if kind == "user" else self.store.roles)
        else:
            names = names_of(tokens[3 : min(end, _position(tokens, "SETTINGS"))]) or [self.user]
        secrets = self._may_show_secrets(tokens)
        shown = [catalogue.show_create(self.store, kind, name, secrets=secrets) for name in names]
        return self._column(f"CREATE {kind.upper()} {', '.join(names)}", shown)

    def _may_show_secrets(self, tokens: Tokens) -> bool:
        """As on a server: by its configuration, by a setting of the query, and by a privilege, all three."""
        at = next((i for i, token in enumerate(tokens) if token.value == SHOW_SECRETS), len(tokens))
        asked = [token.raw for token in tokens[at + 1 : at + 3]] == ["=", "1"]
        if not (asked and self.engine.shows_secrets):
            return False
        return self._query("CHECK GRANT displaySecretsInShowAndSelect ON *.*", "TSVRaw").strip() == b"1"

    def _show_grants(self, sql: str, tokens: Tokens) -> bytes:
        if self.user == "default" and not self._aliases():
            return self._query(sql)
        end = self._take_format(tokens)
        options = _position(tokens, "WITH", "FINAL", "FORMAT")
        names = names_of(tokens[3:options]) or [self.user]
        rest = " ".join(token.raw for token in tokens[options:end])
        lines = [line for name in names for line in self._grants_of(name, rest)]
        return self._column(f"GRANTS FOR {', '.join(names)}", lines)

    def _grants_of(self, name: str, options: str) -> list[str]:
        shown = catalogue.aliases(self.store, self.user)
        if name not in shown:
            raise unknown("role", name)
        text = self._query(f"SHOW GRANTS FOR {quote_name(shown[name])} {options}", "TSVRaw").decode()
        for real, other in {name: shown[name], **dict(self._aliases())}.items():
            if real != other:  # the grantee at the end, granted roles anywhere
                quoted = quote_name(real).replace("\\", r"\\")
                text = re.sub(rf"(?<![\w.`]){re.escape(other)}(?![\w.`])", quoted, text)
        return text.splitlines()
