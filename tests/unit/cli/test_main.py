"""The command line: what is printed where, and which exit code; the servers are fakes, everything else is real."""

import signal
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dbroster import __version__
from dbroster.cli.main import main
from dbroster.engines import ENGINES
from dbroster.engines.base import Handler
from dbroster.errors import ConnectError
from dbroster.model.connection import Connection
from dbroster.model.plan import Verb
from tests.support.command import ANN, BOTH, TWO, Command
from tests.support.samples import OTHER_PASSWORD, PASSWORD, Terminal, config, private

ROOT = Path(__file__).parents[3]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(config(tmp_path, TWO), capsys)


# --- the verbs ------------------------------------------------------------------------------------------------------


def test_sync_applies_and_then_is_in_step(command: Command) -> None:
    assert command("sync", "postgresql") == 0
    assert "  + ann  new: 1 database\n" in command.out
    assert "2 users, 0 unchanged: 2 new, 2 databases created\n" in command.out
    assert command("sync") == 0
    assert "2 users, 2 unchanged: nothing to do" in command.out
    assert command.err == ""


@pytest.mark.parametrize("arguments", [("plan",), ("sync", "--dry-run")])
def test_plan_is_a_dry_run(command: Command, arguments: tuple[str, ...]) -> None:
    assert command(*arguments) == 0
    assert "(dry run)" in command.out
    assert "  + ann  new: 1 database\n" in command.out
    assert command.server().changes() == []


def test_check_judges_the_files_without_a_server(command: Command) -> None:
    assert command("check") == 0
    assert command.servers == {}
    private(command.directory / "users.txt", "ann:short\nbroken\n")
    assert command("check") == 1
    assert "users.txt line 1: ann: the password has 5 characters" in command.out
    assert "users.txt line 2: no colon" in command.out
    assert "short" not in command.out


def test_check_may_log_in(command: Command) -> None:
    assert command("check", "--connect") == 0
    assert "Fake 1.0" in command.out
    command.server().lacking = ["GRANT everything TO admin"]
    assert command("check", "--connect") == 2
    assert "GRANT everything TO admin" in command.out


def test_the_sample_config_passes_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = ROOT / "config"
    for engine in ENGINES:
        monkeypatch.setenv(f"DBROSTER_{engine.upper()}_PASSWORD", "x")
    for path in sample.iterdir():
        private(tmp_path / path.name, path.read_bytes())
    command = Command(tmp_path, capsys)
    assert command("check") == 0, command.out
    assert set(ENGINES) <= {line.split()[0] for line in command.out.splitlines() if line}


@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_an_engine_s_own_script_runs_only_this_engine(command: Command, engine: str) -> None:
    private(command.directory / "mysql_databases.txt", "web\n")
    private(command.directory / "connections.yaml", BOTH)
    assert command("--output", "json", engine=engine) == 0
    assert {result["engine"] for result in command.document["results"]} == {engine}


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_has_a_script_that_pip_installs(engine: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    script = EntryPoint(f"{engine}-sync", scripts[f"{engine}-sync"], "console_scripts").load()
    assert (script.func, script.keywords) == (main, {"engine": engine})


def test_no_other_script_is_there() -> None:
    with pytest.raises(AttributeError, match="oracle_sync"):
        EntryPoint("oracle-sync", "dbroster.cli.main:oracle_sync", "console_scripts").load()


def test_config_path_is_an_alias(command: Command) -> None:
    assert main(["--config-path", str(command.directory), "--dry-run"], "postgresql", command.connect) == 0


# --- exit codes -----------------------------------------------------------------------------------------------------


def test_1_something_failed(command: Command) -> None:
    command.server().fail(Verb.CREATE_USER, "bob")
    assert command("sync") == 1
    assert "  ! bob  failed to create the account: " in command.out
    assert "  ! bob  skipped: create bob_web, grant privileges on bob_web: " in command.out
    assert "  + ann  new: 1 database\n" in command.out


def test_1_a_conflict(command: Command) -> None:
    command.server().add_account("ann")
    assert command("sync") == 1
    assert "conflict: ann: an account ann exists that dbroster did not create" in command.out
    assert command("sync", "--adopt", "ann") == 0
    assert "  + ann  taken over (" in command.out


def test_2_a_server_that_is_not_there(command: Command) -> None:
    command.connect = refuse
    assert command("sync") == 2
    assert "error: nobody there" in command.out


def refuse(_: Connection) -> Handler:
    raise ConnectError("nobody there")


def test_3_the_guard(command: Command) -> None:
    assert command("sync") == 0
    private(command.directory / "users.txt", "")
    assert command("sync") == 3
    assert "refused, nothing was done: users.txt holds no usable user" in command.out
    assert command("sync", "--max-removals", "all") == 0
    assert command.server().accounts.keys() == {"admin"}


def test_4_changes_are_pending(command: Command) -> None:
    assert command("plan", "--detailed-exitcode") == 4
    assert command("sync", "--detailed-exitcode") == 0
    assert command("plan", "--detailed-exitcode") == 0
    private(command.directory / "users.txt", ANN + f"bob:{OTHER_PASSWORD}\n")
    assert command("plan") == 0


# --- files and arguments --------------------------------------------------------------------------------------------


def test_2_every_problem_of_every_file_at_once(command: Command) -> None:
    config(command.directory, f"{ANN}broken\neve:\n", templates="we b\n", connections="postgresql:\n  prot: 5\n")
    (command.directory / "users.txt").chmod(0o644)
    assert command("sync", "postgresql") == 2
    for text in (
        "connections.yaml line 2: postgresql.prot: unknown key; did you mean 'port'?",
        "connections.yaml line 1: postgresql.host: must be set",
        "chmod 600",
        "users.txt line 2: no colon",
        "users.txt line 3: eve: the password is empty",
        "postgresql_databases.txt line 1: not a template name",
        "error: nothing was done: ",
    ):
        assert text in command.out
    assert command.servers == {}


@pytest.mark.parametrize("name", ["connections.yaml", "postgresql_databases.txt"])
def test_2_a_file_that_is_missing(command: Command, name: str) -> None:
    (command.directory / name).unlink()
    assert command("sync", "postgresql") == 2
    assert f"{name} does not exist" in command.out


def test_2_a_directory_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(tmp_path / "nowhere", capsys)
    assert command("sync") == 2
    assert command.out == ""
    assert command.err.endswith("nowhere\n")
    assert command.err.count("\n") == 1  # not what each engine lacks


def test_one_engine_s_broken_files_do_not_stop_another(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH)
    assert command("sync", "--output", "json") == 2  # there is no mysql_databases.txt
    mysql, first, second = command.document["results"]
    assert (mysql["error"], mysql["actions"]) == ("nothing was done: 1 problem in the files", [])
    assert first["error"] is second["error"] is None
    assert len(first["actions"]) == 6


def test_a_server_that_is_unknown(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH)
    assert command("sync", "postgresql", "--server", "c") == 2
    assert "postgresql has no server 'c'" in command.out


def test_a_server_named_twice_is_synchronised_once(command: Command) -> None:
    assert command("sync", "postgresql", "postgresql", "--output", "json") == 0
    assert len(command.document["results"]) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("sync", "oracle"), "unknown engine 'oracle': choose from mysql, postgresql, clickhouse, mongodb"),
        (("sync", "--jobs", "0"), "expected a number from 1 to 64"),
        (("sync", "--jobs", "65"), "expected a number from 1 to 64"),
        (("sync", "--jobs", "-1"), "--jobs"),
        (("check", "--max-servers", "0"), "expected a number from 1 to 256"),
        (("sync", "--max-removals", "most"), "expected a number, a percentage like 20%, or all, not 'most'"),
        (("sync", "--max-removals", "-1"), "--max-removals"),
        (("sync", "--output", "xml"), "invalid choice"),
        (("check", "--dry-run"), "unrecognized arguments"),
        (("plan", "--frobnicate"), "unrecognized arguments"),
        (("frobnicate",), "invalid choice"),
    ],
)
def test_2_arguments(command: Command, arguments: tuple[str, ...], text: str) -> None:
    assert text in command.refused(*arguments)
    assert command.servers == {}


def test_2_without_a_config_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DBROSTER_CONFIG", raising=False)
    monkeypatch.setattr("dbroster.cli.config_directory.SYSTEM", tmp_path / "etc")
    assert main(["sync"], None, refuse) == 2
    assert main([], "mysql", refuse) == 2
    with pytest.raises(SystemExit) as caught:
        main([], None, refuse)
    assert caught.value.code == 2


@pytest.mark.parametrize("option", ["0", "7", "50%", "all"])
def test_forms_of_max_removals(command: Command, option: str) -> None:
    assert command("plan", "--max-removals", option) == 0


@pytest.mark.parametrize("arguments", [["--help"], ["sync", "--help"], ["plan", "--help"], ["check", "--help"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: dbroster")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"dbroster {__version__}\n"


# --- what is printed ------------------------------------------------------------------------------------------------


def test_quiet_silent_and_verbose(command: Command) -> None:
    assert command("sync", "--quiet") == 0
    assert command.out.splitlines()[1:] == ["  + ann  new: 1 database", "  + bob  new: 1 database"]
    assert command("sync", "--quiet") == 0
    assert command.out == ""
    private(command.directory / "users.txt", ANN)
    assert command("sync", "--silent") == 0
    assert command.out == ""
    private(command.directory / "users.txt", TWO)
    assert command("sync", "--silent") == 0
    private(command.directory / "users.txt", TWO + "eve:\n")
    assert command("sync", "--quiet") == 1
    assert command.out.splitlines()[1:] == ["  problem: users.txt line 3: eve: the password is empty"]
    private(command.directory / "users.txt", ANN + f"bob:{OTHER_PASSWORD}\n")
    command("sync", "--verbose")
    assert " s  the password differs" in command.out


@pytest.mark.parametrize(
    ("terminal", "options", "variable", "coloured"),
    [
        (True, (), False, True),
        (True, ("--no-color",), False, False),
        (True, (), True, False),
        (True, ("--output", "json"), False, False),
        (False, (), False, False),
    ],
)
def test_colours_only_where_they_are_wanted(
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    options: tuple[str, ...],
    variable: bool,
    coloured: bool,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    if terminal:
        monkeypatch.setattr(sys, "stdout", stream)
    assert command("plan", *options) == 0
    assert ("\x1b[" in stream.getvalue() + command.out) is coloured


def test_json_is_one_document_without_anything_else(command: Command) -> None:
    assert command("sync", "--output", "json", "--verbose") == 0
    assert command.out.startswith("{")
    assert (command.document["version"], command.document["dry_run"], command.document["exit_code"]) == (1, False, 0)
    assert {action["status"] for action in command.document["results"][0]["actions"]} == {"done"}


def test_the_audit_log_is_where_it_should_be(command: Command) -> None:
    elsewhere = command.directory / "elsewhere.jsonl"
    assert command("sync", "--audit-log", str(elsewhere)) == 0
    assert len(elsewhere.read_text().splitlines()) == 14
    assert not (command.directory / "audit.jsonl").exists()


def test_the_plan_that_was_looked_at_is_the_plan_that_runs(command: Command) -> None:
    command("plan", "--output", "json")
    (told,) = command.document["results"]
    private(command.directory / "users.txt", ANN)
    assert command("sync", "--expect", told["plan"].upper()) == 3
    assert command.server().changes() == []
    private(command.directory / "users.txt", TWO)
    assert command("sync", "--expect", "0" * 24, "--expect", told["plan"]) == 0
    assert "expected the 24 hex digits" in command.refused("sync", "--expect", told["plan"][:23])


def test_invariant_2_no_password_on_any_stream(command: Command) -> None:
    command.server().fail(Verb.GRANT_PRIVILEGES, "ann")
    for arguments in (("sync",), ("plan", "--verbose"), ("sync", "--output", "json"), ("check",)):
        command(*arguments)
        assert PASSWORD not in command.out + command.err


# --- defects and signals --------------------------------------------------------------------------------------------


def test_a_defect_stops_one_server_and_shows_nothing_that_it_held(command: Command) -> None:
    private(command.directory / "connections.yaml", BOTH)
    good = command.connect

    def connect(connection: Connection) -> Handler:
        if connection.server == "a":
            raise RuntimeError(PASSWORD)
        return good(connection)

    command.connect = connect
    assert command("sync", "postgresql", "--verbose") == 2
    assert "error: a defect in dbroster, please report it: RuntimeError in connect, line" in command.out
    assert "sync.py" in command.out
    assert PASSWORD not in command.out + command.err
    assert "ann" in command.server("b").accounts
    command("sync", "postgresql")
    assert "sync.py" not in command.out


def test_signals_are_given_back(command: Command) -> None:
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    command("sync")
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


@pytest.mark.parametrize(("call", "frozen"), [("main()", True), ("main(sys.argv[1:])", False)])
def test_only_a_process_of_its_own_keeps_what_would_be_garbage(tmp_path: Path, call: str, frozen: bool) -> None:
    config(tmp_path, TWO)
    program = f"import gc, sys; from dbroster.cli.main import main; {call}; print(gc.get_freeze_count() > 0)"
    command = [sys.executable, "-c", program, "check", "--config", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout.splitlines()[-1] == str(frozen)


def test_help_spells_variables_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """C8, D11: `capitalize` makes the rest small."""
    with pytest.raises(SystemExit):
        main(["edit", "--help"])
    assert "Change users.txt or users.txt.age with $VISUAL or $EDITOR" in " ".join(capsys.readouterr().out.split())
