"""`dbroster handout`: a user logs in with every text of it, whatever characters the password has."""

import json
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import psycopg
import pymongo
import pymysql
import pytest

from servers import ClickHouse
from servers.process import free_port
from tests.contract.conftest import ADAPTERS
from tests.e2e.site import Run, Site
from tests.support import warm
from tests.support.typed import PATIENCE, in_terminal, own_client

SPECIAL = [
    "Zq7-'\"\\%:#@/$`ä",
    "a?b&c=d;e|f<g>h*i(j)K9",
    "[x]{y}~!^_+,. #7Z\\n",
    "%41\\:\\\\'';--Pw9",
    "\"Quoted7\"#'x'",
]
"""Every special character of ASCII, and what some client takes for more than a character."""


def handout(site: Site, *options: str) -> Run:
    return Run(*warm.run(["-m", "dbroster", "handout", "--config", str(site.directory), *options]))


class Given:
    """What bob has in his hands: the files of a directory, and the databases of the document."""

    def __init__(self, site: Site, user: str, home: Path) -> None:
        home.mkdir()
        told = handout(site, user, "--to", str(home), "--output", "json")
        assert told.code == 0, told.err
        self.site, self.user, self.home = site, user, home
        self.document = json.loads((home / f"{user}.json").read_text())
        for name in self.document["files"]:
            written = home / f"{user}{name}"
            assert stat.S_IMODE(written.stat().st_mode) == 0o600
            written.rename(home / name)

    def shell(self, command: str, statement: str, *, typed: str | None = None) -> str:
        """Run a command line as bob in his home; `typed` goes to the terminal when it asks for the password.

        A statement is its standard input; without one that is the terminal.
        """
        programs = Path(self.site.adapter.server.client_program).parent
        (self.home / "statement").write_text(statement)
        words = ["sh", "-c", f"{command} {'<statement' if statement else ''} >answer"]
        code, said = in_terminal(words, self.home, f"{self.home}/bin:{programs}:{os.environ['PATH']}", typed)
        assert code == 0, said
        assert (typed is not None) is ("assword" in said), said
        return (self.home / "answer").read_text()


def by_uri(engine: str, uri: str, ca: Path | None = None) -> str:
    """Log in with the driver of the product, and return the database that the session is in."""
    if engine == "postgresql":
        with psycopg.connect(uri) as connection:
            row = connection.execute("SELECT current_database() || ' ' || current_user").fetchone()
            return str(row[0]) if row else ""
    if engine == "mongodb":
        with pymongo.MongoClient[dict[str, Any]](uri) as client:
            database = client.get_default_database()
            database.t_handout.insert_one({})
            database.t_handout.drop()
            status = database.command("connectionStatus")
            return f"{database.name} {status['authInfo']['authenticatedUsers'][0]['user']}"
    if engine == "mysql":
        return _by_pymysql(urlsplit(uri))
    statement = "SELECT currentDatabase() || ' ' || currentUser()"
    words = [
        "curl",
        *(["--cacert", str(ca)] if ca else []),
        "--silent",
        "--show-error",
        "--fail",
        "--data-binary",
        statement,
        uri,
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _by_pymysql(uri: SplitResult) -> str:
    """Log in with the parts of the URI, as drivers that take one split it; PyMySQL itself takes texts as Latin-1."""
    with (
        pymysql.connect(
            host=uri.hostname,
            port=uri.port or 0,
            user=unquote(uri.username or ""),
            password=unquote(uri.password or "").encode(),
            database=unquote(uri.path[1:]),
            ssl_ca=parse_qs(uri.query).get("ssl-ca", [None])[0],
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT CONCAT(DATABASE(), ' ', SUBSTRING_INDEX(CURRENT_USER(), '@', 1))")
        return str((cursor.fetchone() or ("",))[0])


@pytest.mark.parametrize("number", range(len(SPECIAL)))
def test_a_user_logs_in_with_every_text_of_a_handout(site: Site, tmp_path: Path, number: int) -> None:
    password = SPECIAL[number]
    (bob,) = site.users(bob=password)
    site.configure(password_policy={"classes": 0, "min_length": 1})
    site.sync()
    given = Given(site, bob, tmp_path / "home")
    databases = given.document["databases"]
    assert [each["database"] for each in databases] == [f"{bob}_tools", f"{bob}_web"]
    for each in databases:
        assert by_uri(site.adapter.engine, each["uri"]) == f"{each['database']} {bob}"
        assert password not in json.dumps(each["commands"], ensure_ascii=False)
        _by_native_client(given, each, password)


def _by_native_client(given: Given, each: dict[str, Any], password: str) -> None:
    """Type the command lines: with the password where it is asked for, and with the client's file."""
    engine, database, commands = each["engine"], each["database"], each["commands"]
    where = f"{database} {given.user}"
    if engine == "postgresql":
        file = given.home / ".pgpass"
        asked = f"{commands['psql']} -XAtq"
        statement = "SELECT current_database() || ' ' || current_user"
        assert given.shell(asked, statement).strip() == where
        assert given.shell(f"psql -XAtq {shlex.quote(each['uri'])}", statement).strip() == where
        file.rename(given.home / "away")
        assert given.shell(asked, statement, typed=password).strip() == where
        (given.home / "away").rename(file)
    elif engine == "mysql":
        statement = "SELECT CONCAT(DATABASE(), ' ', SUBSTRING_INDEX(CURRENT_USER(), '@', 1))"
        client = given.site.adapter.server.engine
        own_client(given.site.adapter.server, given.home / "bin")
        assert (
            given.shell(f"{commands[client]} --batch --skip-column-names", statement, typed=password).strip() == where
        )
        short = f"{client} --defaults-group-suffix=_default {database} --batch --skip-column-names"
        assert given.shell(short, statement).strip() == where
    elif engine == "mongodb":
        if shutil.which("mongosh"):
            script = (
                "print(db.getName() + ' ' + db.runCommand({connectionStatus: 1}).authInfo.authenticatedUsers[0].user)"
            )
            command = f"{commands['mongosh']} --quiet --eval {shlex.quote(script)}"
            assert given.shell(command, "", typed=password).strip().endswith(where)
        # where there is no mongosh, PyMongo takes the address and the name that it would be given
        program, uri, option, user = shlex.split(commands["mongosh"])
        assert (program, option, user) == ("mongosh", "--username", given.user)
        with pymongo.MongoClient[dict[str, Any]](uri, username=user, password=password) as client:
            status = client.get_default_database().command("connectionStatus")
            assert status["authInfo"]["authenticatedUsers"][0]["user"] == user
    else:
        words = shlex.split(commands["clickhouse-client"])
        assert {f"--user={given.user}", f"--database={database}", "--ask-password"} <= set(words)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_user_logs_in_with_tls(site: Site, tmp_path: Path, mode: str) -> None:
    server = site.adapter.server
    (bob,) = site.users(bob=SPECIAL[0])
    site.sync()
    port = getattr(server, "https_port", 0) or server.port
    tls = {"ca": str(server.ca), "mode": mode}
    site.configure(host="localhost", handout={"host": "localhost", "port": port}, tls=tls)
    given = Given(site, bob, tmp_path / "home")
    for each in given.document["databases"]:
        assert by_uri(site.adapter.engine, each["uri"], server.ca) == f"{each['database']} {bob}"
        _by_native_client(given, each, SPECIAL[0])


@pytest.mark.parametrize("secure", [False, True])
def test_clickhouse_s_own_client_takes_the_command_line(tmp_path: Path, secure: bool) -> None:
    port = free_port()
    with ClickHouse(options={"tcp_port_secure" if secure else "tcp_port": str(port)}) as server:
        adapter = ADAPTERS["clickhouse"](server)
        site = Site(adapter, tmp_path / "config", "hoq")
        (bob,) = site.users(bob=SPECIAL[0])
        site.sync()
        reached: dict[str, object] = {"tls": {"mode": "require"}, "port": server.https_port} if secure else {}
        site.configure(None, native_port=port, **reached)
        given = Given(site, bob, tmp_path / "home")
        own_client(server, given.home / "bin", str(server.program))
        for each in given.document["databases"]:
            command = each["commands"]["clickhouse-client"]
            given.shell(command, "CREATE TABLE t (n Int8) ENGINE Memory", typed=SPECIAL[0])
        made = server.admin("SELECT database FROM system.tables WHERE name = 't' ORDER BY database").split()
        assert made == [each["database"] for each in given.document["databases"]]
        with pytest.raises(AssertionError, match="AUTHENTICATION_FAILED"):
            given.shell(command, "SELECT 1", typed="wrong")
        adapter.close()


def test_a_printed_handout_has_no_password_unless_it_is_asked_for(site: Site) -> None:
    password = SPECIAL[0]
    (bob,) = site.users(bob=password)
    for output in ("text", "env", "json", "html"):
        told = handout(site, bob, "--output", output)
        assert (told.code, "Zq7-" in told.out + told.err) == (0, False)
        assert "the password is not shown: --show prints it" in told.err
        shown = handout(site, bob, "--output", output, "--show")
        assert "Zq7-" in shown.out


def test_a_shell_reads_the_variables(site: Site, tmp_path: Path) -> None:
    password = SPECIAL[4]
    (bob,) = site.users(bob=password)
    site.configure(password_policy={"classes": 0, "min_length": 1})
    site.sync()
    assert handout(site, bob, "--output", "env", "--to", str(tmp_path / "bob.env")).code == 0
    name = f"{site.adapter.engine.upper()}_WEB"
    script = f'set -a; . ./bob.env; printf "%s\\n%s\\n" "${name}_PASSWORD" "${name}_URL"'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == password
    assert by_uri(site.adapter.engine, done.stdout.splitlines()[1]) == f"{bob}_web {bob}"
