"""connections.yaml: from YAML to one frozen Connection per server, collecting every problem with its line.

Only the section of the engine that runs is judged; the others may be missing or broken.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dbroster.config.hosts import host_of, one_host
from dbroster.config.server_keys import (
    COMMON_PARTS,
    MOST_SERVERS,
    HandoutKeys,
    PolicyKeys,
    RemovalKeys,
    ServerKeys,
    TlsKeys,
    TopKeys,
)
from dbroster.config.yaml_lines import Document
from dbroster.engines import ENGINES, OTHER_NAMES, options_of
from dbroster.errors import ConfigError
from dbroster.files.lines import ends_whole, without_end
from dbroster.files.permissions import (
    closed_directory_problem,
    mode_problem,
    open_problem,
    owner_problem,
    writers_problem,
)
from dbroster.files.read import MAX_SETTINGS, FileContent, Files, read_file
from dbroster.model.connection import Connection, Handout, Removals, Tls
from dbroster.model.names import did_you_mean
from dbroster.model.problems import Problem
from dbroster.passwords.policy import PasswordRules
from dbroster.passwords.secret import Secret
from dbroster.settings.keys import Part
from dbroster.settings.section import ConfigSection, sendable

CONNECTIONS_FILE = "connections.yaml"
USERS_COMMAND = TopKeys.users_command.name
NOTIFY_COMMAND = TopKeys.notify_command.name
_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
_WRONG_TAGS = (ValueError, LookupError, AttributeError, TypeError)  # what PyYAML lets out for `!!bool maybe`


def _content(files: Files) -> FileContent:
    return files.read(CONNECTIONS_FILE, MAX_SETTINGS)


def read_connections(
    files: Files, engine: str, server: str | None = None, *, passwords: bool = True
) -> list[Connection]:
    """Read the servers of one engine, or the one that is named; `passwords`: those of the admins, too.

    Raises ConfigError with everything that is wrong in the engine's section (of a named server: in that server's part
    of it), or with the file as a whole.
    """
    found, problems = find_connections(files, engine, server, passwords=passwords)
    if problems:
        raise ConfigError(problems)
    return found


def find_connections(
    files: Files, engine: str, server: str | None = None, *, passwords: bool = True
) -> tuple[list[Connection], list[Problem]]:
    """Read what can be read of an engine's servers, to judge a roster by their rules, and everything that is wrong.

    Without `passwords` it is enough that it is told where those of the admins are.
    """
    directory, content = files.directory, _content(files)
    path = directory / CONNECTIONS_FILE
    if content.problem:
        return [], [content.problem]
    document, lines, problems = _load(content.data, engine)
    if not document and problems:
        return [], problems
    unsafe = mode_problem(path, content.mode) if _holds_password(document) else open_problem(path, content.mode)
    problems += filter(None, (unsafe, owner_problem(path, content.owner)))
    section = ConfigSection(document, lines, problems, CONNECTIONS_FILE)
    roster = TopKeys.roster.read(section)
    TopKeys.notify_command.read(section)  # who runs it reads it again: what is wrong with it is told before
    common = _Common(
        roster,
        _removal_keys(section.part("removals"), files),
        _set_keys(section.part("password_policy"), PolicyKeys),
        _tls_keys(section.part("tls"), directory),
        frozenset(TopKeys.protected.read(section)),
        _archived(document),
        passwords,
    )
    parts = _servers(section, engine)
    if server is not None:
        _check_known(server, [_name(part) for part in parts], engine, problems)
        parts = [part for part in parts if _name(part) == server]
    found = [_connection(part, engine, common, files) for part in parts]
    for other in (*ENGINES, USERS_COMMAND):  # users_command() judges that one
        section.value(other)
    for key in filter(OTHER_NAMES.__contains__, section.data):
        section.value(key)
        section.problem(key, f"no such section: its servers belong under {OTHER_NAMES[key]!r}; rename it")
    section.finish()
    return found, problems


def users_command(files: Files) -> tuple[str, ...]:
    """Return the program, with its arguments, whose output is the roster. Raises ConfigError when it can't be used."""
    return program(files, USERS_COMMAND)


def program(files: Files, key: str) -> tuple[str, ...]:
    """Return a program, with its arguments, that a key beside the sections names; nothing when there is none.

    Raises ConfigError when it can't be used. A connections.yaml that can't be read at all is told by who needs it.
    """
    content = _content(files)
    document, lines, _ = _load(content.data, "")
    if content.problem or document.get(key) is None:
        return ()
    problems: list[Problem] = []
    section = ConfigSection(document, lines, problems, CONNECTIONS_FILE)
    command: tuple[str, ...] = TopKeys.keys[key].read(section)
    if not command and not problems:
        section.problem(key, "must not be empty")
    path = files.directory / CONNECTIONS_FILE
    unsafe = writers_problem(path, content.mode, "names a program to run") or owner_problem(path, content.owner)
    if problems or unsafe:
        raise ConfigError([*problems, *([unsafe] if unsafe else ())])
    return command


def read_document(files: Files) -> dict[str, Any]:
    """Return what stands in the file, as YAML gave it; nothing where it can't be read."""
    return _load(_content(files).data, "")[0]


def cut_short(files: Files) -> Problem | None:
    """Say that connections.yaml may have been cut: what protects databases or archives them could be in the rest."""
    if ends_whole(_content(files).data):
        return None
    return Problem(
        f"{without_end(CONNECTIONS_FILE, files.directory)}; nothing is removed in this run", CONNECTIONS_FILE
    )


def has_section(files: Files, engine: str) -> bool:
    """Whether connections.yaml has a section for the engine, sound or not."""
    content = _content(files)
    if content.problem:
        return False
    document = _load(content.data, engine)[0]
    return engine in document or any(OTHER_NAMES.get(key) == engine for key in document)


def has_no_server(files: Files) -> bool:
    """Whether connections.yaml can be read, and has only what stands beside sections."""
    content = _content(files)
    document, _, problems = _load(content.data, "")
    return not content.problem and not problems and document.keys() <= {*TopKeys.keys, *COMMON_PARTS}


def server_names(files: Files, engine: str) -> Sequence[str | None]:
    """Return the names of an engine's servers, each of which can be read by itself, whatever is wrong with another.

    One None where that can't be told: then only reading the section as a whole says what is there, or wrong.
    """
    content = _content(files)
    if content.problem:
        return [None]
    document, lines, problems = _load(content.data, engine)
    parts = _servers(ConfigSection(document, lines, problems, CONNECTIONS_FILE), engine)
    names = [_name(part) for part in parts]
    return [None] if problems or len(parts) < 2 else names


def transport_warning(connection: Connection) -> Problem | None:
    """Warn when the way to the server leaves this machine without TLS that is asked for."""
    encrypted = connection.tls.mode not in (None, "disable") or connection.options.brings_tls
    if connection.loopback or encrypted:
        return None
    return Problem(
        f"{connection.engine} {connection.server}: {connection.host} is not this machine and no TLS is asked for, so "
        "the admin's password and the roster's verifiers may be read on the way; set tls: {ca: FILE}",
        CONNECTIONS_FILE,
        warning=True,
    )


def archive_warning(connection: Connection) -> Problem | None:
    """Warn when databases of this server are dropped without an archive, and those of another server are not."""
    if not connection.others_archive:
        return None
    others = ", ".join(connection.others_archive)
    return Problem(
        f"{connection.engine} {connection.server}: databases are dropped without an archive, unlike those of {others}; "
        "set removals: {archive_dir: DIR} at the top level for all servers, or {archive_dir: false} here",
        CONNECTIONS_FILE,
        warning=True,
    )


def _archived(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the servers, of all engines, that have an archive_dir of their own, whatever else is wrong with them."""
    found = []
    for engine in ENGINES:
        value = document.get(engine)
        for server in value if isinstance(value, list) else [value]:
            keys = server if isinstance(server, dict) else {}
            removals = keys.get("removals")
            if isinstance(removals, dict) and removals.get("archive_dir"):
                found.append(f"{engine} {keys.get('name', '')}".rstrip())
    return tuple(found)


def _check_known(server: str, names: list[str], engine: str, problems: list[Problem]) -> None:
    if server not in names and not problems:
        problems.append(Problem(f"{engine} has no server {server!r}{did_you_mean(server, names)}", CONNECTIONS_FILE))


def _load(data: bytes, engine: str) -> tuple[dict[str, Any], dict[tuple[str | int, ...], int], list[Problem]]:
    """Parse YAML safely; a document that can't be parsed is one problem, with its line and without its text.

    Keys that stand twice are problems too, except inside the sections of other engines.
    """
    try:
        document = _parsed(data)
    except UnicodeDecodeError:
        return {}, {}, [Problem("not UTF-8", CONNECTIONS_FILE)]
    except (yaml.YAMLError, *_WRONG_TAGS, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or type(error).__name__
        text = f"not valid YAML: {re.sub(_QUOTED, '...', reason)}"  # what stands in quotes comes from the file
        return {}, {}, [Problem(text, CONNECTIONS_FILE, mark.line + 1 if mark else None)]
    if not isinstance(document.value, dict):
        return {}, {}, [Problem("expected one section per engine (mysql:, postgresql:, ...)", CONNECTIONS_FILE)]
    ours = [(path, line) for path, line in document.repeated if len(path) == 1 or path[0] == engine]
    problems = [Problem(f"{path[-1]!r} stands twice", CONNECTIONS_FILE, line) for path, line in ours]
    return {str(key): value for key, value in document.value.items()}, document.lines, problems


@lru_cache(maxsize=1)
def _parsed(data: bytes) -> Document:
    """Parse the file once for all servers of a run; nobody changes what is in it."""
    return Document(data.decode("utf-8"))


def _holds_password(document: Any) -> bool:
    """Whether a password stands anywhere in the file, in sections of other engines too."""
    parts, seen = [document], set()
    while parts:
        part = parts.pop()
        if id(part) in seen:  # an alias may point at its own parent
            continue
        seen.add(id(part))
        if isinstance(part, dict):
            own = part.get("password")
            if own is not None and not _is_reference(own):
                return True
            parts += part.values()
        elif isinstance(part, list):
            parts += part
    return False


def _is_reference(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\$\{\w+\}", value) is not None


def _servers(section: ConfigSection, engine: str) -> list[ConfigSection]:
    """Return the engine's section as a list: it may be one server, or a list of named ones."""
    value = section.value(engine)
    if value is None:
        if any(OTHER_NAMES.get(key) == engine for key in section.data):
            return []  # find_connections() says how it must be called
        known = [key for key in section.data if key not in (*TopKeys.keys, *COMMON_PARTS)]
        section.problem(None, f"no section {engine!r}{did_you_mean(engine, known)}")
        return []
    if value == []:
        section.problem(engine, "expected a server, or a list of them")
    if isinstance(value, list) and len(value) > MOST_SERVERS:
        section.problem(engine, f"{len(value)} servers, more than the {MOST_SERVERS} that one run can serve")
        return []
    if isinstance(value, list):
        parts = [section.part(engine, index) for index in range(len(value))]
        names = [None if part.data.get("name") is None else _name(part) for part in parts]
        for part, name in zip(parts, names, strict=True):
            if name is None or names.count(name) > 1:
                part.problem(None, "each server of a list needs a `name` of its own")
        return parts
    return [section.part(engine)]


def _name(part: ConfigSection) -> str:
    return ServerKeys.name.read(ConfigSection(part.data, {}, [], CONNECTIONS_FILE))


class _Common(NamedTuple):
    """What stands beside the sections: the roster's name, and keys of all servers; and which servers archive.

    `passwords` says whether those of the admins are read.
    """

    roster: str
    removals: Mapping[str, Any]
    rules: Mapping[str, Any]
    tls: Mapping[str, str]
    protected: frozenset[str]
    archived: tuple[str, ...]
    passwords: bool


def _connection(section: ConfigSection, engine: str, common: _Common, files: Files) -> Connection:
    directory, kind = files.directory, options_of(engine)
    options = kind(**{name: key.read(section) for name, key in kind.keys.items()})
    host = host_of(section, options)
    tls = _tls(section.part("tls"), directory, {} if host.startswith("/") else common.tls)
    removals = {**common.removals, **_removal_keys(section.part("removals"), files)}
    needed = tls.cert is None and not host.startswith("/")
    password = _password(section, directory, needed=needed, read=common.passwords)
    connection = Connection(
        engine=engine,
        server=ServerKeys.name.read(section),
        host=host,
        port=ServerKeys.port.read(section) or kind.default_port,
        username=ServerKeys.username.read(section),
        password=password,
        tls=tls,
        connect_timeout=ServerKeys.connect_timeout.read(section),
        timeout=ServerKeys.timeout.read(section),
        jobs=ServerKeys.jobs.read(section) or None,
        rules=PasswordRules(**{**common.rules, **_set_keys(section.part("password_policy"), PolicyKeys)}),
        protected=common.protected.union(ServerKeys.protected.read(section)),
        removals=_removals(removals),
        others_archive=() if "archive_dir" in removals else common.archived,
        roster=common.roster,
        handout=_handout(section.part("handout")),
        options=options,
    )
    section.finish()
    return connection


def _password(section: ConfigSection, directory: Path, *, needed: bool, read: bool) -> Secret | None:
    """Take the admin's password from the one place that is named: the value, a file, or the environment.

    An empty one stands for a password that was not to be read.
    """
    given = [key for key in ("password", "password_file", "password_env") if section.value(key) is not None]
    if len(given) > 1:
        section.problem(given[1], f"only one of {' and '.join(given)} may be set")
    if not given:
        if needed:
            section.problem(None, "one of password, password_file and password_env must be set")
        return None
    if not read:
        return Secret("")
    text = section.text(given[0])
    if given[0] == "password_env":
        text = _from_environment(section, text)
    elif given[0] == "password_file":
        text = _from_file(section, directory / text)
    if not text:
        section.problem(given[0], "the admin's password is empty")
    if not sendable(text):
        section.problem(given[0], "the admin's password contains a character that can't be sent")
        return None
    return Secret(text)


def _from_environment(section: ConfigSection, variable: str) -> str:
    if variable not in os.environ:
        section.problem("password_env", f"the environment variable {variable} is not set")
    return os.environ.get(variable, "?")


def _from_file(section: ConfigSection, path: Path) -> str:
    content = read_file(path)
    problem = content.problem or mode_problem(path, content.mode) or owner_problem(path, content.owner)
    if problem:
        section.problem("password_file", problem.text)
        return "?"
    try:
        return content.data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        section.problem("password_file", f"{path} is not UTF-8")
        return "?"


def _tls(section: ConfigSection, directory: Path, common: Mapping[str, str]) -> Tls:
    """Return how to protect the connection: what all servers have in common, and above it what this one says."""
    own = _tls_keys(section, directory)
    if own.get("mode") == "disable":
        common = {}
    if not (own or common):
        return Tls()
    keys = {**common, **{key: value for key, value in own.items() if value}}
    return Tls(**{**keys, "mode": keys.get("mode") or TlsKeys.mode.default})


def _tls_keys(section: ConfigSection, directory: Path) -> dict[str, str]:
    """Read the keys that are set, and an empty mode where none is: TLS is mentioned, and verified in full then."""
    if not section.data:
        return {}
    keys = {"mode": TlsKeys.mode.read(section) if section.value("mode") is not None else ""}
    for key in (TlsKeys.ca, TlsKeys.cert, TlsKeys.key):
        name = key.read(section)
        if name and not (directory / name).is_file():
            section.problem(key.name, f"{directory / name} does not exist")
        if name:
            keys[key.name] = str(directory / name)
    section.finish()
    return keys


def _handout(section: ConfigSection) -> Handout:
    """Read how users reach the server."""
    if isinstance(section.value("host"), str):
        one_host(section)
    return Handout(**_set_keys(section, HandoutKeys))


def _set_keys(section: ConfigSection, part: type[Part]) -> dict[str, Any]:
    """Read those keys of a part that are set, so that they stand above what all servers have in common."""
    for name in sorted(part.keys & section.data.keys()):
        if section.value(name) in (None, ""):  # `~` is one, too, and no home directory
            section.problem(name, "has no value: set one, or leave the key out")
    found = {name: key.read(section) for name, key in part.keys.items() if section.value(name) is not None}
    section.finish()
    return found


def _removals(keys: dict[str, Any]) -> Removals:
    """Add defaults to the keys that are set: a day may see as much as one run, whatever is the default for a day."""
    most = keys.get("max", Removals().max)
    keys.setdefault("max_per_day", None if most is None else max(most, Removals().max_per_day or 0))
    percent = keys.get("max_percent", Removals().max_percent)
    keys.setdefault("max_percent_per_day", max(percent, Removals().max_percent_per_day))
    return Removals(**keys, unarchived=keys.get("archive_dir", ...) is None)


def _removal_keys(section: ConfigSection, files: Files) -> dict[str, Any]:
    """Return the guard's keys that are set."""
    found = _set_keys(section, RemovalKeys)
    if (key := RemovalKeys.archive_dir.name) in found:
        found[key] = _archive_directory(section, key, files)
    return found


def _archive_directory(section: ConfigSection, key: str, files: Files) -> Path | None:
    """Return where archives go; `false` is for a server that wants none although all have it in common."""
    if section.value(key) is False:
        return None
    name = section.text(key)
    if not name:
        if isinstance(section.value(key), str) and section.value(key):
            section.problem(key, "has become an empty text: write false where nothing shall be archived")
        return None
    path = (files.directory / name).absolute()
    problem = None if files.checkout else closed_directory_problem(path)
    if problem:
        section.problem(key, problem)
    return path
