"""The story of a roster: a dry run, a run, a login, a changed password, a removed user, the audit log."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from contextlib import ExitStack
from pathlib import Path

import yaml

import servers
from servers import ClickHouse, MariaDB, MongoDB, MySQL, PostgreSQL, Server

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("postgresql", "mysql", "mongodb", "clickhouse")
USER, PASSWORD, NEW_PASSWORD = "developer1", "MySecurePass123!", "EvenMoreSecure456?"

SQL_WRITE = "CREATE TABLE note (text varchar(40)); INSERT INTO note VALUES ('hello from {0}'); SELECT text FROM note"
WRITE = {
    "clickhouse": (
        "CREATE TABLE note (text String) ENGINE = MergeTree ORDER BY text",
        "INSERT INTO note VALUES ('hello from {0}')",
        "SELECT text FROM note",
    ),
    "mongodb": ('{{"insert": "note", "documents": [{{"text": "hello from {0}"}}]}}', '{{"find": "note"}}'),
}
READ = {"mongodb": ('{{"find": "note"}}',)}
SQL_READ = "SELECT text FROM note"


def main() -> int:
    """Run the demo and return 0 if every step did what it should."""
    began = time.monotonic()
    with ExitStack() as stack:
        say("Starting servers of our own, on free ports of this machine")
        print("PostgreSQL, MySQL, MariaDB, MongoDB and ClickHouse are real servers.")
        quiet = {"general_log": "OFF"}
        kinds = (PostgreSQL(), MySQL(options=quiet), MariaDB(options=quiet), MongoDB(), ClickHouse())
        running: list[Server] = [stack.enter_context(server) for server in kinds]
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbroster-demo-")))
        story(Demo(directory, running))
    say(f"Everything is stopped and removed. {time.monotonic() - began:.0f} s")
    return 0


class Demo:
    """A config directory for the running servers, and the commands of a developer's administrator."""

    def __init__(self, directory: Path, running: list[Server]) -> None:
        self.directory = directory
        self.running = running
        for file in (ROOT / "config").glob("*.txt"):
            (directory / file.name).write_bytes(file.read_bytes())
        self.write("connections.yaml", yaml.safe_dump(connections(running)))
        (directory / "users.txt").chmod(0o600)
        passwords = {variable(server): server.admin_password for server in running}
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **passwords}

    def write(self, name: str, text: str) -> None:
        """Write a file of the config directory that only we may read."""
        (self.directory / name).write_text(text)
        (self.directory / name).chmod(0o600)

    def sed(self, command: str) -> None:
        """Edit users.txt as an administrator would."""
        print(f"\n$ sed -i '{command}' config/users.txt", flush=True)
        subprocess.run(["sed", "-i", command, str(self.directory / "users.txt")], check=True)

    def script(self, engine: str, *options: str, expect: int = 0) -> None:
        """Run the script of one engine."""
        script = f"scripts/{engine}_sync.py"
        self._run(f"python {script}", [script], options, expect)

    def dbroster(self, verb: str, *options: str, expect: int = 0) -> None:
        """Run the command for all engines."""
        self._run(f"dbroster {verb}", ["-m", "dbroster", verb], options, expect)

    def _run(self, shown: str, command: list[str], options: tuple[str, ...], expect: int) -> None:
        """Run the real thing; another exit code than the expected one ends the demo."""
        print(f"\n$ {shown} --config config/ {' '.join(options)}".rstrip(), flush=True)
        whole = [sys.executable, *command, "--config", str(self.directory), *options]
        done = subprocess.run(whole, cwd=ROOT, env=self.environment, check=False)
        if done.returncode != expect:
            sys.exit(f"the demo failed: exit code {done.returncode}, {expect} was expected")

    def login(self, user: str, password: str, caption: str = "", *, works: bool, write: bool = False) -> None:
        """Log in on every server with the engine's own client, and read or write in the user's own database."""
        print(f"\n{caption}" if caption else "")
        for server in self.running:
            statements = WRITE.get(server.engine, (SQL_WRITE,)) if write else READ.get(server.engine, (SQL_READ,))
            for statement in statements:
                done = server.client(user, password, f"{user}_web", statement.format(user))
                if done.returncode != 0:
                    break
            answer = found(done.stdout) if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
            name = type(server).__name__
            print(f"  {name:<11} {user} -> {user}_web: {textwrap.shorten(answer, 90)}", flush=True)
            if (done.returncode == 0) is not works:
                sys.exit(f"the demo failed: that login should {'have worked' if works else 'have been refused'}")


def found(answer: str) -> str:
    """Return the text of the note that a client has read; MongoDB answers with a document."""
    if not answer.startswith("{"):
        return answer.strip()
    (note,) = json.loads(answer)["cursor"]["firstBatch"]
    return str(note["text"])


def connections(running: list[Server]) -> dict[str, object]:
    """Return what stands in connections.yaml: one server for PostgreSQL, a list of two for MySQL and MariaDB."""
    sections: dict[str, list[dict[str, object]]] = {}
    for server in running:
        engine = "mysql" if server.engine == "mariadb" else server.engine
        sections.setdefault(engine, []).append({
            "name": server.engine,
            "host": server.host,
            "port": getattr(server, "https_port", 0) or server.port,
            "username": server.admin_user,
            "password_env": variable(server),
            **({"tls": {"ca": str(server.ca)}} if server.ca else {}),
        })  # fmt: skip
    return {engine: parts if len(parts) > 1 else parts[0] | {"name": "default"} for engine, parts in sections.items()}


def variable(server: Server) -> str:
    """Name of the environment variable that holds a server's admin password."""
    return f"DBROSTER_{server.engine.upper()}_PASSWORD"


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n=== {text}", flush=True)


def story(demo: Demo) -> None:
    """Tell the whole life of a roster, on every server."""
    say("The roster, and the databases that every user has")
    print((demo.directory / "users.txt").read_text() + (demo.directory / "mysql_databases.txt").read_text())

    say("What would happen? A dry run changes nothing (here of one engine; exit 4: changes are pending)")
    demo.script(SCRIPTS[0], "--dry-run", "--detailed-exitcode", expect=4)

    say("Do it, each engine by its own script")
    for engine in SCRIPTS:
        demo.script(engine)

    say("Once more, with one command for all: nothing is left to do")
    demo.dbroster("plan", "--detailed-exitcode")

    say("A user of the roster logs in and writes a row: psql, mysql, mariadb, PyMongo, ClickHouse over HTTP")
    demo.login(USER, PASSWORD, works=True, write=True)

    say("A changed password")
    demo.sed(f"s/{USER}:{PASSWORD}/{USER}:{NEW_PASSWORD}/")
    demo.dbroster("sync")
    demo.login(USER, NEW_PASSWORD, "With the new password:", works=True)
    demo.login(USER, PASSWORD, "With the old password every server refuses the login, as it should:", works=False)

    say("A removed line removes the account and its databases")
    demo.sed("/qa_user:/d")
    demo.dbroster("sync")
    demo.login("qa_user", "TestPassword789#", "Every server refuses the removed user, as it should:", works=False)

    say("The audit log: one line before and one after each change (the last four)")
    print("\n".join((demo.directory / "audit.jsonl").read_text().splitlines()[-4:]))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except servers.Missing as missing:
        sys.exit(f"{missing}")
