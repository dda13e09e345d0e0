"""`dbroster add`, `passwd` and `remove`: the roster is changed without an editor, and nothing else in it."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dbroster.cli.main import main
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.files import write
from dbroster.model.connection import Connection
from dbroster.model.roster import AGE_FILE
from dbroster.passwords.policy import PasswordRules
from dbroster.roster.age import RECIPIENTS_FILE
from tests.support.command import BOTH, Command
from tests.support.samples import OTHER_PASSWORD, PASSWORD, Terminal, config, private
from tests.support.vault import Key, age_key, files, holding, opened, sealed

PLAIN = f"# the team\n\nann:{PASSWORD}\n  # between\nbob:{PASSWORD}\nbea:{PASSWORD}\n# the end\n"
NEW = "[2-9A-HJ-NP-Za-km-z]{5}(-[2-9A-HJ-NP-Za-km-z]{5}){4}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    site = tmp_path / "config"
    site.mkdir()
    config(site, PLAIN, connections=BOTH)
    private(site / "mysql_databases.txt", "tools\n")
    return site


@pytest.fixture
def command(directory: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(directory, capsys)


@pytest.fixture
def key(directory: Path, tmp_path: Path) -> Key:
    """An encrypted roster, and what opens it."""
    key = age_key(tmp_path)
    (directory / "users.txt").unlink()
    (directory / AGE_FILE).write_bytes(sealed(PLAIN.encode(), key))
    (directory / RECIPIENTS_FILE).write_text(key.public + "\n")
    return key


def text(directory: Path) -> str:
    return (directory / "users.txt").read_bytes().decode()


def refused(command: Command, *arguments: str) -> str:
    """See that nothing came of it, and return what is said."""
    before = files(command.directory)
    assert command(*arguments) == 2
    assert files(command.directory) == before
    assert command.out == ""
    assert PASSWORD not in command.err
    return command.err


def given_on_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


# --- add ------------------------------------------------------------------------------------------------------------


def test_users_are_added_at_the_end(command: Command, directory: Path) -> None:
    (directory / "users.txt").chmod(0o640)
    assert command("add", "dan", "eve") == 0
    before, dan, eve, rest = re.split(r"^(?=dan:|eve:)|(?<=\n)\Z", text(directory), flags=re.MULTILINE)
    assert (before, rest) == (PLAIN, "")
    assert re.fullmatch(f"dan:{NEW}\n", dan)
    assert re.fullmatch(f"eve:{NEW}\n", eve)
    assert (directory / "users.txt").stat().st_mode & 0o777 == 0o640
    assert command.out == (
        "dan and eve were added to users.txt, with a new password each\n"
        f"next: dbroster plan --config {directory}\n      dbroster sync --config {directory}\n"
        f"      dbroster handout NAME --to NAME.txt --config {directory}\n"
    )
    assert command.err == ""
    assert command.servers == {}


def test_a_handout_is_what_comes_next_for_who_has_a_new_password(command: Command, directory: Path) -> None:
    said = f"      dbroster handout bob --to bob.txt --config {directory}\n"
    assert command("passwd", "bob") == 0
    assert command.out.endswith(said)
    assert command("remove", "bob") == 0
    assert "dbroster handout" not in command.out


def test_what_was_not_typed_has_not_to_be_typed_next(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DBROSTER_CONFIG", str(directory))
    assert main(["add", "dan"], None, command.connect) == 0
    next_ones = "next: dbroster plan\n      dbroster sync\n      dbroster handout dan --to dan.txt\n"
    assert capsys.readouterr().out.endswith(next_ones)
    assert main(["grants", "mysql"], None, command.connect) == 0
    assert "administrator: dbroster grants mysql --show | " in capsys.readouterr().out


def test_new_passwords_are_printed_only_if_that_is_asked_for(command: Command, directory: Path) -> None:
    assert command("add", "dan") == 0
    assert text(directory).removeprefix(PLAIN).partition(":")[2].strip() not in command.out
    assert command("add", "eve", "--show") == 0
    assert command.out.startswith(text(directory).splitlines()[-1] + "\neve was added")


def test_a_file_keeps_its_line_ends_and_its_byte_order_mark(command: Command, directory: Path) -> None:
    before = b"\xef\xbb\xbf" + PLAIN.replace("\n", "\r\n").encode()
    private(directory / "users.txt", before)
    assert command("add", "dan") == 0
    assert re.fullmatch(re.escape(before) + rb"dan:[^\r\n]+\r\n", (directory / "users.txt").read_bytes())
    assert command("passwd", "bea") == 0
    assert re.search(rb"\r\nbea:[^\r\n]+\r\n# the end\r\n", (directory / "users.txt").read_bytes())
    assert command("remove", "dan") == 0
    assert command("remove", "bea") == 0
    assert (directory / "users.txt").read_bytes() == before.replace(f"bea:{PASSWORD}\r\n".encode(), b"")


def test_the_first_line_goes_and_the_byte_order_mark_stays(command: Command, directory: Path) -> None:
    private(directory / "users.txt", b"\xef\xbb\xbf" + f"ann:{PASSWORD}\nbob:{PASSWORD}\n".encode())
    assert command("remove", "ann") == 0
    assert (directory / "users.txt").read_bytes() == b"\xef\xbb\xbf" + f"bob:{PASSWORD}\n".encode()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("bob",), "bob (line 5) is in users.txt already; for a new password: dbroster passwd bob; nothing"),
        (("dan", "ann", "bob"), "ann (line 3) and bob (line 5) are in users.txt already; for a new password"),
        (("Bob",), "problem: Bob: the user names of lines 5 and 8 differ only in case"),
        (("root",), "problem: root: the name of a system account can't stand in the roster"),
        (("-",), "one of the names is no user name"),
        (("dan:x",), "one of the names is no user name (letters, digits, and . _ - after the first one); nothing"),
        (("admin",), "problem: admin: this is the admin account that dbroster itself uses"),
        (("ann_web", "ann"), "ann (line 3) is in users.txt already"),
        ((), "whom? Name users"),
    ],
)  # fmt: skip
def test_who_can_t_be_added(command: Command, names: tuple[str, ...], said: str) -> None:
    assert said in refused(command, "add", *names)


@pytest.mark.parametrize(
    ("engine", "name", "said"),
    [
        ("mongodb", "anna.adler", "anna.adler: the user name 'anna.adler' contains a dot, which MongoDB"),
        ("mongodb", "x" * 60, "the database name 'xxx"),
        ("postgresql", "x" * 62, "bytes; PostgreSQL cuts it at 63"),
        ("clickhouse", "x" * 128, "at ClickHouse dbroster takes up to 128"),
    ],
)
def test_what_a_product_can_t_carry_is_known_without_its_server(
    command: Command, directory: Path, engine: str, name: str, said: str
) -> None:
    private(directory / "connections.yaml", f"{engine}: {{host: h, username: admin, password_env: NOT_SET_HERE}}\n")
    private(directory / f"{engine}_databases.txt", "web\n")
    assert said in refused(command, "add", name)
    assert command("add", "x" * 50) == 0
    assert command.servers == {}


def test_a_password_that_mongodb_can_t_carry(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private(directory / "connections.yaml", "mongodb: {host: h, username: admin, password_env: NOT_SET_HERE}\n")
    private(directory / "mongodb_databases.txt", "web\n")
    given_on_stdin(monkeypatch, "Correct-\U0001f600-horse-7\n".encode())
    said = "dan: the password contains U+1F600, which SCRAM-SHA-256 can't carry"
    assert said in refused(command, "add", "dan", "--password-stdin")


def test_two_users_who_would_share_a_database(command: Command, directory: Path) -> None:
    private(directory / "postgresql_databases.txt", "web\nx_web\n")
    assert "would share the database ann_x_web" in refused(command, "add", "ann_x")


def test_a_file_that_may_have_been_cut_is_not_added_to(command: Command, directory: Path) -> None:
    """A7: its last line would look whole then."""
    private(directory / "users.txt", PLAIN + "carl:Corr")
    assert f"echo >> {directory}/users.txt; nothing was changed" in refused(command, "add", "dan")


def test_no_roster(command: Command, directory: Path) -> None:
    (directory / "users.txt").unlink()
    assert "users.txt does not exist" in refused(command, "add", "dan")


def test_what_a_program_prints_is_changed_there(command: Command, directory: Path) -> None:
    (directory / "users.txt").unlink()
    private(directory / "connections.yaml", f"users_command: [echo, 'ann:x']\n{BOTH}")
    for verb in ("add", "passwd", "remove"):
        assert "the roster is what users_command prints: edit it with the tool" in refused(command, verb, "ann")


def test_a_roster_that_others_can_read_is_refused(command: Command, directory: Path) -> None:
    (directory / "users.txt").chmod(0o644)
    assert "chmod 600" in refused(command, "add", "dan")


def test_faults_of_others_are_told_and_hinder_nobody(command: Command, directory: Path) -> None:
    private(directory / "users.txt", f"{PLAIN}carl:short\nno colon\n")
    assert command("add", "dan") == 0
    assert "users.txt line 8: carl: the password has 5 characters" in command.err
    assert "users.txt line 9: no colon" in command.err
    assert "a sync will find this, too" in command.err
    assert command("passwd", "carl") == 0
    assert "carl" not in command.err
    assert command("remove", "ann") == 0


# --- passwords by the rules -----------------------------------------------------------------------------------------


def test_a_new_password_meets_the_rules_of_every_server(command: Command, directory: Path) -> None:
    policies = "password_policy: {min_length: 60, forbidden: ['-']}"
    private(directory / "connections.yaml", f"{policies}\n{BOTH}")
    assert command("add", "dan") == 0
    password = text(directory).removeprefix(f"{PLAIN}dan:").strip()
    assert len(password) >= 60
    assert "-" not in password


def test_servers_are_asked_for_their_rules_if_that_is_asked_for(command: Command, directory: Path) -> None:
    command.server("b").rules = [PasswordRules(0, 0, digits=15, source="the server")]
    assert command("add", "dan", "--connect") == 0
    assert sum(map(str.isdigit, text(directory).removeprefix(PLAIN))) >= 15
    assert "the name has 65 characters" in refused(command, "add", "x" * 65, "--connect")


def test_a_server_that_can_t_be_asked_is_told(command: Command, directory: Path) -> None:
    there = command.connect

    def connect(connection: Connection) -> Handler:
        if connection.server == "b":
            raise ConnectError("127.0.0.1 refuses connections")
        return there(connection)

    command.connect = connect
    assert command("add", "dan", "--connect") == 0
    said = "postgresql b could not be asked what it takes, so only the files were: 127.0.0.1 refuses connections"
    assert said in command.err
    assert "dan:" in text(directory)


def test_rules_that_no_password_meets(command: Command, directory: Path) -> None:
    policy = f"password_policy: {{forbidden: {list('23456789')}}}"
    private(directory / "connections.yaml", f"{policy}\n{BOTH}")
    assert "no new password for dan meets all rules" in refused(command, "add", "dan")


@pytest.mark.parametrize("data", [f"{OTHER_PASSWORD}\n", OTHER_PASSWORD, f"{OTHER_PASSWORD}\r\n"])
def test_a_password_from_stdin(command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    given_on_stdin(monkeypatch, data.encode())
    assert command("add", "dan", "--password-stdin") == 0
    assert text(directory) == f"{PLAIN}dan:{OTHER_PASSWORD}\n"
    assert command.out.startswith("dan was added to users.txt, with the given password\n")
    given_on_stdin(monkeypatch, f"x:{data}".encode())
    assert command("passwd", "ann", "--password-stdin") == 0
    assert text(directory) == f"{PLAIN}dan:{OTHER_PASSWORD}\n".replace(f"ann:{PASSWORD}", f"ann:x:{OTHER_PASSWORD}")
    assert OTHER_PASSWORD not in command.out + command.err


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected the password as one line"),
        (b"\n", "expected the password as one line"),
        (b"Correct-horse-7\nbattery\n", "expected the password as one line"),
        (b"Correct-horse-7-\xff\n", "expected the password as one line of UTF-8"),
        (b"x" * 70000, "expected the password as one line"),
        (b"short\n", "dan: the password has 5 characters, at least 12 are asked for (password_policy)"),
        (b" Correct-horse-7\n", "dan: the password begins or ends with white space"),
        (b"Correct-\rhorse-7\n", "the password for dan holds a control character or a line separator"),
        ("Correct-\u2028horse-7\n".encode(), "the password for dan holds a control character or a line separator"),
    ],
)  # fmt: skip
def test_a_password_that_can_t_be_taken(
    command: Command, monkeypatch: pytest.MonkeyPatch, data: bytes, said: str
) -> None:
    given_on_stdin(monkeypatch, data)
    assert said in refused(command, "add", "dan", "--password-stdin")
    assert "horse" not in command.err


def test_one_password_is_for_one_user(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given_on_stdin(monkeypatch, b"Correct-horse-7\n")
    assert "--password-stdin sets the password of one user" in refused(
        command, "passwd", "ann", "bob", "--password-stdin"
    )
    names = private(tmp_path / "names.csv", "dan\n")
    assert "--password-stdin is for one NAME" in refused(command, "add", "--from", str(names), "--password-stdin")


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ((OTHER_PASSWORD, OTHER_PASSWORD), 0, ""),
        ((OTHER_PASSWORD, PASSWORD), 2, "the two passwords differ; nothing was changed"),
        ((OTHER_PASSWORD,), 2, "no password was typed; nothing was changed"),
    ],
)
def test_a_password_typed_at_a_terminal(
    command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch, typed: tuple[str, ...], code: int, said: str
) -> None:
    answers = iter(typed)

    def getpass(_: str) -> str:
        for answer in answers:
            return answer
        raise EOFError

    monkeypatch.setattr("getpass.getpass", getpass)
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert command("passwd", "bob", "--password-stdin") == code
    assert said in command.err
    assert (f"bob:{OTHER_PASSWORD}\n" in text(directory)) is (code == 0)


# --- many at once ---------------------------------------------------------------------------------------------------


def test_names_from_a_file(command: Command, directory: Path, tmp_path: Path) -> None:
    names = private(tmp_path / "names.csv", f"mail,name,password\nd@x,dan,{OTHER_PASSWORD}\ne@x,eve,\nf@x,fay,\n")
    assert command("add", "gus", "--from", str(names)) == 0
    added = text(directory).removeprefix(PLAIN)
    assert re.fullmatch(f"gus:{NEW}\ndan:{OTHER_PASSWORD}\neve:{NEW}\nfay:{NEW}\n", added)
    said = f"with a new password for 3 and a given one for 1 of them; other columns of {names} were left out"
    assert f"gus, dan, eve and fay were added to users.txt, {said}" in command.out
    assert OTHER_PASSWORD not in command.out


def test_all_of_a_file_or_nothing(command: Command, tmp_path: Path) -> None:
    names = private(tmp_path / "names.csv", "dan\nann\n")
    assert "ann (line 3) is in users.txt already" in refused(command, "add", "--from", str(names))
    names.write_text("dan,Short-1\nroot\n")
    err = refused(command, "add", "--from", str(names))
    assert "dan: the password has 7 characters" in err
    assert "root: the name of a system account" in err
    assert "Short-1" not in err


def test_many_are_told_by_their_number(command: Command, tmp_path: Path) -> None:
    names = private(tmp_path / "names.csv", "".join(f"user{number}\n" for number in range(30)))
    assert command("add", "--from", str(names)) == 0
    assert command.out.startswith("30 users were added to users.txt, with a new password each\n")


# --- passwd and remove ----------------------------------------------------------------------------------------------


def test_a_password_is_changed_in_its_place(command: Command, directory: Path) -> None:
    private(directory / "users.txt", PLAIN.replace("bob:", " bob :"))
    assert command("passwd", "bob", "ann") == 0
    pattern = re.escape(PLAIN).replace(f"ann:{re.escape(PASSWORD)}", f"ann:{NEW}")
    pattern = pattern.replace(f"bob:{re.escape(PASSWORD)}", f" bob :{NEW}")
    assert re.fullmatch(pattern, text(directory))
    assert command.out.startswith("the passwords of bob and ann were changed in users.txt\nnext: dbroster plan")


def test_users_are_removed_and_all_else_stays(command: Command, directory: Path) -> None:
    assert command("remove", "bob", "ann", "bob") == 0
    assert text(directory) == f"# the team\n\n  # between\nbea:{PASSWORD}\n# the end\n"
    assert command.out.startswith("bob and ann were removed from users.txt\nnext: dbroster plan")


def test_who_stands_twice_is_changed_and_removed_twice(command: Command, directory: Path) -> None:
    private(directory / "users.txt", f"{PLAIN}bob:{OTHER_PASSWORD}\n")
    assert command("passwd", "bob") == 0
    passwords = re.findall("^bob:(.*)$", text(directory), re.MULTILINE)
    assert passwords[0] == passwords[1] != PASSWORD
    assert command("remove", "bob") == 0
    assert text(directory) == PLAIN.replace(f"bob:{PASSWORD}\n", "")


@pytest.mark.parametrize("verb", ["passwd", "remove"])
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("zoe",), "problem: zoe is not in users.txt; nothing was changed\n"),
        (("bo",), "problem: bo is not in users.txt; did you mean 'bob'?; nothing was changed\n"),
        (("ann", "zoe", "eve"), "problem: zoe and eve are not in users.txt; nothing was changed\n"),
    ],
)
def test_who_is_not_there(command: Command, verb: str, names: tuple[str, ...], said: str) -> None:
    assert refused(command, verb, *names) == said


@pytest.mark.parametrize("verb", ["passwd", "remove"])
@pytest.mark.parametrize("line", [f"eve:{PASSWORD}\u2028dan:{PASSWORD}\n", "eve:Corr"])
def test_a_line_that_may_be_two_or_half_a_one_is_left(command: Command, directory: Path, verb: str, line: str) -> None:
    """A7: another user could stand in it."""
    private(directory / "users.txt", PLAIN + line)
    assert "users.txt line 8: eve: the l" in refused(command, verb, "eve")
    assert "mend it with dbroster edit first; nothing was changed" in command.err


# --- encrypted ------------------------------------------------------------------------------------------------------


def test_an_encrypted_roster_is_changed(command: Command, directory: Path, key: Key, tmp_path: Path) -> None:
    identity = ("--identity", str(key.path))
    assert command("add", "dan", *identity) == 0
    assert command.out.startswith("dan was added to users.txt.age, with a new password\n")
    assert f"dbroster plan --config {directory} --identity {key.path}\n" in command.out
    plain = opened(directory / AGE_FILE, key).decode()
    assert re.fullmatch(f"{re.escape(PLAIN)}dan:{NEW}\n", plain)
    assert command("passwd", "bob", *identity) == 0
    assert command("remove", "dan", *identity) == 0
    plain = opened(directory / AGE_FILE, key).decode()
    assert re.fullmatch(re.escape(PLAIN).replace(f"bob:{re.escape(PASSWORD)}", f"bob:{NEW}"), plain)
    assert holding(PASSWORD, directory, tmp_path) == []


def test_an_encrypted_roster_needs_its_identity(command: Command, key: Key) -> None:
    assert "users.txt.age needs an identity" in refused(command, "add", "dan")


# --- sync -----------------------------------------------------------------------------------------------------------


def test_the_sync_may_follow_at_once(command: Command, directory: Path) -> None:
    assert command("add", "dan", "--sync") == 0
    assert "dan was added to users.txt, with a new password\n3 servers\n" in command.out
    assert "next:" not in command.out
    assert all("dan" in server.accounts for server in command.servers.values())
    assert len(command.servers) == 3
    assert command("plan", "--detailed-exitcode") == 0
    assert command("passwd", "bob", "--sync") == 0
    new = next(line for line in text(directory).splitlines() if line.startswith("bob:")).removeprefix("bob:")
    for server in command.servers.values():
        with server.login("bob", new), pytest.raises(PermissionError), server.login("bob", PASSWORD):
            pass
    assert command("remove", "dan", "--sync") == 0
    assert not any("dan" in server.accounts for server in command.servers.values())
    assert command("plan", "--detailed-exitcode") == 0


def test_the_exit_code_is_that_of_the_sync(command: Command, directory: Path) -> None:
    assert command("sync") == 0
    assert command("remove", "ann", "bob", "--sync") == 3
    assert "ann and bob were removed from users.txt" in command.out
    assert "--max-removals" in command.out
    assert text(directory) == PLAIN.replace(f"ann:{PASSWORD}\n", "").replace(f"bob:{PASSWORD}\n", "")


def test_a_sync_by_the_identity(command: Command, key: Key) -> None:
    assert command("add", "dan", "--sync", "--identity", str(key.path)) == 0
    assert all("dan" in server.accounts for server in command.servers.values())


# --- two at once ----------------------------------------------------------------------------------------------------


def test_many_at_once_lose_nobody(directory: Path) -> None:
    """A5: each reads, changes and writes the whole file."""
    commands = [[sys.executable, "-m", "dbroster", "add", f"user{n}", "--config", str(directory)] for n in range(6)]
    commands += [
        [sys.executable, "-m", "dbroster", "remove", name, "--config", str(directory)] for name in ("ann", "bea")
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait(120) for process in processes] == [0] * 8
    names = [line.partition(":")[0] for line in text(directory).splitlines()]
    assert sorted(names) == sorted(
        ["# the team", "", "  # between", "# the end", "bob", *(f"user{n}" for n in range(6))]
    )


def test_who_is_slower_begins_anew(command: Command, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: another change comes between reading and writing."""
    theirs = [f"{PLAIN}dan:{OTHER_PASSWORD}\n"]
    alone = write.alone_in

    def slower(place: Path) -> object:
        if theirs:
            private(directory / "users.txt", theirs.pop())
        return alone(place)

    monkeypatch.setattr(write, "alone_in", slower)
    assert command("add", "eve") == 0
    assert re.fullmatch(f"{re.escape(PLAIN)}dan:{OTHER_PASSWORD}\neve:{NEW}\n", text(directory))


def test_nothing_is_left_beside_the_roster(command: Command, directory: Path) -> None:
    before = sorted(files(directory))
    assert command("add", "dan") == 0
    assert command("passwd", "dan") == 0
    assert command("remove", "dan") == 0
    assert sorted(files(directory)) == before
