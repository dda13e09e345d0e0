"""Archives of MySQL and MariaDB databases: what mysqldump writes, restored by the user with the client.

Blobs are written as they are, not in hex: twice as long, a row could exceed the server's max_allowed_packet when it is
brought back. A user's routines and views are only read, never run.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import IO, Any, ClassVar

from dbroster.archive import Archive, Draft
from dbroster.engines import programs
from dbroster.engines.archiver import Archiver
from dbroster.engines.mysql.access.admin_privileges import READS, Held, Wording, held
from dbroster.engines.mysql.archive import contents
from dbroster.engines.mysql.archive.computed import recomputed
from dbroster.engines.mysql.archive.contents import Contents, Special
from dbroster.engines.mysql.archive.definers import defined_by
from dbroster.engines.mysql.archive.reading_account import READER, reader
from dbroster.engines.mysql.archive.routine_scripts import Scripts, scripts
from dbroster.engines.mysql.session import Session, account, identifier, logged_in
from dbroster.engines.waits import breakable
from dbroster.errors import ConnectError, OperationError
from dbroster.model.connection import Connection
from dbroster.model.roster import User

_SHOWN = 600  # characters of the client's errors
_LOOKING = 30  # seconds that an answer may take before an archive; in the archive itself it has `timeout`
_CLOSING_LINE = b"-- Dump completed"
_PACKET = "--max-allowed-packet=1G"
_DUMP = (
    "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--no-tablespaces",
    "--default-character-set=utf8mb4", "--set-charset", "--skip-dump-date", "--skip-add-locks", _PACKET,
)  # fmt: skip
"""Without locks: users need not be allowed to lock tables, and on MariaDB a table whose default is the next value of a
sequence can't be filled while it alone is locked."""

_LEAST_AT_ONCE, _MOST_AT_ONCE = 4096, 1024 * 1024 - 1025
"""Bytes of rows that the dump programs put into one statement: what they allow at least, and what is usual."""

_ONLY_MYSQL = ("--set-gtid-purged=OFF", "--column-statistics=1")
_ONLY_TABLES = ("--skip-routines", "--skip-events")
_ONLY_CODE = ("--no-create-info", "--no-data", "--skip-triggers")
_AT_ONCE = 1000
"""Tables that are named in one call: far from what a command line holds."""

_LIMITS = """
    SELECT @@GLOBAL.sql_select_limit AS most, COALESCE(NULL /*M!100500 , @@GLOBAL.system_versioning_asof */, 'DEFAULT')
        AS moment, COALESCE(NULL /*M!100500 , @@GLOBAL.init_connect */, '') AS first"""
"""At MySQL no such setting stands beside the first, and who reads for an archive has no init_connect."""

_ANY_NUMBER = 2**63
"""From this on a limit of rows is none."""

_HISTORY = "--dump-history"
_KNOWS_HISTORY = (10, 11)
"""The first MariaDB whose server and whose dump program can write the history of system-versioned tables."""

_CLIENT = (
    "--batch", "--force", "--binary-mode", "--comments", "--local-infile=0", "--default-character-set=utf8mb4", _PACKET,
)  # fmt: skip
"""In binary mode the client obeys no commands of its own, like `system`, that an archive may hold; it reads no files.

By force it goes on after an error, so that one object which a user can't make again keeps nothing else away.
"""

_UNCHECKED = "--init-command=SET SESSION check_constraint_checks = 0, innodb_strict_mode = 0"
"""What MariaDB has taken without a check comes back without one: rows, and tables with longer rows than it likes."""

_ANY_KEY = "--init-command=SET SESSION foreign_key_checks = 0 /*!80400 , restrict_fk_on_non_standard_key = 0 */"
"""Foreign keys to what is not unique come back, as MySQL before 8.4 made them."""

_MODE, _DATES_TOO = b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO", b",ALLOW_INVALID_DATES"
_HEAD = 2048
_RULE = b"-" * 54
"""What stands at the head of a dump, and what is left out there for the mode in which a restore takes any date."""

_MODES = {
    None: "PREFERRED",
    "disable": "DISABLED",
    "require": "REQUIRED",
    "verify-ca": "VERIFY_CA",
    "verify-full": "VERIFY_IDENTITY",
}

_COUNTS = """
    SELECT IF(TABLE_TYPE = 'VIEW', 'views', 'tables') AS kind, COUNT(*) AS number
        FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME NOT IN %s GROUP BY kind
    UNION ALL SELECT 'routines', COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s
    UNION ALL SELECT 'triggers', COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s
        AND EVENT_OBJECT_TABLE NOT IN %s
    UNION ALL SELECT 'events', COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s"""


class MySQLArchiver(Archiver):
    """Archives by mysqldump or mariadb-dump, restores by mysql or mariadb."""

    extension: ClassVar[str] = "sql"
    method: ClassVar[str] = "mysqldump"

    def __init__(
        self, connection: Connection, session: Session, wording: Wording, patterns: Callable[[str], Collection[str]]
    ) -> None:
        """With `wording`: what the product calls things, and `patterns`: how grants spell the databases of a user."""
        super().__init__(connection)
        self._session = session
        self._patterns = patterns
        self._wording = wording
        self._mariadb = session.is_mariadb

    def missing(self) -> list[str]:
        """Look for the product's own programs, and for the privileges to read all routines and to end sessions.

        A sync does without the latter, but a session that goes on might write after the archive.
        """
        asked = (self._missing_program("dump"), self._missing_program("client"), self._limited())
        missing = [text for text in asked if text]
        found = held(str(next(iter(line.values()))) for line in self._session.rows("SHOW GRANTS"))
        if not found.ends_sessions(self._wording.ending):
            missing.append(self._grant(f"PROCESS, {self._wording.ending} ON *.*"))
        if not self._reads_routines(found):
            missing.append(self._grant(self._wording.routines))
        return [*missing, *self._unseen(found)]

    def _unseen(self, found: Held) -> Iterator[str]:
        """What users may lack by `privileges` in connections.yaml, and an archive needs all the same."""
        for pattern, names in found.passed_on.items():
            held_there = names | found.passed_on.get("*", set())
            if not pattern.startswith("%") or "ALL PRIVILEGES" in held_there:
                continue  # not for the databases of a template, or all there is
            if lacking := READS - held_there:
                listed = f"{', '.join(sorted(lacking))} ON {identifier(pattern)}.*"
                yield self._grant(listed).replace(";", " WITH GRANT OPTION;")

    def _missing_program(self, kind: str) -> str | None:
        if self._find(kind):
            return None
        product = "MariaDB" if self._mariadb else "MySQL"
        wanted = " or ".join(self._names(kind))
        return f"{wanted} of {product} is not installed, and those of the other product don't fit: install {product}'s"

    def _reads_routines(self, found: Held) -> bool:
        if found.has("SHOW_ROUTINE", "SHOW CREATE ROUTINE", "SELECT"):
            return True
        try:
            self._session.rows("SELECT 1 FROM mysql.proc LIMIT 0")
        except OperationError:  # at MySQL there is no such table
            return False
        return True

    def _grant(self, what: str) -> str:
        return f"GRANT {what} TO {account(*self._session.greeting.account)};"

    def close(self, user: str, database: str) -> None:
        """Nothing: the user's grant is the proof of whose the database is, so it has to stay until the drop.

        Users who leave have been locked; one who stays may write until the database is dropped.
        """

    def losses(self, database: str) -> Iterator[str]:
        """Tell what can't be read any more, what has a history that no program writes, and what others have defined.

        In a session of its own: what a user has made may keep it waiting for as long as he likes.
        """
        try:
            with self._looking() as session:
                yield from list(self._losses(session, database))
        except ConnectError as error:
            raise OperationError(str(error)) from None

    @contextmanager
    def _looking(self) -> Iterator[Session]:
        impatient = self.connection._replace(timeout=min(self.connection.timeout, _LOOKING))
        with closing(Session(impatient)) as session, breakable(self.connection, session.abort):
            yield session

    def _losses(self, session: Session, database: str) -> Iterator[str]:
        powerful = contents.powerful(session) if self._mariadb else None
        state = contents.look(session, database, views=powerful is None)
        if powerful and state.views:
            yield (
                f"views that can't be read any more: dbroster opens none here, since the function {powerful} would run "
                "with its rights (SQL SECURITY INVOKER)"
            )
        for name, reason in state.broken.items():
            yield f"{name}, which can't be read: {reason}"
        unwritten = state.by_transactions if self._writes_history() else state.versioned
        for name in unwritten:
            yield f"the history of the system-versioned table {name}"
        yield from recomputed(session, state)
        for name, definer in state.foreign:
            yield f"{name} in a form that its user can make again, since {definer} has defined it"

    def dump(self, user: str, database: str, draft: Draft) -> None:
        """Run the product's dump program, and look for the line that it writes when all is done."""
        written = scripts(self._session, database)
        with self._reader(user) as (session, connection):
            state = contents.look(session, database)
            draft.counts.update(_counts(self._session, database, state.broken))
            draft.settings.update(database=contents.character_set(session, database), broken=state.definitions)
            dated = [name for name in state.versioned if name not in state.by_transactions]
            special = contents.special(session, database, dated if self._writes_history() else ())
            done = self._dump_few(draft, connection, state, special, written.skipped)
            self._dump_rest(draft, connection, state, done, written)
            _refuse_without_rows(draft, state)
        _append(draft, written.behind)
        self._note_longest(draft)

    def _dump_few(
        self, draft: Draft, connection: Connection, state: Contents, special: Special, skipped: Sequence[str]
    ) -> list[str]:
        """Dump what needs a way of its own, and return its names; first, since views need all of their tables.

        MariaDB's program refuses to write the history of a table whose versions are transactions, and tables may need
        sequences. Rows with texts that Unicode does not know are written as they are, numbers with all their digits.
        """
        few = [*skipped, *_ONLY_TABLES]
        history = self._history(state)
        without = [name for name in state.by_transactions if name not in state.broken]
        raw = [name for name in special.texts if name not in (*state.broken, *without)]
        whole = [name for name in special.exactly if name not in (*state.broken, *without, *raw)]

        def dump(names: Sequence[str], *options: str, exactly: Mapping[str, str] = special.exactly) -> None:
            """Tables with such numbers one by one, all others at once."""
            alike = [[name] for name in names if name in exactly]
            for group in filter(None, [[name for name in names if name not in exactly], *alike]):
                where = [f"--where={exactly[name]}" for name in group if name in exactly]
                # names behind `--`, since an owner may call a table as an option is called
                self._run_dump(draft, connection, [*few, *options, *where, "--", state.database, *group])

        dump(special.sequences)
        dump(without)
        dump(whole, *history)
        dump(raw, "--no-data", "--skip-triggers", exactly={})
        dump(raw, *history, "--no-create-info", "--default-character-set=binary")
        return [*special.sequences, *without, *whole, *raw]

    def _dump_rest(
        self, draft: Draft, connection: Connection, state: Contents, done: Collection[str], written: Scripts
    ) -> None:
        """Dump the other tables, then routines and events, then the views, which need both.

        Each by its name: what the programs are told to leave out takes along all names that differ only in case.
        MariaDB's program runs functions when it opens views, so it has no more rights than the user then. But only the
        admin sees what routines say.
        """
        whole = [name for name in state.tables if name not in state.broken]
        rest = [name for name in whole if name not in done]
        for start in range(0, len(rest), _AT_ONCE):
            few = [*_ONLY_TABLES, *written.skipped, *self._history(state)]
            self._run_dump(draft, connection, [*few, "--", state.database, *rest[start : start + _AT_ONCE]])
        nothing = [] if whole else _ignored(state.database, (*state.tables, *state.views))
        code = [*_ONLY_CODE, *written.skipped, *nothing, "--", state.database, *whole[:1]]
        self._run_dump(draft, self.connection, code)
        _append(draft, written.before)
        if readable := [name for name in state.views if name not in state.broken]:
            self._run_dump(draft, connection, [*_ONLY_TABLES, "--skip-triggers", "--", state.database, *readable])

    def _history(self, state: Contents) -> list[str]:
        return [_HISTORY] if state.versioned and self._writes_history() else []

    @contextmanager
    def _reader(self, user: str) -> Iterator[tuple[Session, Connection]]:
        """Who opens the user's tables and views: at MySQL, which runs nothing then, the admin."""
        if not self._mariadb:
            yield self._session, self.connection
            return
        with (
            reader(self._session, self.connection, self._patterns(user)) as connection,
            logged_in(connection, READER) as session,
        ):
            yield session, connection

    def _note_longest(self, draft: Draft) -> None:
        """Note what a server must take to bring it back. Raises OperationError for what no server takes."""
        draft.file.seek(0)
        longest = contents.longest_statement(draft.file)
        if longest >= contents.MAX_PACKET:
            raise OperationError(
                f"a row of it takes {longest} bytes in an archive, and no server would take back more than "
                f"{contents.MAX_PACKET}"
            )
        draft.settings.update(longest_statement=longest)

    def obstacle(self, needs: Mapping[str, Any]) -> str | None:
        """Compare the longest statement with what the server takes; a row is longer in it than in its table."""
        longest = needs.get("longest_statement")
        if not isinstance(longest, int) or longest < self._packet():
            return None
        needed = (longest // contents.BLOCK + 1) * contents.BLOCK
        return (
            f"the server takes no statement of {longest} bytes, the longest of the archive; to bring it back: "
            f"SET GLOBAL max_allowed_packet = {needed};"
        )

    def _packet(self) -> int:
        (row,) = self._session.rows("SELECT @@GLOBAL.max_allowed_packet AS packet")
        return int(row["packet"])

    def _limited(self) -> str | None:
        """Look for what everybody's sessions, those of the dump programs too, begin with, and would leave out rows."""
        (row,) = self._session.rows(_LIMITS)
        few, past = int(row["most"]) < _ANY_NUMBER, row["moment"] != "DEFAULT"
        for name, limited in (("sql_select_limit", few), ("system_versioning_asof", past)):
            if limited or name in row["first"].lower():
                where = f"SET GLOBAL {name} = DEFAULT;" if limited else f"take {name} out of init_connect"
                return f"the server leaves rows out of what everybody reads, so no archive would be whole: {where}"
        return None

    def _run_dump(self, draft: Draft, connection: Connection, arguments: Sequence[str]) -> None:
        more = () if self._mariadb else _ONLY_MYSQL
        password = connection.password.reveal() if connection.password else ""
        program = self._program("dump")
        begins = draft.file.seek(0, 2)
        if limited := self._limited():
            raise OperationError(limited)
        at_once = max(_LEAST_AT_ONCE, min(_MOST_AT_ONCE, self._packet() // 2))
        with programs.memory_file(_option_file(password)) as file:
            programs.run(
                [program, f"--defaults-file=/proc/self/fd/{file}", *self._login(connection.username), *_DUMP, *more,
                 f"--net-buffer-length={at_once}", *arguments],
                connection, environment=_ENVIRONMENT, secrets=[password], descriptors=[file], target=draft.file,
            )  # fmt: skip
        _refuse_cut(draft.file, f"{program} has ended")
        _allow_dates(draft.file, begins)

    def _writes_history(self) -> bool:
        if not self._mariadb:
            return False
        said = re.search(r"(\d+)\.(\d+)\.\d+-MariaDB", programs.version(self._program("dump")))
        (row,) = self._session.rows("SELECT VERSION() AS version")
        server = re.match(r"(\d+)\.(\d+)", row["version"])
        return all(found and (int(found[1]), int(found[2])) >= _KNOWS_HISTORY for found in (said, server))

    def is_empty(self, user: User, database: str) -> bool:
        """Look for tables, views, routines and events, as the user."""
        with self._as_user(user) as session:
            return not any(_counts(session, database).values())

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Let the client read the archive as the user, and count what is there then."""
        with archive.path.open("rb") as written:
            _refuse_cut(written, f"{archive.path} ends")
        password = user.password.reveal()
        with (
            programs.memory_file(_option_file(password)) as file,
            defined_by(archive, user.name, lambda: self._account(user)) as source,
        ):
            said = programs.run(
                [self._program("client"), f"--defaults-file=/proc/self/fd/{file}", *self._login(user.name), *_CLIENT,
                 _UNCHECKED if self._mariadb else _ANY_KEY, f"--database={database}"],
                self.connection, environment=_ENVIRONMENT, secrets=[password], descriptors=[file], source=source,
                forced=programs.ERROR,
            )  # fmt: skip
        with self._as_user(user) as session:
            contents.set_character_set(session, database, archive.manifest.settings.get("database"))
            found = _counts(session, database)
        lacking = [kind for kind, number in archive.manifest.counts.items() if found.get(kind, 0) < number]
        errors = [line for line in said.splitlines() if line.startswith("ERROR")]
        if lacking or errors:
            what = (
                f"not all {', '.join(lacking)} of the archive are in {database} now" if lacking else "not all is back"
            )
            raise OperationError(f"{what}: {'; '.join(errors)[:_SHOWN]}".rstrip(": "))

    def _account(self, user: User) -> str:
        """Say by which of their accounts users log in from here."""
        with self._as_user(user) as session:
            return str(session.rows("SELECT CURRENT_USER() AS account")[0]["account"])

    def _as_user(self, user: User) -> AbstractContextManager[Session]:
        return logged_in(self.connection._replace(username=user.name, password=user.password), user.name)

    def _login(self, user: str) -> list[str]:
        host, port = self.connection.host, self.connection.port
        tcp = ["--protocol=tcp", f"--host={host}", f"--port={port}"]
        where = [f"--socket={host}"] if host.startswith("/") else tcp
        return [*where, f"--user={user}", *self._tls()]

    def _tls(self) -> list[str]:
        """TLS in the words of the product; MariaDB's programs check the name of the host whenever they verify."""
        tls = self.connection.tls
        files = [f"--ssl-{key}={file}" for key, file in (("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)) if file]
        if not self._mariadb:
            return [f"--ssl-mode={_MODES[tls.mode]}", "--get-server-public-key", *files]
        if tls.mode == "disable":
            return ["--skip-ssl"]
        verify = tls.mode in ("verify-ca", "verify-full")
        wanted = ["--ssl"] if tls.mode else []
        return [*wanted, "--ssl-verify-server-cert" if verify else "--skip-ssl-verify-server-cert", *files]

    def _program(self, kind: str) -> str:
        program = self._find(kind)
        if program is None:
            raise OperationError(f"{' or '.join(self._names(kind))} is not installed")
        return program

    def _names(self, kind: str) -> Sequence[str]:
        names = {"dump": ("mariadb-dump", "mysqldump"), "client": ("mariadb", "mysql")}[kind]
        return names if self._mariadb else names[1:]

    def _find(self, kind: str) -> str | None:
        """Find a program of the server's own product: each dumps what the other can't read back."""
        found = (programs.find(name) for name in self._names(kind))
        return next((path for path in found if path and ("MariaDB" in programs.version(path)) is self._mariadb), None)


def _refuse_cut(file: IO[bytes], what: str) -> None:
    """Look for the line that a dump program writes when all is done. Raises OperationError."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - 200))
    if _CLOSING_LINE not in file.read():
        raise OperationError(f"{what} without its closing line, so the archive is not whole")


def _refuse_without_rows(draft: Draft, state: Contents) -> None:
    for name in contents.without_rows(draft.file, state.filled):
        place = f"{identifier(state.database)}.{identifier(name)}"
        raise OperationError(
            f"the dump program does not write the rows of {name}, whose engine is {state.filled[name]}, so the archive "
            f"is not whole; drop it, or give it another engine: ALTER TABLE {place} ENGINE = InnoDB;"
        )


def _allow_dates(file: IO[bytes], begins: int) -> None:
    """Let a dump bring back dates that no calendar has, as the server has taken them; its length stays."""
    file.seek(begins)
    head = file.read(_HEAD)
    changed = head.replace(_MODE, _MODE + _DATES_TOO, 1).replace(_RULE, _RULE[len(_DATES_TOO) :], 1)
    if len(changed) == len(head):
        file.seek(begins)
        file.write(changed)


def _append(draft: Draft, script: bytes) -> None:
    """Write statements as a part of a dump that is whole."""
    if script:
        draft.file.seek(0, 2)
        draft.file.write(script + _CLOSING_LINE + b"\n")


def _ignored(database: str, names: Collection[str]) -> list[str]:
    return [f"--ignore-table={database}.{name}" for name in names]


_ENVIRONMENT = {"MYSQL_TEST_LOGIN_FILE": "/dev/null", "MYSQL_PWD": ""}
"""No option file, login path or password but ours."""


def _option_file(password: str) -> str:
    """Source: MySQL Reference Manual, "Using Option Files"."""
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    return f'[client]\npassword="{escaped}"\n'


def _counts(session: Session, database: str, but: Collection[str] = ()) -> dict[str, int]:
    left_out = tuple(but) or ("",)
    rows = session.rows(_COUNTS, database, left_out, database, database, left_out, database)
    return {row["kind"]: int(row["number"]) for row in rows}
