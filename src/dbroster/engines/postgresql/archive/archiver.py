"""Archives of PostgreSQL databases: pg_dump's custom format, written as the owner would see it, restored by the owner.

pg_dump takes the owner's role (`--role`), so that nothing of the owner's is ever run with the admin's power. While
that goes on, the database is open to the admin alone. What no dump holds, settings of the database, stands in the
manifest.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, LiteralString

import psycopg
from psycopg import sql

from dbroster.archive import Archive, Draft
from dbroster.engines import programs
from dbroster.engines.archiver import Archiver
from dbroster.engines.postgresql import client_programs, statements
from dbroster.engines.postgresql.access.markers import Claim
from dbroster.engines.postgresql.archive.contents import (
    ANYTHING,
    COMPUTED,
    CONTENTS,
    EXTENSIONS,
    FORCED,
    FOREIGN,
    HIDDEN,
    KIND,
    SETTINGS,
    extension_of,
)
from dbroster.engines.postgresql.archive.restore import WENT_ON, Returning, summary
from dbroster.engines.postgresql.client_programs import Programs
from dbroster.engines.postgresql.connection import Patient
from dbroster.engines.postgresql.options import PostgreSQLOptions
from dbroster.engines.postgresql.removal.eviction import end_sessions_in
from dbroster.engines.postgresql.session import Session, login_parameters, quoted, stated, translated
from dbroster.errors import ConnectError, OperationError, Stalled
from dbroster.model.connection import Connection
from dbroster.model.roster import User

Raw = psycopg.Connection[tuple[Any, ...]]

_OWNERS = ("user", "backend")
"""Kinds of settings that an owner may make; those that no module declares only a superuser may."""

LOCK_WAIT = "60s"

_RESTORE = ("--no-owner", "--no-privileges", "--no-tablespaces", "--no-password", "--verbose")

# roles that may enter besides superusers; the admin keeps its own way in, if it has one
_GRANTEES = """
    SELECT DISTINCT coalesce(r.rolname, '') FROM pg_database d
    CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) x
    LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE d.datname = %s AND (x.grantee = 0 OR r.rolname <> current_user)"""


class PostgreSQLArchiver(Archiver):
    """Archives by pg_dump, restores by pg_restore."""

    extension: ClassVar[str] = "dump"
    method: ClassVar[str] = "pg_dump --format=custom"

    def __init__(self, connection: Connection, session: Session) -> None:
        super().__init__(connection)
        self._session = session

    def missing(self) -> list[str]:
        """Programs must be there whose archives can be restored to this server."""
        found = client_programs.find_programs(self._major)
        return [found] if isinstance(found, str) else []

    def losses(self, database: str) -> Iterator[str]:
        """Look into a database for what only a superuser could bring back, or what comes back otherwise."""
        for name, context, *_ in self._session.rows(SETTINGS, {"database": database, "user": None}):
            if context not in _OWNERS:
                why = "has more than 10,000 characters" if context == "long" else "only a superuser may make"
                yield f"the setting {name.partition('=')[0]} of the database, which {why}"
        yield from self._kind(database)
        try:
            with self._enter(database) as raw:
                for kind, name in raw.execute(CONTENTS).fetchall():
                    yield f"{kind} {name}, which only a superuser can make again"
                for column, function in raw.execute(COMPUTED).fetchall():
                    yield f"the values of {column}, which a restore computes anew by {function}"
        except (ConnectError, OperationError):
            return  # shut by its owner: nobody sees into it now, and the archive opens it for the admin

    def _kind(self, database: str) -> Iterator[str]:
        """Say which encoding and locale an adopted database has that a restore would not choose."""
        options = PostgreSQLOptions.of(self.connection)
        chosen = {"encoding": options.encoding, "locale": options.locale}
        for encoding, locale, *same, provider in self._session.rows(KIND, {"database": database, **chosen}):
            if provider:
                yield f"its locale provider ({provider}), by which it sorts; a restore makes it with that of template0"
            for key, value, usual in zip(chosen, (encoding, locale), same, strict=True):
                if not usual:
                    yield f"its {key} {value}: set `{key}: {value}` in connections.yaml while you restore it"

    def close(self, user: str, database: str) -> None:
        """Leave the database open to nobody but the admin, in one transaction, and end the sessions in it.

        The marker is set again, and the ways in that its owner may have shut are opened for the admin.
        """
        grantees = [grantee for (grantee,) in self._session.rows(_GRANTEES, [database])]
        self._session.run(
            [
                *([statements.close_database(database, grantees)] if grantees else []),
                statements.comment_database(Claim(self.connection.roster, user, database)),
                *statements.let_admin_in(database, superuser=self._session.superuser),
            ]
        )
        end_sessions_in(self._session, database)

    def dump(self, user: str, database: str, draft: Draft) -> None:
        """Run pg_dump as the owner, then let pg_restore read all of it."""
        draft.settings["database"] = self._settings(user, database)
        with self._unforced(user, database, draft):
            try:
                self._pg_dump(user, database, draft)
            except OperationError as error:
                raise OperationError(f"{error}{self._cure(user, database)}", error.code) from None
        reader = self._programs().pg_restore
        with draft.path.open("rb") as written:
            programs.run([reader, "--file=/dev/null"], self.connection, environment={}, source=written)
        draft.counts["entries"] = len(self._entries(draft))

    def _pg_dump(self, user: str, database: str, draft: Draft) -> None:
        password = self.connection.password.reveal() if self.connection.password else ""
        options = ["--format=custom", "--no-password", f"--role={user}", f"--lock-wait-timeout={LOCK_WAIT}"]
        options += ["--file=/proc/self/fd/1"]  # to its standard output it only appends, from 17 on
        with programs.memory_file(client_programs.password_file(password)) as file:
            programs.run(
                [self._programs().pg_dump, *options],
                self.connection,
                environment=self._environment(self.connection.username, database, file, self._outranking(database)),
                secrets=[password],
                descriptors=[file] if password else [],
                target=draft.file,
            )

    def _cure(self, user: str, database: str) -> str:
        """Say what of others' keeps an archive from being whole, with the statements that mend it."""
        try:
            with self._enter(database) as raw:
                found = raw.execute(FOREIGN, {"user": user}).fetchall()
        except (ConnectError, OperationError):
            return ""
        owner = quoted(user)
        return "".join(
            f"; {what} belongs to {role}: connect to {database} and run ALTER {what} OWNER TO {owner}; or {drop}"
            for what, role, drop in found
        )

    def _settings(self, user: str, database: str) -> list[list[str]]:
        """Settings that the owner has made for the database, or for sessions of its own in there."""
        rows = self._session.rows(SETTINGS, {"database": database, "user": user})
        return [[whose, *text.split("=", 1)] for text, context, whose in rows if context in _OWNERS]

    @contextmanager
    def _unforced(self, user: str, database: str, draft: Draft) -> Iterator[None]:
        """Lift FORCE ROW LEVEL SECURITY while pg_dump reads: it would hide rows from the owner, too.

        Its owner has set it, and the manifest says where, so that a restore sets it again. What else he has put out of
        the reach of a dump he gets back.
        """
        with self._enter(database) as raw:
            raw.execute(stated("SET ROLE {}", user))
            for (statement,) in raw.execute(HIDDEN).fetchall():
                raw.execute(statement.encode())
            tables = [[schema, name] for schema, name in raw.execute(FORCED).fetchall()]
            draft.settings["force_row_security"] = tables
            for table in tables:
                raw.execute(_forcing(table, "NO FORCE"))
        try:
            yield
        finally:
            if tables:
                with self._enter(database) as raw:
                    raw.execute(stated("SET ROLE {}", user))
                    for table in tables:
                        raw.execute(_forcing(table, "FORCE"))

    def is_empty(self, user: User, database: str) -> bool:
        """Look for anything that no extension has brought."""
        with self._enter(database, user) as raw:
            ((anything,),) = raw.execute(ANYTHING).fetchall()
            return not anything

    def restore(self, archive: Archive, user: User, database: str) -> None:
        """Run pg_restore as the user, who gets all that he can make; everything becomes his own.

        Raises OperationError with the names of all that did not come back.
        """
        wanted = self._wanted(archive, user, database)
        settings = archive.manifest.settings.get("database", [])
        path = next((value for _, name, value in reversed(settings) if name == "search_path"), None)

        def run(options: Sequence[str], entries: Sequence[str]) -> str:
            return self._pg_restore(archive, user, database, options, entries)

        missing = Returning(run, lambda: self._enter(database, user), wanted, path).bring_back()
        missing += self._set_again(archive, user, database)
        if missing:
            raise OperationError(summary(missing, database, str(archive.path)))

    def _pg_restore(self, archive: Archive, user: User, database: str, options: Sequence[str],
        entries: Sequence[str]) -> str:  # fmt: skip
        """Let pg_restore bring back these entries, and go on after an error."""
        password = user.password.reveal()
        with (
            programs.memory_file(client_programs.password_file(password)) as file,
            programs.memory_file("\n".join(entries) + "\n") as listed,
            archive.path.open("rb") as source,  # how far it is read is the progress of the restore
        ):
            return programs.run(
                [self._programs().pg_restore, *_RESTORE, *options, f"--use-list=/proc/self/fd/{listed}",
                 f"--dbname={database}"],
                self.connection,
                environment=self._environment(user.name, database, file),
                secrets=[password],
                descriptors=[file, listed],
                source=source,
                forced=WENT_ON,
            )  # fmt: skip

    def _wanted(self, archive: Archive, user: User, database: str) -> list[str]:
        """Leave out what is there already: extensions, which must not be made or described again.

        Raises OperationError for an extension that only a superuser can create, before anything is done.
        """
        entries = self._entries(archive)
        with self._enter(database, user) as raw:
            extensions: dict[str, tuple[bool, bool]] = {
                name: (there, may) for name, there, may in raw.execute(EXTENSIONS).fetchall()
            }
        for name in filter(None, map(extension_of, entries)):
            if not any(extensions.get(name, (False, False))):
                raise OperationError(
                    f"the extension {name} has to be there first, and only a superuser can create it: connect to "
                    f'{database}, run CREATE EXTENSION "{name}"; and restore again'
                )
        there = [name for name, (exists, _) in extensions.items() if exists]
        return [entry for entry in entries if extension_of(entry, comments=True) not in there]

    def _entries(self, archive: Archive | Draft) -> list[str]:
        """What is in an archive, one line each; pg_restore of the server's major must be able to read it."""
        said = programs.run([self._programs().pg_restore, "--list", str(archive.path)], self.connection, environment={})
        # by line feeds alone: pg_restore takes those out of names, and an owner may put other ends of lines into them
        return [line for line in said.split("\n") if line and not line.startswith(";")]

    def _set_again(self, archive: Archive, user: User, database: str) -> Iterator[str]:
        """Give back what the dump does not hold: FORCE ROW LEVEL SECURITY, and settings; say what could not be set."""
        settings = archive.manifest.settings
        again = [_forcing(table, "FORCE") for table in settings.get("force_row_security", [])]
        for whose, name, value in settings.get("database", []):
            again += [_setting(whose, user.name, database, name, value)]
        with self._enter(database, user) as raw:
            for statement in again:
                try:
                    with translated(raw):
                        raw.execute(statement)
                except OperationError as error:
                    yield f"{statement.as_string(raw)}: {error}"

    @property
    def _major(self) -> int:
        return self._session.version // 10000

    def _programs(self) -> Programs:
        found = client_programs.find_programs(self._major)
        if isinstance(found, str):
            raise OperationError(found)
        return found

    def _environment(self, user: str, database: str, file: int, settings: str = "") -> dict[str, str]:
        parameters = {"host": self.connection.host, **login_parameters(self.connection)}
        settings = settings or client_programs.options(self._session.version)
        return client_programs.environment(parameters, user, database, file, settings)

    def _outranking(self, database: str) -> str:
        """Settings of a session of the admin's that its owner has not chosen: those that it has elsewhere, too."""
        rows = self._session.rows(SETTINGS, {"database": database, "user": None})
        names = [text.partition("=")[0].lower() for text, context, _ in rows if context in _OWNERS]
        usual = self._session.rows("SELECT name, setting FROM pg_settings WHERE lower(name) = ANY(%s)", [names])
        return client_programs.options(self._session.version, dict(usual))

    @contextmanager
    def _enter(self, database: str, user: User | None = None) -> Iterator[Raw]:
        """Log in to a database, as the admin or as a user. Raises OperationError when that fails."""
        name, secret = (user.name, user.password) if user else (self.connection.username, self.connection.password)
        password = secret.reveal() if secret else None
        parameters = {
            "host": self.connection.host,
            **login_parameters(self.connection),
            "dbname": database,
            "user": name,
            "password": password or "",
            "options": client_programs.options(self._session.version) if user else self._outranking(database),
        }
        try:
            with translated(None, [password] if password else [], self._session.raw.patience):
                raw = Patient.to(parameters, self._session.raw.patience)
        except Stalled:
            raise
        except ConnectError as error:
            raise OperationError(f"can't log in to {database} as {name}: {error}") from None
        with raw, translated(raw):
            yield raw


def _forcing(table: Sequence[str], how: LiteralString) -> sql.Composed:
    return stated("ALTER TABLE {} {} ROW LEVEL SECURITY", sql.Identifier(*table), sql.SQL(how))


def _setting(whose: str, user: str, database: str, name: str, value: str) -> sql.Composed:
    """Set what `name=value` of pg_db_role_setting says; a list is kept as one text there."""
    values = [value]
    if name.lower() in _LISTS:
        values = [inner.replace('""', '"') or bare for inner, bare in _ELEMENT.findall(value)] or [""]
    target = stated("ROLE {} IN DATABASE {}", user, database) if whose else stated("DATABASE {}", database)
    listed = sql.SQL(", ").join(map(sql.Literal, values))
    return stated("ALTER {} SET {} TO {}", target, sql.Identifier(*name.split(".")), listed)


_LISTS = frozenset({"search_path", "temp_tablespaces", "local_preload_libraries"})
_ELEMENT = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
