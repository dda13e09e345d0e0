"""`dbroster status` on servers in memory: who has what, what is not as it should be, and that nothing is touched."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.model.state import Lock
from tests.fake import FakeHandler
from tests.fake_server import Database
from tests.support.command import BOTH, TWO, Command
from tests.support.samples import CONNECTIONS, OTHER_PASSWORD, PASSWORD, config, private

GRACE = f"{CONNECTIONS}  removals: {{grace_days: 14}}\n"


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    command = Command(config(tmp_path, TWO, templates="tools\nweb\n"), capsys)
    assert command("sync") == 0
    return command


def row(command: Command, *options: str, code: int, user: str = "bob") -> dict[str, Any]:
    """The row of one user in the JSON document."""
    assert command("status", "--output", "json", *options) == code, command.out + command.err
    (found,) = (each for each in command.document["rows"] if each["user"] == user)
    return dict(found)


def of(**databases: list[str]) -> dict[str, list[str]]:
    """What a row tells of databases."""
    return {what: databases.get(what, []) for what in ("there", "missing", "surplus", "closed", "foreign", "left")}


def test_all_is_well(command: Command) -> None:
    assert command("status") == 0
    assert command.out.splitlines() == [
        "user  server      account  password  databases  last change",
        f"ann   postgresql  open     in step   2          {datetime.now(UTC):%Y-%m-%d} created",
        f"bob   postgresql  open     in step   2          {datetime.now(UTC):%Y-%m-%d} created",
        "2 rows, 0 not in step",
    ]
    assert command("status", "--quiet") == 0
    assert command.out == ""
    found = row(command, code=0)
    assert found["last_change"].pop("when").startswith(f"{datetime.now(UTC):%Y-%m-%d}T")
    assert found == {
        "user": "bob", "engine": "postgresql", "server": "default", "listed": True, "in_step": True, "account": "open",
        "note": None, "locked_since": None, "kept_until": None, "password": "same",
        "databases": of(there=["bob_tools", "bob_web"]), "sizes": None, "pending": [], "problems": [],
        "last_change": {"action": "create_user", "database": None},
    }  # fmt: skip


def test_what_is_not_as_it_should_be(command: Command) -> None:
    private(command.directory / "users.txt", f"ann:{PASSWORD}\nbob:{OTHER_PASSWORD}\neve:{PASSWORD}\n")
    private(command.directory / "postgresql_databases.txt", "tools\nnew\n")
    server = command.server()
    server.databases["ann_tools"].users.add("carl")
    server.add_database("eve_new")
    assert command("status") == 1
    text = command.out
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    for line in (
        f"bob   postgresql  open     differs   1 of 2, 1 surplus  {today} created",
        "    a sync would set the password: the password differs",
        "    a sync would create bob_new: not on the server",
        "    a sync would drop bob_web: its template is no longer listed",
        "    a sync would set the privileges on ann_tools: privileges differ: carl may",
        "        enter",
        "3 rows, 3 not in step",
    ):
        assert line in text.splitlines(), text
    refusal = "refused: postgresql: a sync would do nothing here: 2 of 4 managed databases would be dropped from users"
    assert refusal in text
    assert (
        max(map(len, (line for line in text.splitlines() if not line.strip().startswith(("problem", "refused"))))) <= 80
    )
    bob = row(command, code=1)
    assert (bob["password"], bob["in_step"]) == ("different", False)
    assert bob["databases"] == of(there=["bob_tools"], missing=["bob_new"], surplus=["bob_web"])
    assert {"verb": "drop_database", "name": "bob_web", "reason": "its template is no longer listed",
            "obstacle": None} in bob["pending"]  # fmt: skip
    assert row(command, code=1, user="ann")["databases"]["closed"] == ["ann_tools"]
    eve = row(command, code=1, user="eve")
    assert (eve["account"], eve["password"]) == ("missing", None)
    assert eve["databases"] == of(missing=["eve_tools"], foreign=["eve_new"])
    assert "dbroster did not create" in eve["problems"][0]["text"]


def test_whose_days_of_grace_run(command: Command) -> None:
    private(command.directory / "connections.yaml", GRACE)
    private(command.directory / "users.txt", f"ann:{PASSWORD}\n")
    assert command("sync") == 0
    account = command.server().accounts["bob"]
    assert account.lock is Lock.OURS
    account.since = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    bob = row(command, code=0)
    assert (bob["listed"], bob["account"], bob["in_step"]) == (False, "locked", True)
    assert bob["databases"] == of(surplus=["bob_tools", "bob_web"])
    assert bob["last_change"]["action"] == "lock_user"
    until = account.since + timedelta(days=14)
    assert (bob["locked_since"], bob["kept_until"]) == (
        f"{account.since:%Y-%m-%dT%H:%M:%SZ}",
        f"{until:%Y-%m-%dT%H:%M:%SZ}",
    )
    assert command("status", "bob") == 0
    assert (
        f"    locked since {account.since:%Y-%m-%d %H:%M} UTC, kept until {until:%Y-%m-%d %H:%M} UTC\n" in command.out
    )
    account.since -= timedelta(days=20)
    assert {each["verb"] for each in row(command, code=1)["pending"]} == {"drop_database", "drop_user"}


def test_what_an_earlier_removal_has_left(command: Command) -> None:
    private(command.directory / "users.txt", f"ann:{PASSWORD}\n")
    assert command("sync") == 0
    command.server().databases["bob_old"] = Database("bob", "default", "bob_old", {"bob"})
    bob = row(command, code=0)
    assert (bob["account"], bob["listed"], bob["databases"]) == ("removed", False, of(left=["bob_old"]))
    assert bob["last_change"]["action"] == "drop_user"
    assert command("status", "bob") == 0
    assert "warning: the database bob_old is what was left when the account bob was removed; drop it:" in command.out
    assert command("status") == 0
    assert command.out.count("is what was left") == 1


def test_accounts_that_can_t_be_used(command: Command) -> None:
    server = command.server()
    server.add_account("eve", "x", roster="others")
    server.add_account("foe", "x")
    private(command.directory / "users.txt", f"{TWO}eve:{PASSWORD}\nfay:{PASSWORD}\nfay:{OTHER_PASSWORD}\n")
    server.accounts["bob"].lock = Lock.FOREIGN
    assert row(command, code=1)["note"] == "locked, but not by dbroster"
    eve = row(command, code=1, user="eve")
    assert (eve["account"], eve["note"]) == ("foreign", "it belongs to the roster 'others'")
    fay = row(command, code=1, user="fay")
    assert (fay["account"], fay["in_step"], fay["problems"][0]["line"]) == ("missing", False, 5)
    assert row(command, "foe", code=0, user="foe")["note"] == "dbroster did not create it"
    assert command("status", "bob") == 0
    assert "the account is locked, but not by dbroster: it stays locked" in command.out
    server.unreadable.add("ann")
    assert row(command, "ann", code=1, user="ann")["password"] == "unknown"


def test_only_who_is_asked_for_counts(command: Command) -> None:
    command.server().databases.pop("bob_web")
    assert command("status", "ann") == 0
    assert "bob" not in command.out
    assert command("status", "ann", "bob") == 1
    assert command("status", "ann", "--quiet") == 0
    assert command.out == ""
    assert command("status", "nobody") == 1
    nobody = "nobody: no line of the roster, and no account on any server that was asked"
    assert command.out == f"problem: {nobody}\n0 rows, 0 not in step\n"
    assert command("status", "nobody", "--output", "json") == 1
    assert command.document["unknown_users"] == ["nobody"]


def test_a_server_that_can_t_be_asked(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH)
    private(command.directory / "mysql_databases.txt", "web\n")

    def connect(connection: Connection) -> FakeHandler:
        if connection.server == "a":
            raise ConnectError("nobody answers")
        return FakeHandler(connection, command.server())

    command.connect = connect
    assert command("status") == 2
    assert "error: postgresql/a: nobody answers" in command.out
    assert [line.split()[:2] for line in command.out.splitlines() if line.startswith("ann")] == [
        ["ann", "mysql"], ["ann", "postgresql/b"],
    ]  # fmt: skip
    assert command("status", "--engine", "postgresql", "--server", "b", "nobody") == 1
    assert command("status", "--engine", "postgresql", "--server", "a", "nobody") == 2
    assert "no line" not in command.out
    assert "unknown engine 'oracle'" in command.refused("status", "--engine", "oracle")


def test_it_takes_no_lock_and_changes_nothing(command: Command) -> None:
    command.server().databases.pop("bob_web")
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in command.directory.iterdir()}
    changes = command.server().changes()
    holder = FakeHandler(_connection(command), command.server())
    holder.acquire_sync_lock()
    assert command("status") == 1
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in command.directory.iterdir()}
    assert after == before
    assert command.server().changes() == changes
    assert command("sync") == 2, "the lock keeps nobody out, so it proves nothing"


def _connection(command: Command) -> Connection:
    return Connection("postgresql", "default", "127.0.0.1", 5432, "admin", None)


def test_a_damaged_audit_log_is_told(command: Command) -> None:
    with (command.directory / "audit.jsonl").open("ab") as log:
        log.write(b"\xff not a line\n[]\n")
    assert row(command, code=0)["last_change"]["action"] == "create_user"
    (command.directory / "audit.jsonl.1.gz").write_bytes(b"no gzip")
    assert row(command, code=0)
    assert "can't be read" in command.document["doubt"]
    assert command("status") == 0
    assert "warning: the last changes may be older than they seem: " in command.out


def test_no_text_of_a_server_moves_the_terminal(command: Command) -> None:
    command.server().databases["bob_web"].users.add("eve\x1b[2J\nann  open")
    assert command("status") == 1
    assert "\x1b" not in command.out
    assert "\nann  open" not in command.out


def test_megabytes_where_the_server_tells_them(command: Command) -> None:
    server = command.server()
    server.databases["bob_web"].rows += ["a row", "another"]
    assert command("status", "--sizes", "bob") == 0
    assert [line.split()[-4:-2] for line in command.out.splitlines()[:2]] == [["databases", "MB"], ["2", "2.0"]]
    assert row(command, "--sizes", code=0)["sizes"] == {"bob_tools": 0, "bob_web": 2_000_000}
    assert len([each for each in server.log if each.text == "measure databases"]) == 2
    server.lacking_sizes = "you need the PROCESS privilege"
    assert command("status", "--sizes") == 0
    assert "warning: postgresql: how large the databases are can't be read: you need the PROCESS" in command.out
    assert row(command, "--sizes", code=0)["sizes"] is None


@pytest.mark.parametrize("output", ["csv", "html"])
def test_other_formats_have_the_same_rows(command: Command, output: str) -> None:
    assert command("status", "--output", output) == 0
    assert [command.out.count(name) > 0 for name in ("ann_web", "bob_web", "in step")] == [True] * 3
    assert PASSWORD not in command.out
