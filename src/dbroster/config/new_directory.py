"""A new config directory: what its files say at first. Nothing that is there is overwritten."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dbroster.config.connections import CONNECTIONS_FILE
from dbroster.engines import ENGINES, options_of
from dbroster.errors import ConfigError
from dbroster.files.permissions import place_problem
from dbroster.files.write import create_file, failing
from dbroster.model.problems import Problem
from dbroster.model.roster import AGE_FILE, USERS_FILE
from dbroster.passwords.generated import generated

_USERS = """\
# One person per line: username:password
# The password is all that follows the first colon. Remove a line and run a sync: the account and its databases go.
"""

_TEMPLATES = """\
# Everybody gets one {product} database per line: USERNAME_LINE. With the line below bob gets bob_web.
web
"""

IGNORED = f"""\
# secret
{USERS_FILE}
*.password
# written by dbroster
audit.jsonl*
.*.lock
.*.cache
archives/
"""
"""What git must not take of a config directory."""

_HEAD = """\
# The servers that dbroster keeps in step with users.txt. docs/configuration.md explains every key.
{hint}
roster: default # name of this roster, part of every marker: changing it later makes all accounts foreign
# removals: {{grace_days: 14, archive_dir: archives}} # lock removed accounts for 14 days, archive what is dropped
"""

_KEYS = """\
host: {host}
port: {port}
username: dbroster # the admin account that dbroster uses
password_file: {password_file} # a new password is in there; or password_env: NAME
# tls: {{ca: ca.pem}} # the authority of the server's certificate; needed for a server on another machine
"""


class FirstServer(NamedTuple):
    """A server that the directory is made for. `called`: the product, as it was typed; `name`: among several."""

    engine: str
    host: str = "127.0.0.1"
    port: int | None = None
    called: str = ""
    name: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where it is."""
        return self.host, self.port or options_of(self.engine).default_port

    @property
    def password_file(self) -> str:
        """Where the password of its admin is."""
        return f"{self.name or self.engine}.password"


def named(servers: Sequence[FirstServer]) -> list[FirstServer]:
    """Name the servers of an engine that has several: what they are called, with a number where that is the same.

    Raises ConfigError for two servers that are one.
    """
    engines, words, seen = [s.engine for s in servers], [s.called for s in servers], dict[object, str]()
    found = []
    for number, server in enumerate(servers):
        word = server.called
        if other := seen.get((server.engine, *server.address)):
            text = f"{other} and {word} would be one server, at {':'.join(map(str, server.address))}"
            raise ConfigError([Problem(f"{text}; give one another host or port: --engine {word}=HOST:PORT")])
        seen[server.engine, *server.address] = word
        name = f"{word}-{words[: number + 1].count(word)}" if words.count(word) > 1 else word
        found.append(server._replace(name=name) if engines.count(server.engine) > 1 else server)
    return found


def make_directory(directory: Path, servers: Sequence[FirstServer]) -> list[str]:
    """Make the directory and its files; without servers, a section for every product to choose from.

    Returns the names of the files that were made. Raises ConfigError, also when connections.yaml is there already: it
    is written last, so a directory that has none can be finished.
    """
    with failing(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if reason := _refusal(directory):
        raise ConfigError([Problem(reason)])
    made = [name for name, text in _files(servers) if _create(directory, name, text)]
    create_file(directory / CONNECTIONS_FILE, _connections(servers).encode())
    return [*made, CONNECTIONS_FILE]


def _refusal(directory: Path) -> str | None:
    if os.path.lexists(directory / CONNECTIONS_FILE):
        return f"{directory / CONNECTIONS_FILE} is there already; nothing was changed"
    return place_problem(directory)


def _create(directory: Path, name: str, text: str) -> bool:
    """Make a file, unless there is one; users.txt neither beside its encrypted form."""
    taken = (name, AGE_FILE) if name == USERS_FILE else (name,)
    if any(os.path.lexists(directory / other) for other in taken):
        return False
    create_file(directory / name, text.encode())
    return True


def _files(servers: Sequence[FirstServer]) -> Iterator[tuple[str, str]]:
    yield USERS_FILE, _USERS
    for engine in dict.fromkeys(server.engine for server in servers) or ENGINES:
        yield f"{engine}_databases.txt", _TEMPLATES.format(product=options_of(engine).product)
        for server in _of(engine, servers):
            yield server.password_file, f"{generated()}\n"
    yield ".gitignore", IGNORED


def _of(engine: str, servers: Sequence[FirstServer]) -> Sequence[FirstServer]:
    """Return the servers of an engine, or what stands for one."""
    return [server for server in servers if server.engine == engine] or [FirstServer(engine)]


def _connections(servers: Sequence[FirstServer]) -> str:
    """Write the sections: those that were asked for, or all of them as comments."""
    if servers:
        sections = [_section(engine, servers) for engine in dict.fromkeys(server.engine for server in servers)]
        return "\n".join([_HEAD.format(hint=""), *sections])
    hint = '# Remove the "# " before each line of the sections of servers that you have.\n'
    sections = [_section(engine, servers) for engine in ENGINES]
    texts = ["".join(f"# {line}" for line in text.splitlines(keepends=True)) for text in sections]
    return "\n".join([_HEAD.format(hint=hint), *texts])


def _section(engine: str, servers: Sequence[FirstServer]) -> str:
    return f"{engine}: # {options_of(engine).product}\n" + "".join(map(_server, _of(engine, servers)))


def _server(server: FirstServer) -> str:
    """Write a server: the whole section, or one of a list."""
    host, port = server.address
    values: Mapping[str, object] = {
        "host": json.dumps(host, ensure_ascii=False),
        "port": port,
        "password_file": server.password_file,
    }
    name = f"name: {server.name} # what reports and --server call it\n" if server.name else ""
    lines = f"{name}{_KEYS.format(**values)}".splitlines(keepends=True)
    return "".join(f"{'- ' if server.name and not number else '  '}{line}" for number, line in enumerate(lines))
