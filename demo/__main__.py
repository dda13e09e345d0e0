"""The story of a roster on five real servers, as one would type it; a claim that does not hold ends it."""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import servers
from demo.terminal import Terminal, picture, steady
from servers import ClickHouse, MariaDB, MongoDB, MySQL, PostgreSQL, Server
from tests.support.admin_script import pipe
from tests.support.mysql_tools import on_path

USUAL_PORTS = {"postgresql": "5432", "mysql": "3306", "mariadb": "3307", "mongodb": "27017", "clickhouse": "8123"}
CLIENTS = {
    "postgresql": "psql -h 127.0.0.1 -p {port} -U {user} {database}",
    "mysql": "mysql -h 127.0.0.1 -P {port} -u {user} -p {database}",
    "mariadb": "mariadb -h 127.0.0.1 -P {port} -u {user} -p {database}",
    "mongodb": "mongosh 'mongodb://{user}@127.0.0.1:{port}/{database}?authSource=admin'",
    "clickhouse": "clickhouse-client -u {user} --password -d {database}",
}
SQL_READ = "SELECT text FROM note"
READ = {"mongodb": '{"find": "note"}'}
SQL_WRITE = ("CREATE TABLE note (text varchar(40))", "INSERT INTO note VALUES ('hello from {}')")
WRITE = {
    "mongodb": ('{{"insert": "note", "documents": [{{"text": "hello from {}"}}]}}',),
    "clickhouse": ("CREATE TABLE note (text String) ENGINE = MergeTree ORDER BY text", SQL_WRITE[1]),
}
ARCHIVE = "removals: {archive_dir: archives}"
GRANT = "GRANT TABLE ENGINE ON MergeTree TO 'dbroster:default'"


class Demo:
    """A visitor's terminal, and the servers that run for it."""

    def __init__(self, home: Path, running: Sequence[Server]) -> None:
        self.config = home / "config"
        self.servers = {server.engine: server for server in running}
        self.ports = {engine: str(server.port) for engine, server in self.servers.items()}
        self.terminal = Terminal(home)

    def grants(self, engine: str) -> None:
        """Give what `dbroster grants` prints to the client of the server's superuser."""
        server = self.servers[engine]
        which = f" --server {engine}" if engine in ("mysql", "mariadb") else ""
        command = f"dbroster grants {engine}{which} --show"
        client = self._client(engine, server.admin_user, "")
        self.terminal.show(f"$ {client} --file <({command})" if engine == "mongodb" else f"$ {command} | {client}")
        code, text = self.terminal.run(command)
        must(code == 0, text)
        pipe(server, text)

    def admin(self, engine: str, option: str, statement: str) -> None:
        """Do something by hand."""
        server = self.servers[engine]
        self.terminal.show(f'$ {self._client(engine, server.admin_user, "")} {option} "{statement}"')
        server.admin(statement)

    def passwords(self, *users: str) -> dict[str, str]:
        """Return what the roster says."""
        roster = dict(
            line.split(":", 1) for line in (self.config / "users.txt").read_text().splitlines() if ":" in line
        )
        return {user: roster[user] for user in users}

    def note(self, user: str, engine: str) -> None:
        """Log in and read the user's note."""
        server = self.servers[engine]
        done = server.client(user, self.passwords(user)[user], f"{user}_web", READ.get(engine, SQL_READ))
        must(done.returncode == 0, done.stderr)
        text = done.stdout.strip()
        note = json.loads(text)["cursor"]["firstBatch"][0]["text"] if engine == "mongodb" else text
        must(note == f"hello from {user}", text)
        self.terminal.show(f"$ {self._client(engine, user, f'{user}_web')}  # {note}")

    def write(self, user: str) -> None:
        """Log in to each server and write a note."""
        for engine, server in self.servers.items():
            for statement in WRITE.get(engine, SQL_WRITE):
                done = server.client(user, self.passwords(user)[user], f"{user}_web", statement.format(user))
                must(done.returncode == 0, done.stderr)

    def login(self, caption: str, passwords: Mapping[str, str], *, works: bool) -> None:
        """See that every server lets these users in, or that every server refuses them."""
        for user, password in passwords.items():
            for engine, server in self.servers.items():
                statement = '{"ping": 1}' if engine == "mongodb" else "SELECT 1"
                done = server.client(user, password, f"{user}_web", statement)
                must((done.returncode == 0) is works, f"{engine}: login of {user}: {done.stdout}{done.stderr}")
        self.terminal.show(f"  {'works' if works else 'refused'} on {len(self.servers)} servers: {caption}")

    def _client(self, engine: str, user: str, database: str) -> str:
        shown = CLIENTS[engine].format(port=self.ports[engine], user=user, database=database)
        return shown.removesuffix(" -d ").strip()


def must(true: bool, told: str) -> None:
    """End the demo if a claim does not hold."""
    if not true:
        sys.exit(f"the demo failed: {told.strip()}")


def story(demo: Demo) -> None:
    """Tell the whole life of a roster, on every server."""
    terminal = demo.terminal
    terminal.heading("Begin: a config directory, and an admin account on each of five real servers", drawn=False)
    having = [f"--engine {name}=127.0.0.1:{port}" for name, port in demo.ports.items()]
    terminal.type(f"dbroster init {' '.join(having[:2])} \\\n    {' '.join(having[2:4])} \\\n    {having[4]}", most=1)
    terminal.type(f"echo '{ARCHIVE}' >>config/connections.yaml  # archive what will be dropped")
    for engine in demo.servers:
        demo.grants(engine)

    terminal.heading("Three people come. The plan says what the sync will do")
    terminal.type("dbroster add ann bob carla", most=1)
    terminal.type("dbroster plan --quiet")
    terminal.type("dbroster sync --silent")
    terminal.type("dbroster plan --quiet --detailed-exitcode  # 0: a second run has nothing to do")

    terminal.heading("Bob has one password for everything. In each of his databases he wrote a note")
    demo.admin("clickhouse", "-q", GRANT)
    demo.write("bob")
    for engine in demo.servers:
        demo.note("bob", engine)

    terminal.heading("A new password")
    old = demo.passwords("bob")
    terminal.type("dbroster passwd bob --sync", most=3)
    demo.login("bob with his new password", demo.passwords("bob"), works=True)
    demo.login("bob with his old password", old, works=False)

    terminal.heading("Drift: somebody changed things by hand. The next sync mends them")
    demo.admin("mysql", "-e", "ALTER USER carla IDENTIFIED BY 'Typed-by-hand-77'")
    demo.admin("postgresql", "-c", "DROP DATABASE ann_web")
    terminal.type("dbroster status --quiet", expect=1)
    terminal.type("dbroster sync --quiet")
    demo.login("ann and carla with the passwords of the roster", demo.passwords("ann", "carla"), works=True)

    terminal.heading("A mistake: two of three people are removed. The guard stops it")
    gone = demo.passwords("ann", "bob")
    terminal.type("dbroster remove ann bob", most=1)
    terminal.type("dbroster sync --quiet", expect=3, most=6)
    demo.login("ann and bob as before", gone, works=True)

    terminal.heading("If it is meant: dbroster archives each database before it drops it")
    terminal.type("dbroster sync --quiet --max-removals 2")
    demo.login("ann and bob, who were removed", gone, works=False)

    terminal.heading("Bob comes back, and so does his note")
    terminal.type("dbroster add bob --sync", most=3)
    terminal.type("dbroster restore postgresql config/archives/*/bob_web-*.dump --quiet")
    demo.note("bob", "postgresql")

    terminal.heading("Who has what: as a table, and as a page for the browser", drawn=False)
    terminal.type("dbroster status bob")
    terminal.type("dbroster status --output html >status.html")
    page = (demo.config.parent / "status.html").read_text()
    must("bob" in page and demo.passwords("bob")["bob"] not in page, "status.html")


@contextmanager
def running() -> Iterator[Demo]:
    """Start five servers side by side; stop them, and remove all that was made, however it ends."""
    with ExitStack() as stack:
        quiet = {"general_log": "OFF"}
        kinds = [
            PostgreSQL(),
            MySQL(options=quiet),
            MariaDB(options=quiet),
            MongoDB(),
            ClickHouse(options={"table_engines_require_grant": "true"}),
        ]
        for server in kinds:
            stack.callback(server.close)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda server: server.start(), kinds))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dbroster-demo-")))
        (home / "bin").mkdir()
        stack.enter_context(on_path(home / "bin"))
        yield Demo(home, kinds)


def main() -> int:
    """Run the demo and return 0 if every claim held."""
    parser = argparse.ArgumentParser(prog="make demo ARGS=", description=__doc__)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the terminal as SVG as well")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the demo was stopped"))
    began = time.monotonic()
    with running() as demo:
        story(demo)
    print(
        f"All is stopped and removed. {time.monotonic() - began:.0f} s (for mongosh: PyMongo; clickhouse-client: HTTP)"
    )
    if given.picture:
        usual = {port: USUAL_PORTS[engine] for engine, port in demo.ports.items()}
        given.picture.write_text(picture(steady(line, usual) for line in demo.terminal.drawn))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except servers.Missing as missing:
        sys.exit(f"{missing}")
    except KeyboardInterrupt:
        sys.exit("the demo was stopped")
